"""What an embedder's network takes (the JSON spec beside an ONNX file), and which embeddings compare."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.cache import digest_of
from ...core.geometry import Points
from ...core.preprocess import PreprocessSpec
from ...errors import DataError, UnknownNameError
from .alignment import NAMED

__all__ = ["EmbedderSpec", "describe_difference", "read_spec", "spec_fingerprint"]

_NOT_COMPARED = ("name", "licences")  # of an embedding spec: an embedding does not depend on them
_PREPROCESS = ("size", "mean", "std", "channels", "layout")
_FIELDS = (*_PREPROCESS, "template", "mirrored", "prewhitened", "distance", "licences")
_EXAMPLE = (
    '{"size": 112, "channels": "BGR", "mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5], '
    '"template": "arcface"}'
)


@dataclass(frozen=True, eq=False)
class EmbedderSpec:
    """What an embedder's network takes.

    Parameters
    ----------
    preprocess : PreprocessSpec
        Side of the square, channel order, mean and std, layout; the other fields are ignored.
    alignment_template : float64 array of shape (5, 2)
        Where the five points of a face go, in pixels of the square; it sets the margin as well.
    mirrored : bool
        Whether the embedding of the mirror image is added.
    prewhitened : bool
        Whether every square is standardised to mean 0 and standard deviation 1 by its own pixels, as
        FaceNet's `prewhiten` does, instead of by `mean` and `std`.
    licences : mapping
        Of "code", "weights" and "data"; "not stated" where they are not.
    """

    preprocess: PreprocessSpec
    alignment_template: Points
    mirrored: bool = False
    prewhitened: bool = False
    licences: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All that an embedding depends on but the weights, JSON-able."""
        used = self.preprocess.to_dict()
        return {
            "size": self.preprocess.size,
            "template": [[float(v) for v in point] for point in self.alignment_template],
            "preprocess": {name: used[name] for name in _PREPROCESS[1:]},
            "mirrored": self.mirrored,
            "prewhitened": self.prewhitened,
            "distance": "cosine",
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> EmbedderSpec:
        """Read a spec written by hand.

        Fields: "size", "mean", "std" and, where they differ from RGB and NCHW, "channels" and "layout";
        "template": the name of one, or five points in pixels of the square; "mirrored", "prewhitened";
        "distance": "cosine" or "euclidean", which rank embeddings of length 1 alike;
        "licences": {"code": ..., "weights": ..., "data": ...}. "scale" may be given instead of "std".

        Raises
        ------
        DataError, UnknownNameError
            A field is missing, unknown, or of the wrong kind.
        """
        if not isinstance(record, Mapping):
            raise DataError(f"embedder spec: expected fields and values, such as {_EXAMPLE}")
        given = dict(record)
        if "scale" in given and "std" not in given:
            given["std"] = _inverse(given.pop("scale"))
        for name in given:
            if name not in _FIELDS:
                raise UnknownNameError("embedder spec field", str(name), (*_FIELDS, "scale"))
        prewhitened = _bool(given, "prewhitened")
        if prewhitened:
            given |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        for name in ("mean", "std"):
            if isinstance(given.get(name), int | float):
                given[name] = (given[name],) * 3
        preprocess = PreprocessSpec.from_dict({k: v for k, v in given.items() if k in _PREPROCESS})
        if (distance := given.get("distance", "cosine")) not in ("cosine", "euclidean"):
            raise UnknownNameError("embedder spec distance", str(distance), ("cosine", "euclidean"))
        return cls(
            preprocess,
            _alignment_template(given.get("template"), preprocess.size),
            _bool(given, "mirrored"),
            prewhitened,
            _licences(given.get("licences", {})),
        )


def read_spec(path: str | os.PathLike[str], *, of: Path) -> EmbedderSpec:
    """Read the spec of the network `of` from a JSON file; DataError names what is wrong in it."""
    try:
        record = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{of}: how faces are prepared for this network is not known; write {Path(path).name} beside "
            f"it, such as {_EXAMPLE}"
        ) from error
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{os.fspath(path)}: not JSON ({error})") from error
    try:
        return EmbedderSpec.from_dict(record)
    except (DataError, UnknownNameError) as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error


def spec_fingerprint(embedding_spec: Mapping[str, Any]) -> str:
    """Digest of an `Embedder.embedding_spec`; equal where embeddings may be compared."""
    return digest_of({key: value for key, value in embedding_spec.items() if key not in _NOT_COMPARED})


def describe_difference(expected: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str, str]:
    """Two embedding specs in words: the embedders' names, and what differs where the names agree."""
    names = [str(spec.get("name", "another embedder")) for spec in (expected, given)]
    if names[0] == names[1]:
        keys = {**expected, **given}
        differs = [key for key in keys if expected.get(key) != given.get(key) and key != "licences"]
        names = [f"{names[0]} with another {', '.join(sorted(differs))}", "this one"]
    return names[0], names[1]


def _inverse(scale: Any) -> tuple[float, ...]:
    """Divisors that are equivalent to multiplying by `scale`."""
    values = scale if isinstance(scale, list | tuple) else [scale] * 3
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in values):
        raise DataError(f"embedder spec: scale must be a positive number, or three, not {scale!r}")
    return tuple(1 / v for v in values)


def _bool(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise DataError(f"embedder spec: {name} must be true or false, not {value!r}")
    return value


def _alignment_template(value: object, size: int) -> Points:
    if isinstance(value, str):
        if value not in NAMED:
            raise UnknownNameError("alignment template", value, NAMED)
        points, side = NAMED[value]
        return points * (size / side)
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise DataError(
            f"embedder spec: template must be a name ({', '.join(NAMED)}) or five points [[x, y], ...] in "
            "pixels of the square: both eyes, nose, both corners of the mouth"
        )
    return points


def _licences(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise DataError('embedder spec: licences must be {"code": ..., "weights": ..., "data": ...}')
    for part in value:
        if part not in ("code", "weights", "data"):
            raise UnknownNameError("part of the licences", str(part), ("code", "weights", "data"))
    return {part: value.get(part, "not stated") for part in ("code", "weights", "data")}
