"""Using a model file of keypoints: pixels in, points out. Needs numpy, Pillow and ONNX Runtime only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import read_model_file
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
    spread : float64 ndarray (K, 2, 2)
        Covariance of each point in square pixels: the ellipse of squared Mahalanobis radius 5.99 holds the
        true point in 95 % of photos of the same kind.
    confidence : float
        Probability that the mean error is below twice the typical one, 0..1.
    outlier_score : float
        How unlike the training photos, 0 or more.
    reason : str
        Why the points should not be relied on, "" otherwise.
    face : tuple of float or None
        Box x0, y0, x1, y1 of the face that was found, where faces were looked for.
    """

    photo: str
    size: tuple[int, int]
    points: NDArray[np.float64]
    spread: NDArray[np.float64]
    confidence: float
    outlier_score: float
    reason: str
    face: tuple[float, ...] | None = None


class KeypointPredictor:
    """A model of keypoints, ready to answer; `load_keypoints` opens a file.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    manifest : mapping
        All that the file says of itself.
    name : str
        What errors call it.
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
    def of_graph(
        cls, graph: bytes, manifest: Mapping[str, Any], *, threads: int | None = None
    ) -> KeypointPredictor:
        """Of a graph that was just made and is in no file yet."""
        return cls(graph, {"kind": "keypoints", **manifest}, threads=threads)

    @cached_property
    def _session(self) -> Any:
        """One photo at a time, on all processors: shortest wait."""
        return self._open(self._threads, _SPIN)

    @cached_property
    def _worker(self) -> Any:
        """Many photos, each on one processor: most photos a second."""
        return self._open(1, 0)

    def _open(self, threads: int, spin: int) -> Any:
        try:
            return open_session(self._graph, threads=threads, spin=spin)
        except Exception as error:  # onnxruntime's own classes, which have no common base
            raise NotAModelFileError(
                f"{self._name}: ONNX Runtime cannot run its graph ({str(error).splitlines()[0]})"
            ) from error

    def _answer(self, photo: Photo, session: Any) -> KeypointPrediction | ImageError:
        name = "" if isinstance(photo, bytes) else os.fspath(photo)
        try:
            data = photo if isinstance(photo, bytes) else read_bytes(photo)
            size = image_size(data)
            pixels = load_image(data, self.preprocess)
        except ImageError as error:
            return ImageError(name or None, error.reason)
        return self._placement(name, size, pixels, (0, 0, *size), session)

    def place(
        self, pixels: NDArray[np.uint8], size: tuple[int, int], window: Sequence[float] | NDArray[np.float64]
    ) -> KeypointPrediction:
        """Points of a part of a photo.

        Parameters
        ----------
        pixels : uint8 ndarray (S, S, 3)
            The part, RGB, squashed to the model's side.
        size : (int, int)
            Width and height of the photo.
        window : x0, y0, x1, y1
            Where in the photo the part is, in pixels from its corner.
        """
        return self._placement("", size, pixels, window, self._session)

    def _placement(
        self,
        name: str,
        size: tuple[int, int],
        pixels: NDArray[np.uint8],
        window: Sequence[float] | NDArray[np.float64],
        session: Any,
    ) -> KeypointPrediction:
        points, spread, confidence, outlier = session.run(_OUTPUTS, {"image": pixels[None]})
        low, high = np.array(window, dtype=np.float64).reshape(2, 2)
        sides = high - low
        score = float(outlier[0])
        return KeypointPrediction(
            name,
            size,
            low + points[0] * sides - CENTRE,
            spread[0] * np.outer(sides, sides),
            float(confidence[0]),
            score,
            "" if score <= self._limit else "unlike the training photos",
        )

    def predict_each(self, photos: Iterable[Photo]) -> Iterator[KeypointPrediction | ImageError]:
        """Answers in the order of the photos, as they come; an ImageError for an unreadable one."""
        pending = iter(photos)
        first = list(islice(pending, 2))
        if len(first) < 2:
            yield from (self._answer(photo, self._session) for photo in first)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            running = [pool.submit(self._answer, photo, self._worker) for photo in first]
            try:
                while running:
                    more = islice(pending, 4 * self._threads - len(running))
                    running += [pool.submit(self._answer, photo, self._worker) for photo in more]
                    yield running.pop(0).result()
            finally:
                for future in running:
                    future.cancel()

    def predict(self, photos: Photo | Sequence[Photo]) -> list[KeypointPrediction]:
        """Points of each photo; ImageError where one is unreadable."""
        listed = [photos] if isinstance(photos, str | bytes | os.PathLike) else photos
        answers = []
        for answer in self.predict_each(listed):
            if isinstance(answer, ImageError):
                raise answer
            answers.append(answer)
        return answers


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
        The file is not there, is something else, newer, or was altered.
    """
    file = read_model_file(Path(path))
    return KeypointPredictor(file.graph, file.manifest, str(file.path), threads=threads)
