"""dlib's detectors: histograms of gradients (Dalal & Triggs 2005), and a max-margin network (King 2015).

Boxes and scores are dlib's; the five points are those of MTCNN's output network, because dlib's own five
are other ones (the corners of the eyes and the lower end of the nose).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...backbones.weights import faces, locate
from ...errors import MissingExtraError
from ...images import pyramid
from .mtcnn import Detections, Mtcnn

__all__ = ["DlibDetector", "cnn_detector", "hog_detector"]

_WINDOW = 80  # side of the smallest face that both detectors find without upsampling, pixels
_LONGEST_UPSAMPLED = 2560  # pixels: beyond, memory and seconds would grow too far

Run: TypeAlias = Callable[[Any, NDArray[np.uint8]], tuple[list[Any], list[float]]]
"""A detector of dlib's and pixels to rectangles and scores."""


class DlibDetector:
    """One of dlib's detectors, with MTCNN's five points.

    Parameters
    ----------
    build : callable
        Makes dlib's object. Each thread gets its own: it keeps the photo in itself, and two calls at once
        end the process.
    run : callable
        Calls it.
    max_upsampling : float
        How many times a photo is enlarged at most, to find faces smaller than the window.
    threads : int
        Processors that MTCNN may use.
    """

    def __init__(self, build: Callable[[], Any], run: Run, *, max_upsampling: float, threads: int) -> None:
        self._build, self._run, self._max_upsampling = build, run, max_upsampling
        self._mtcnn = Mtcnn(threads=threads)
        self._local = threading.local()

    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections:
        """Faces whose side has `smallest` pixels or more, as `Mtcnn.detect_boxes`."""
        height, width = pixels.shape[:2]
        scale = min(
            self._max_upsampling, max(1.0, _WINDOW / smallest), _LONGEST_UPSAMPLED / max(height, width)
        )
        size = max(1, round(width * scale)), max(1, round(height * scale))
        (resized,) = pyramid(pixels, [size])
        if not hasattr(self._local, "detector"):
            self._local.detector = self._build()
        rectangles, scores = self._run(self._local.detector, resized)
        # dlib's rectangles are whole pixels, the last of them included
        corners = [[r.left(), r.top(), r.right() + 1, r.bottom() + 1] for r in rectangles]
        boxes = np.array(corners, np.float64).reshape(-1, 4)
        boxes *= np.array([width / size[0], height / size[1]] * 2)
        return self._mtcnn.refine(pixels, boxes)._replace(scores=np.array(scores, np.float64))


def hog_detector(*, threads: int) -> DlibDetector:
    """Histograms of gradients: upright faces from the front. MissingExtraError without dlib-bin."""

    def run(detector: Any, pixels: NDArray[np.uint8]) -> tuple[list[Any], list[float]]:
        rectangles, scores, _ = detector.run(pixels, 0, 0.0)
        return list(rectangles), list(scores)

    return DlibDetector(_dlib().get_frontal_face_detector, run, max_upsampling=2.0, threads=threads)


def cnn_detector(*, threads: int) -> DlibDetector:
    """The max-margin network: surer, and seconds a photo on a CPU. MissingExtraError without dlib-bin."""
    dlib = _dlib()
    weights = str(locate.locate(faces.get("dlib_mmod")))

    def run(detector: Any, pixels: NDArray[np.uint8]) -> tuple[list[Any], list[float]]:
        found = list(detector(pixels, 0))
        return [each.rect for each in found], [each.confidence for each in found]

    return DlibDetector(
        lambda: dlib.cnn_face_detection_model_v1(weights), run, max_upsampling=1.0, threads=threads
    )


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise MissingExtraError(
            "the detectors dlib and dlib-cnn need another package: pip install 'rehead[faces]'"
        ) from error
    return dlib
