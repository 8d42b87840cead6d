"""Faces are found: MTCNN, dlib's two detectors, or Haar cascades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import area, clipped
from ...core.runtime import cpu_count
from ...errors import DataError, UnknownNameError
from ...images import pyramid, read_image
from ..types import Face, Photo
from .mtcnn import Detections, Mtcnn
from .quality import measured

__all__ = ["DETECTORS", "FaceDetector"]


class _Finder(Protocol):
    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections: ...


def _mtcnn(threads: int) -> _Finder:
    return Mtcnn(threads=threads)


def _dlib(threads: int) -> _Finder:
    from .dlib import HogFinder

    return HogFinder(threads=threads)


def _dlib_cnn(threads: int) -> _Finder:
    from .dlib import CnnFinder

    return CnnFinder(threads=threads)


def _haar(threads: int) -> _Finder:
    from .haar import HaarFinder

    return HaarFinder(threads=threads)


_FINDERS: Mapping[str, Callable[[int], _Finder]] = {
    "mtcnn": _mtcnn,
    "dlib": _dlib,
    "dlib-cnn": _dlib_cnn,
    "haar": _haar,
}

DETECTORS = tuple(_FINDERS)
"""Names of the detectors, the default first."""


class FaceDetector:
    """Finds faces and their five points.

    Parameters
    ----------
    name : {"mtcnn", "dlib", "dlib-cnn", "haar"}
        "mtcnn" is the default: the surest, and quick. "dlib" (HOG) is for upright faces from the front,
        "dlib-cnn" slow on a processor; both need dlib-bin. "haar" needs `rehead[haar]` and errs most.
        The points are MTCNN's in any case: an embedder then gets the same ones from all.
    smallest : float
        Least side of a face, in pixels of the photo as it is looked at, see `longest`.
    longest : int
        A larger photo is first looked at with its longer side at this many pixels.
    retry : bool
        Look again at twice that size where no face was found.
    threads : int, optional
        Processors that one photo may use, all by default.

    Raises
    ------
    UnknownNameError
        There is no such detector.
    MissingExtraError
        The detector's package is not installed.
    WeightsError
        Its weights cannot be found.
    """

    def __init__(
        self,
        name: str = "mtcnn",
        *,
        smallest: float = 20,
        longest: int = 1280,
        retry: bool = True,
        threads: int | None = None,
    ) -> None:
        if name not in _FINDERS:
            raise UnknownNameError("face detector", name, DETECTORS)
        if smallest < 4 or longest < 16:
            raise DataError(
                "face detector: smallest must be 4 pixels or more and longest 16 or more, "
                f"not {smallest} and {longest}"
            )
        self.name, self.smallest, self.longest, self.retry = name, smallest, longest, retry
        self._finder = _FINDERS[name](threads or cpu_count())

    def detect(self, photo: Photo) -> list[Face]:
        """Faces of a photo, the largest first.

        Parameters
        ----------
        photo : path, bytes or uint8 array (H, W, 3)
            Turned upright by its EXIF; pixels are taken as they are.

        Returns
        -------
        list of Face
            In pixels of the upright photo, boxes cut off at its edges. Empty where there is no face.

        Raises
        ------
        ImageError
            The photo cannot be read.
        """
        pixels = photo if isinstance(photo, np.ndarray) else read_image(photo)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise DataError(
                f"photo as pixels: expected uint8 (height, width, 3) RGB, found {pixels.dtype} {pixels.shape}"
            )
        scale = min(1.0, self.longest / max(pixels.shape[:2]))
        found = self._find(pixels, scale)
        if self.retry and not len(found.boxes):
            found = self._find(pixels, 2 * scale)
        return self._faces(pixels, found)

    def _find(self, pixels: NDArray[np.uint8], scale: float) -> Detections:
        """Faces of the photo looked at `scale` times its size, in pixels of the photo."""
        height, width = pixels.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if size != (width, height):
            (looked_at,) = pyramid(pixels, [size])
        else:
            looked_at = pixels
        boxes, points, scores = self._finder.detect_boxes(looked_at, smallest=self.smallest)
        stretch = np.array([width / size[0], height / size[1]])
        return Detections(boxes * np.tile(stretch, 2), points * stretch, scores)

    @staticmethod
    def _faces(pixels: NDArray[np.uint8], found: Detections) -> list[Face]:
        boxes = clipped(found.boxes, (pixels.shape[1], pixels.shape[0]))
        areas = area(boxes)
        return [
            Face(
                boxes[n], found.points[n], float(found.scores[n]), measured(pixels, boxes[n], found.points[n])
            )
            for n in np.argsort(-areas, kind="stable")
            if areas[n] > 0
        ]
