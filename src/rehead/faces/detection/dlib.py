"""dlib's detectors: histograms of gradients (Dalal & Triggs 2005), and max-margin with a network (King 2015).

Boxes and scores are dlib's; the five points are those of MTCNN's last network, because dlib's own five
are other ones (the corners of the eyes and the lower end of the nose).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backbones.weights import faces, locate
from ...errors import MissingExtraError
from ...images import pyramid
from .mtcnn import Detections, Mtcnn

__all__ = ["CnnFinder", "HogFinder"]

_WINDOW = 80  # side of the smallest face that both detectors see without enlarging, pixels
_MOST = 4.0  # times a photo is enlarged at the most,
_LARGEST = (
    2560  # and never beyond so many pixels along its longer side: memory and seconds would grow too far
)


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise MissingExtraError(
            "the detectors dlib and dlib-cnn need another package: pip install 'rehead[faces]'"
        ) from error
    return dlib


class _DlibFinder:
    """What both have in common."""

    enlarged = 1.0
    """Times a photo is enlarged at the most."""

    def __init__(self, *, threads: int) -> None:
        self._dlib = _dlib()
        self._mtcnn = Mtcnn(threads=threads)
        self._own = threading.local()

    @property
    def _detector(self) -> Any:
        """This thread's detector: dlib's keep the photo in themselves, and two at once end the process."""
        if not hasattr(self._own, "detector"):
            self._own.detector = self._made()
        return self._own.detector

    def _made(self) -> Any:
        raise NotImplementedError

    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections:
        """Faces whose side has `smallest` pixels or more, as `Mtcnn.detect_boxes`."""
        height, width = pixels.shape[:2]
        scale = min(self.enlarged, max(1.0, _WINDOW / smallest), _LARGEST / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        (looked_at,) = pyramid(pixels, [size])
        rectangles, scores = self._rectangles(looked_at)
        # dlib's rectangles are whole pixels, the last of them included
        corners = [[r.left(), r.top(), r.right() + 1, r.bottom() + 1] for r in rectangles]
        boxes = np.array(corners, np.float64).reshape(-1, 4)
        boxes *= np.array([width / size[0], height / size[1]] * 2)
        points = self._mtcnn.refine(pixels, boxes).points
        return Detections(boxes, points, np.array(scores, np.float64))

    def _rectangles(self, pixels: NDArray[np.uint8]) -> tuple[list[Any], list[float]]:
        raise NotImplementedError


class HogFinder(_DlibFinder):
    """Histograms of gradients: upright faces from the front."""

    enlarged = 2.0

    def _made(self) -> Any:
        return self._dlib.get_frontal_face_detector()

    def _rectangles(self, pixels: NDArray[np.uint8]) -> tuple[list[Any], list[float]]:
        rectangles, scores, _ = self._detector.run(pixels, 0, 0.0)
        return list(rectangles), list(scores)


class CnnFinder(_DlibFinder):
    """The max-margin detector: surer, and seconds a photo on a processor."""

    def __init__(self, *, threads: int) -> None:
        super().__init__(threads=threads)
        self._weights = str(locate.locate(faces.get("dlib_mmod")))

    def _made(self) -> Any:
        return self._dlib.cnn_face_detection_model_v1(self._weights)

    def _rectangles(self, pixels: NDArray[np.uint8]) -> tuple[list[Any], list[float]]:
        found = list(self._detector(pixels, 0))
        return [one.rect for one in found], [one.confidence for one in found]
