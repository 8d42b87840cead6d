"""Using a model file: pixels in, answers out. Needs numpy, Pillow and ONNX Runtime only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import ModelFile, read_model_file
from ..core.parallel import map_in_order
from ..core.rejection import UNKNOWN, OperatingPoint
from ..core.runtime import cpu_count, open_session
from ..errors import ImageError, NotAModelFileError
from ..images import PreprocessSpec, load_image

__all__ = ["UNKNOWN", "Prediction", "Predictor", "load_model"]

Photo = str | os.PathLike[str] | bytes

_SPIN = (
    20  # microseconds: a fifth faster on an idle machine, hardly slower on a busy one (benchmarks/startup.py)
)


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo.

    Parameters
    ----------
    photo : str
        Its path, "" for bytes.
    label : str
        A class, or "unknown".
    nearest : str
        The most probable class, also where the label is "unknown".
    probability : float
        Calibrated probability of `nearest`, 0..1.
    outlier_score : float
        How unlike the training photos it is, 0 or more.
    reason : str
        Why it is "unknown", "" otherwise.
    probabilities : float32 ndarray (K,)
    """

    photo: str
    label: str
    nearest: str
    probability: float
    outlier_score: float
    reason: str
    probabilities: NDArray[np.float32]


_OPENED_BY = {
    "face-classifier": "; `rehead predict`, `rehead evaluate` and rehead.load_face_model take it",
    "keypoints": "; use `rehead keypoints predict`, or rehead.load_keypoints",
}


class Predictor:
    """A model file, ready to answer.

    Parameters
    ----------
    file : ModelFile
        What `read_model_file` gives; `load_model` does both.
    threads : int, optional
        Processors to use, all by default.

    Attributes
    ----------
    labels : tuple of str
        Classes, in the order of the columns of probabilities.
    manifest : mapping
        All that the file says of itself: metrics, licences, digests.
    operating_point : OperatingPoint
    """

    kind = "classifier"
    """What the model files are that it takes."""

    def __init__(self, file: ModelFile, *, threads: int | None = None) -> None:
        if (kind := file.manifest["kind"]) != self.kind:
            hint = _OPENED_BY.get(kind, "")
            raise NotAModelFileError(f"{file.path}: a {kind} model; expected a {self.kind}{hint}")
        self.manifest = file.manifest
        self.labels = tuple(file.manifest["labels"])
        self.operating_point = OperatingPoint.from_dict(file.manifest["operating_point"])
        self.preprocess = PreprocessSpec.from_dict(file.manifest["preprocess"])
        self._file = file
        self._threads = threads or cpu_count()
        outputs = {o.name: o.shape for o in self._session.get_outputs()}
        side = self.preprocess.size
        expected = {"probabilities": len(self.labels), "features": None, "outlier_score": None}
        shape = self._session.get_inputs()[0].shape
        if shape[1:] != [side, side, 3] or any(
            name not in outputs or (width and outputs[name][1] != width) for name, width in expected.items()
        ):
            raise NotAModelFileError(
                f"{file.path}: its graph takes {shape} and gives {outputs}; expected "
                f"['N', {side}, {side}, 3] and {len(self.labels)} probabilities, features and outlier_score"
            )

    @cached_property
    def _session(self) -> Any:
        """One photo at a time, on all processors: shortest wait."""
        return self._open(self._threads, spin=_SPIN)

    @cached_property
    def _worker(self) -> Any:
        """Many photos, each on one processor: most photos a second."""
        return self._open(1)

    def _open(self, threads: int, spin: int = 0) -> Any:
        try:
            return open_session(self._file.graph, threads=threads, spin=spin)
        except Exception as error:  # onnxruntime's own classes, which have no common base
            raise NotAModelFileError(
                f"{self._file.path}: ONNX Runtime cannot run its graph ({str(error).splitlines()[0]})"
            ) from error

    def _pixels(self, photo: Photo) -> NDArray[np.uint8]:
        """What the network gets of a photo, (S, S, 3); ImageError where that cannot be had."""
        return load_image(photo, self.preprocess)

    def _answer(self, photo: Photo, session: Any) -> Prediction | ImageError:
        try:
            pixels = self._pixels(photo)
        except ImageError as error:
            return error
        probabilities, outlier = session.run(["probabilities", "outlier_score"], {"image": pixels[None]})
        row, score = probabilities[0], float(outlier[0])
        best = int(row.argmax())
        reason = self.operating_point.reason(float(row[best]), score)
        return Prediction(
            "" if isinstance(photo, bytes) else os.fspath(photo),
            UNKNOWN if reason else self.labels[best],
            self.labels[best],
            float(row[best]),
            score,
            reason,
            row,
        )

    def predict_each(self, photos: Iterable[Photo]) -> Iterator[Prediction | ImageError]:
        """Answers in the order of the photos, as they come; an ImageError for an unreadable one."""
        pending = iter(photos)
        first = list(islice(pending, 2))
        if len(first) < 2:
            yield from (self._answer(photo, self._session) for photo in first)
            return
        answer = partial(self._answer, session=self._worker)
        yield from map_in_order(answer, chain(first, pending), threads=self._threads)

    def predict(self, photos: Photo | Sequence[Photo]) -> list[Prediction]:
        """Answer for each photo; ImageError where one is unreadable.

        Parameters
        ----------
        photos : path, bytes, or sequence of them

        Returns
        -------
        list of Prediction
        """
        answers = []
        for answer in self.predict_each(_as_list(photos)):
            if isinstance(answer, ImageError):
                raise answer
            answers.append(answer)
        return answers

    def predict_proba(self, photos: Photo | Sequence[Photo]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 (n, K), columns in the order of `labels`."""
        return np.stack([answer.probabilities for answer in self.predict(photos)])


def _as_list(photos: Photo | Sequence[Photo]) -> Sequence[Photo]:
    return [photos] if isinstance(photos, str | bytes | os.PathLike) else photos


def load_model(path: str | os.PathLike[str], *, threads: int | None = None) -> Predictor:
    """Open a model file.

    Parameters
    ----------
    path : path
        What `rehead train` or `ImageClassifier.save` wrote.
    threads : int, optional
        Processors to use, all by default.

    Returns
    -------
    Predictor

    Raises
    ------
    ModelFileError
        The file is not there, is something else, newer, or was altered.
    """
    return Predictor(read_model_file(Path(path)), threads=threads)
