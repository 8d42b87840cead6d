"""Prediction with a model file of keypoints. Needs numpy, Pillow and ONNX Runtime only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import read_model_file
from ..core.parallel import map_in_order
from ..core.runtime import cpu_count, open_session
from ..errors import ImageError, NotAModelFileError
from ..images import PreprocessSpec, image_size, load_image, read_bytes
from .formats import CENTRE

__all__ = ["KeypointPrediction", "KeypointPredictor", "load_keypoints"]

Photo = str | os.PathLike[str] | bytes

_OUTPUTS = ("keypoints", "spread", "confidence", "outlier_score")
_SPIN = 20  # microseconds, as predict (benchmarks/startup.py)


@dataclass(frozen=True)
class KeypointPrediction:
    """The points of one photo.

    Parameters
    ----------
    photo : str
        Its path, "" for bytes.
    size : (int, int)
        Width and height of the upright photo, in pixels.
    points : float64 ndarray (K, 2)
        Pixels of the upright photo, x before y, the centre of the upper left pixel being (0, 0).
    covariance : float64 ndarray (K, 2, 2)
        Covariance of each point in square pixels: the ellipse of squared Mahalanobis radius 5.99 holds the
        true point in 95 % of photos of the same kind.
    confidence : float
        Probability that the mean error is below twice the typical one, 0..1.
    outlier_score : float
        How unlike the training photos, 0 or more.
    reason : str
        Why the points are not reliable, "" where they are.
    face : tuple of float or None
        Box x0, y0, x1, y1 of the detected face, where faces were detected.
    names : tuple of str
        Of the points; empty where they have none.
    """

    photo: str
    size: tuple[int, int]
    points: NDArray[np.float64]
    covariance: NDArray[np.float64]
    confidence: float
    outlier_score: float
    reason: str
    face: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record, as `rehead keypoints predict --format json` prints it."""
        points = [
            {
                **({"name": self.names[k]} if self.names else {}),
                "x": round(x, 3),
                "y": round(y, 3),
                "covariance": [[round(v, 4) for v in row] for row in self.covariance[k].tolist()],
            }
            for k, (x, y) in enumerate(self.points.tolist())
        ]
        return {
            "photo": self.photo,
            "width": self.size[0],
            "height": self.size[1],
            "confidence": round(self.confidence, 6),
            "outlier_score": round(self.outlier_score, 6),
            "reason": self.reason,
            **({} if self.face is None else {"face": [round(v, 2) for v in self.face]}),
            "points": points,
        }


class KeypointPredictor:
    """A model of keypoints, ready to predict; `load_keypoints` opens a file.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    manifest : mapping
        Of the file.
    name : str
        For errors.
    threads : int, optional
        Processors to use, all by default.

    Attributes
    ----------
    manifest : mapping
    n_points : int
    names : tuple of str
        Of the points; empty where they have none.
    """

    def __init__(
        self,
        graph: bytes,
        manifest: Mapping[str, Any],
        name: str = "the model",
        *,
        threads: int | None = None,
    ) -> None:
        if (kind := manifest["kind"]) != "keypoints":
            hint = "; use rehead.load_model or `rehead predict`" if kind == "classifier" else ""
            raise NotAModelFileError(f"{name}: a {kind} model; expected one of keypoints{hint}")
        self.manifest = manifest
        self.n_points = int(manifest["points"]["count"])
        self.names = tuple(manifest["points"].get("names", ()))
        self.preprocess = PreprocessSpec.from_dict(manifest["preprocess"])
        self._limit = float(manifest["operating_point"]["outlier_score"])
        self._graph, self._name = graph, name
        self._threads = threads or cpu_count()
        side = self.preprocess.size
        outputs = {o.name: o.shape for o in self._session.get_outputs()}
        shape = self._session.get_inputs()[0].shape
        if shape[1:] != [side, side, 3] or any(output not in outputs for output in _OUTPUTS):
            raise NotAModelFileError(
                f"{name}: its graph takes {shape} and gives {sorted(outputs)}; expected ['N', {side}, "
                f"{side}, 3] and {', '.join(_OUTPUTS)}"
            )

    @classmethod
    def from_graph(
        cls, graph: bytes, manifest: Mapping[str, Any], *, threads: int | None = None
    ) -> KeypointPredictor:
        """From a graph that is not in a file."""
        return cls(graph, {"kind": "keypoints", **manifest}, threads=threads)

    @cached_property
    def _session(self) -> Any:
        """For one photo at a time, on all processors: lowest latency."""
        return self._open(self._threads, _SPIN)

    @cached_property
    def _worker(self) -> Any:
        """For many photos, each on one processor: highest throughput."""
        return self._open(1, 0)

    def _open(self, threads: int, spin: int) -> Any:
        try:
            return open_session(self._graph, threads=threads, spin=spin)
        except Exception as error:  # onnxruntime's own classes, which have no common base
            raise NotAModelFileError(
                f"{self._name}: ONNX Runtime cannot run its graph ({str(error).splitlines()[0]})"
            ) from error

    def _predict_photo(self, photo: Photo, session: Any) -> KeypointPrediction | ImageError:
        name = "" if isinstance(photo, bytes) else os.fspath(photo)
        try:
            data = photo if isinstance(photo, bytes) else read_bytes(photo)
            size = image_size(data)
            pixels = load_image(data, self.preprocess)
        except ImageError as error:
            return ImageError(name or None, error.reason)
        return self._predict(name, size, pixels, (0, 0, *size), session)

    def predict_crop(
        self, pixels: NDArray[np.uint8], size: tuple[int, int], box: Sequence[float] | NDArray[np.float64]
    ) -> KeypointPrediction:
        """Points of a crop of a photo.

        Parameters
        ----------
        pixels : uint8 ndarray (S, S, 3)
            The crop, RGB, squashed to the model's side.
        size : (int, int)
            Width and height of the photo.
        box : x0, y0, x1, y1
            Of the crop in the photo, in pixels from its corner.
        """
        return self._predict("", size, pixels, box, self._session)

    def _predict(
        self,
        name: str,
        size: tuple[int, int],
        pixels: NDArray[np.uint8],
        box: Sequence[float] | NDArray[np.float64],
        session: Any,
    ) -> KeypointPrediction:
        points, covariance, confidence, outlier = session.run(_OUTPUTS, {"image": pixels[None]})
        low, high = np.array(box, dtype=np.float64).reshape(2, 2)
        sides = high - low
        score = float(outlier[0])
        return KeypointPrediction(
            name,
            size,
            low + points[0] * sides - CENTRE,
            covariance[0] * np.outer(sides, sides),
            float(confidence[0]),
            score,
            "" if score <= self._limit else "unlike the training photos",
            names=self.names,
        )

    def predict_each(self, photos: Iterable[Photo]) -> Iterator[KeypointPrediction | ImageError]:
        """Predictions in the order of the photos, as they come; an ImageError for an unreadable one."""
        pending = iter(photos)
        first = list(islice(pending, 2))
        if len(first) < 2:
            yield from (self._predict_photo(photo, self._session) for photo in first)
            return
        answer = partial(self._predict_photo, session=self._worker)
        yield from map_in_order(answer, chain(first, pending), threads=self._threads)

    def predict(self, photos: Photo | Sequence[Photo]) -> list[KeypointPrediction]:
        """Points of each photo; ImageError where one is unreadable."""
        listed = [photos] if isinstance(photos, str | bytes | os.PathLike) else photos
        predictions = []
        for prediction in self.predict_each(listed):
            if isinstance(prediction, ImageError):
                raise prediction
            predictions.append(prediction)
        return predictions


def load_keypoints(path: str | os.PathLike[str], *, threads: int | None = None) -> KeypointPredictor:
    """Open a model file of keypoints.

    Parameters
    ----------
    path : path
        What `rehead keypoints train` or `KeypointRegressor.save` wrote.
    threads : int, optional
        Processors to use, all by default.

    Returns
    -------
    KeypointPredictor

    Raises
    ------
    ModelFileError
        The file is missing, of another kind, newer, or altered.
    """
    file = read_model_file(Path(path))
    return KeypointPredictor(file.graph, file.manifest, str(file.path), threads=threads)
