"""Face detection: MTCNN, dlib's two detectors, or Haar cascades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import area, clipped
from ...core.runtime import cpu_count
from ...errors import DataError, UnknownNameError
from ...images import pyramid
from ..options import DETECTORS
from ..types import Face, Photo, pixels_of
from .dlib import cnn_detector, hog_detector
from .haar import HaarDetector
from .mtcnn import Detections, Mtcnn
from .quality import measure_quality

__all__ = ["FaceDetector"]


class _BoxDetector(Protocol):
    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections: ...


_BOX_DETECTORS: Mapping[str, Callable[..., _BoxDetector]] = {
    "mtcnn": Mtcnn,
    "dlib": hog_detector,
    "dlib-cnn": cnn_detector,
    "haar": HaarDetector,
}


class FaceDetector:
    """Detects faces and their five points.

    Parameters
    ----------
    name : {"mtcnn", "dlib", "dlib-cnn", "haar"}
        "mtcnn" is the default: the most accurate, and quick. "dlib" (HOG) is for upright faces from the
        front, "dlib-cnn" slow on a CPU; both need dlib-bin. "haar" needs `rehead[haar]` and errs most.
        The points are MTCNN's in any case, so that an embedder gets the same ones from all.
    smallest : float
        Least side of a face, in pixels of the photo after resizing, see `longest`.
    longest : int
        A larger photo is first resized to this many pixels along its longer side.
    retry : bool
        Detect again at twice that size where no face was found.
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
        if name not in _BOX_DETECTORS:
            raise UnknownNameError("face detector", name, DETECTORS)
        if smallest < 4 or longest < 16:
            raise DataError(
                "face detector: smallest must be 4 pixels or more and longest 16 or more, "
                f"not {smallest} and {longest}"
            )
        self.name, self.smallest, self.longest, self.retry = name, smallest, longest, retry
        self._box_detector = _BOX_DETECTORS[name](threads=threads or cpu_count())

    def detect(self, photo: Photo) -> list[Face]:
        """Faces of a photo, the largest first.

        Parameters
        ----------
        photo : path, bytes, binary file, Pillow image, or uint8 pixels (H, W, 3) RGB or (H, W)
            Turned upright by its EXIF; pixels are taken as they are.

        Returns
        -------
        list of Face
            In pixels of the upright photo, boxes cut off at its edges. Empty where there is no face.

        Raises
        ------
        ImageError
            The photo cannot be read.
        DataError
            What was given is no photo.
        """
        pixels = pixels_of(photo)
        scale = min(1.0, self.longest / max(pixels.shape[:2]))
        found = self._detect_at(pixels, scale)
        if self.retry and not len(found.boxes):
            found = self._detect_at(pixels, 2 * scale)
        return self._faces(pixels, found)

    def _detect_at(self, pixels: NDArray[np.uint8], scale: float) -> Detections:
        """Faces of the photo resized by `scale`, in pixels of the photo."""
        height, width = pixels.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        resized = pixels if size == (width, height) else next(pyramid(pixels, [size]))
        boxes, points, scores = self._box_detector.detect_boxes(resized, smallest=self.smallest)
        unscale = np.array([width / size[0], height / size[1]])
        return Detections(boxes * np.tile(unscale, 2), points * unscale, scores)

    @staticmethod
    def _faces(pixels: NDArray[np.uint8], found: Detections) -> list[Face]:
        boxes = clipped(found.boxes, (pixels.shape[1], pixels.shape[0]))
        areas = area(boxes)
        return [
            Face(
                boxes[n],
                found.points[n],
                float(found.scores[n]),
                measure_quality(pixels, boxes[n], found.points[n]),
            )
            for n in np.argsort(-areas, kind="stable")
            if areas[n] > 0
        ]
