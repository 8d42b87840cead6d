"""OpenCV's cascade of Haar features (Viola & Jones 2001), for comparison and for tutorials.

Points and score are those of MTCNN's output network: a cascade has neither.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingExtraError
from .mtcnn import Detections, Mtcnn

__all__ = ["HaarDetector"]

_CASCADE = "haarcascade_frontalface_default.xml"


class HaarDetector:
    """The frontal cascade that OpenCV brings, with the parameters of OpenCV's tutorial."""

    def __init__(self, *, threads: int) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError(
                "the detector haar needs another package: pip install 'rehead[haar]'"
            ) from error
        if not hasattr(cv2, "CascadeClassifier"):
            raise MissingExtraError(
                f"OpenCV {cv2.__version__} has no Haar cascades: pip install 'opencv-python-headless<5'"
            )
        folder: Any = cv2.data  # type: ignore[attr-defined]
        self._cascade = cv2.CascadeClassifier(folder.haarcascades + _CASCADE)
        self._lock = threading.Lock()  # a cascade keeps its photo in itself
        self._mtcnn = Mtcnn(threads=threads)

    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections:
        """Faces whose side has `smallest` pixels or more, as `Mtcnn.detect_boxes`."""
        import cv2

        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        side = max(1, round(smallest))
        with self._lock:
            found = self._cascade.detectMultiScale(
                grey, scaleFactor=1.1, minNeighbors=5, minSize=(side, side)
            )
        corners = np.array(found, np.float64).reshape(-1, 4)
        boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)
        return self._mtcnn.refine(pixels, boxes)
