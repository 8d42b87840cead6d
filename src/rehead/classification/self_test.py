"""The self-test of a classifier's file: golden pictures in its manifest, and the answers it gave to them.

A runtime that gives others is not to be relied on: it resizes without antialiasing, exchanges colours, or
computes in too few bits.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.photos import File
from ..core.rejection import UNKNOWN, OperatingPoint
from ..core.text import percent
from ..errors import DataError
from ..images import PreprocessSpec, load_image, png, read_image, thumbnail

__all__ = [
    "OUTLIER",
    "PROBABILITY",
    "Answers",
    "SelfTest",
    "by_session",
    "golden_record",
    "self_test",
    "small_copies",
]

# Largest differences that are called the same: of probabilities, and of outlier scores as a share of the
# largest. The latter is 0.013 for photos resized by Pillow, 0.02 in bf16, and 0.76 in OpenVINO, which resizes
# without antialiasing (benchmarks/RESULTS.md, "The same everywhere").
PROBABILITY, OUTLIER = 1e-3, 0.05

_COPIES, _SIDE = 5, 160  # photos, and pixels: some 40 kB each

Answers = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], float]]
"""A runtime: probabilities (K,) and outlier score of a picture, uint8 (H, W, 3) RGB."""


@dataclass(frozen=True)
class SelfTest:
    """What a runtime made of a file's golden pictures.

    Parameters
    ----------
    differences : tuple of float
        Of each picture, the largest difference of a probability.
    outliers : tuple of float
        Of each picture, the difference of the outlier score, as a share of the largest score.
    answers, expected : tuple of str
        Class or "unknown" of each picture, by the runtime and by the file.
    """

    differences: tuple[float, ...]
    outliers: tuple[float, ...]
    answers: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all answers are the same, probabilities to 1e-3, and outlier scores to 5 %."""
        near = max(self.differences) <= PROBABILITY and max(self.outliers) <= OUTLIER
        return near and self.answers == self.expected

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        verdict, pictures = "the same" if self.same else "not the same", len(self.answers)
        other = sum(a != b for a, b in zip(self.answers, self.expected, strict=True))
        return (
            f"{verdict}: {other} of {pictures} golden pictures get another answer, probabilities are up to "
            f"{max(self.differences):.1e} apart, outlier scores {percent(max(self.outliers))}"
        )


def small_copies(photos: Sequence[File]) -> list[NDArray[np.uint8]]:
    """Five of some photos, uint8 (h, w, 3) with a longer side of 160 pixels at the most."""
    some = photos[:: max(1, len(photos) // _COPIES)][:_COPIES]
    return [read_image(thumbnail(photo, _SIDE, quality=95)) for photo in some]


def golden_record(
    session: Any,
    preprocess: PreprocessSpec,
    labels: Sequence[str],
    point: OperatingPoint,
    pictures: Sequence[NDArray[np.uint8]],
) -> list[dict[str, Any]]:
    """The manifest's "golden": pictures as PNG in base64, and what an opened graph answers to each."""
    answer = by_session(session, preprocess)
    entries = []
    for picture in map(png, pictures):
        probabilities, outlier = answer(read_image(picture))
        entries.append(
            {
                "png": base64.b64encode(picture).decode("ascii"),
                "answer": _named(labels, point, probabilities, outlier),
                "probabilities": [round(float(p), 7) for p in probabilities],
                "outlier_score": outlier,
            }
        )
    return entries


def self_test(manifest: Mapping[str, Any], answer: Answers) -> SelfTest:
    """Ask a runtime for the golden pictures of a manifest.

    Raises
    ------
    DataError
        The file has none, or none that can be read: it was written by an earlier version, or altered.
    """
    golden = manifest.get("golden")
    if not golden:
        raise DataError("has no golden pictures; train it again, or save it, with this version of rehead")
    labels, point = manifest["labels"], OperatingPoint.from_dict(manifest["operating_point"])
    scale = max(*(abs(entry["outlier_score"]) for entry in golden), 1e-6)
    differences, outliers, answers = [], [], []
    for entry in golden:
        try:
            picture = read_image(base64.b64decode(entry["png"], validate=True))
        except ValueError as error:
            raise DataError(f"has a golden picture that cannot be read ({error})") from error
        probabilities, outlier = answer(picture)
        expected = np.array(entry["probabilities"])
        if probabilities.shape != expected.shape:
            raise DataError(f"{len(probabilities)} probabilities came back, {len(expected)} were expected")
        differences.append(float(np.abs(probabilities - expected).max()))
        outliers.append(abs(outlier - entry["outlier_score"]) / scale)
        answers.append(_named(labels, point, probabilities, outlier))
    return SelfTest(
        tuple(differences), tuple(outliers), tuple(answers), tuple(entry["answer"] for entry in golden)
    )


def by_session(session: Any, preprocess: PreprocessSpec) -> Answers:
    """What has ONNX Runtime's `run`; a graph that takes no photos as they are gets squares."""
    takes: list[Any] = getattr(session, "get_inputs", list)()
    squares = bool(takes) and isinstance(takes[0].shape[1], int)

    def answer(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        pixels = load_image(png(picture), preprocess) if squares else picture
        probabilities, outlier = session.run(["probabilities", "outlier_score"], {"image": pixels[None]})
        return probabilities[0], float(outlier[0])

    return answer


def _named(labels: Sequence[str], point: OperatingPoint, probabilities: NDArray[Any], outlier: float) -> str:
    best = int(probabilities.argmax())
    return UNKNOWN if point.reason(float(probabilities[best]), outlier) else str(labels[best])
