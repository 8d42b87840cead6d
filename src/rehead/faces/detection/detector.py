"""Face detection: MTCNN, YuNet, dlib's two detectors, or Haar cascades."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import area, clipped, transformed
from ...core.runtime import cpu_count
from ...errors import DataError, UnknownNameError
from ...images import pyramid, stretched
from ..options import DETECTORS
from ..types import Face, Faces, Photo, pixels_of
from .dlib import cnn_detector, hog_detector
from .haar import HaarDetector
from .mtcnn import Detections, Mtcnn
from .quality import measure_quality
from .yunet import YuNet

__all__ = ["FaceDetector"]


class _BoxDetector(Protocol):
    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections: ...


_BOX_DETECTORS: Mapping[str, Callable[..., _BoxDetector]] = {
    "mtcnn": Mtcnn,
    "yunet": YuNet,
    "dlib": hog_detector,
    "dlib-cnn": cnn_detector,
    "haar": HaarDetector,
}

_LOW_CONTRAST = 128
"""Grey levels that a photo spans before stretching its contrast is worth a try: half of them."""
_SURE: Mapping[str, float] = {"mtcnn": 0.99, "haar": 0.99, "yunet": 0.9}
"""Scores from which a face is not doubtful. By MTCNN's O-net the least of LFW's portraits is 0.991; where 150
of them lay on their side, 16 wrong faces were seen, at most at 0.98. By YuNet 99 of 100 portraits are above
0.9, and 1 of 100 upside down; 99, 97 and 99 of 100 turned by 90, 180 and 270 degrees were told as such
(benchmarks/yunet.py)."""


def _best(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=-math.inf)


class FaceDetector:
    """Detects faces and their five points.

    Parameters
    ----------
    name : {"mtcnn", "yunet", "dlib", "dlib-cnn", "haar"}
        "mtcnn" is the default: the most accurate, and quick. "yunet" is quicker, and weaker on small and
        tilted faces; it needs a file that rehead fetches. "dlib" (HOG) is for upright faces from the front,
        "dlib-cnn" slow on a CPU; both need dlib-bin. "haar" needs `rehead[haar]` and errs most. The points
        are MTCNN's, but for YuNet, which has its own.
    smallest : float
        Least side of a face, in pixels of the photo after resizing, see `longest`.
    longest : int
        A larger photo is first resized to this many pixels along its longer side.
    retry : bool
        Where no face was found, detect again at twice that size, then with the contrast of a dark photo
        stretched, then with the photo turned by 90, 180 and 270 degrees; `Face.notes` says so. The last is
        done where MTCNN or YuNet doubts all faces, too.
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

    def detect(self, photo: Photo) -> Faces:
        """Faces of a photo, the largest first.

        Parameters
        ----------
        photo : path, bytes, binary file, Pillow image, or uint8 pixels (H, W, 3) RGB or (H, W)
            Turned upright by its EXIF; pixels are taken as they are.

        Returns
        -------
        Faces
            A list, in pixels of the upright photo, boxes cut off at its edges. Empty where there is no face.

        Raises
        ------
        ImageError
            The photo cannot be read.
        DataError
            What was given is no photo.
        """
        path = os.fspath(photo) if isinstance(photo, str | os.PathLike) else ""
        return Faces(self._detect(pixels_of(photo)), path)

    def _detect(self, pixels: NDArray[np.uint8]) -> list[Face]:
        scale = min(1.0, self.longest / max(pixels.shape[:2]))
        faces = self._faces(pixels, self._detect_at(pixels, scale))
        if not self.retry:
            return faces
        faces = faces or self._faces(pixels, self._detect_at(pixels, 2 * scale))
        bright = pixels if faces else stretched(pixels, below=_LOW_CONTRAST)
        if bright is not pixels:
            faces = self._faces(bright, self._detect_at(bright, scale), stretched=True)
        if self._sure(faces):
            return faces
        dark = bright is not pixels
        turned = [self._turned(bright, scale, quarters, stretched=dark) for quarters in (1, 2, 3)]
        best = max(turned, key=_best)
        return best if self._sure(best) else faces

    def _sure(self, faces: Sequence[Face]) -> bool:
        return bool(faces) and _best(faces) >= _SURE.get(self.name, -math.inf)

    def _turned(
        self, pixels: NDArray[np.uint8], scale: float, quarters: int, *, stretched: bool
    ) -> list[Face]:
        """Faces of the photo turned clockwise by so many quarters, in pixels of the photo as it is."""
        found = self._detect_at(np.ascontiguousarray(np.rot90(pixels, -quarters)), scale)
        height, width = pixels.shape[:2]
        back = {
            1: np.array([[0, 1, 0], [-1, 0, height]]),
            2: np.array([[-1, 0, width], [0, -1, height]]),
            3: np.array([[0, -1, width], [1, 0, 0]]),
        }[quarters]
        corners = transformed(found.boxes.reshape(-1, 2, 2), back)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        points = transformed(found.points, back)
        return self._faces(
            pixels, Detections(boxes, points, found.scores), turn=90 * quarters, stretched=stretched
        )

    def _detect_at(self, pixels: NDArray[np.uint8], scale: float) -> Detections:
        """Faces of the photo resized by `scale`, in pixels of the photo."""
        height, width = pixels.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        resized = pixels if size == (width, height) else next(pyramid(pixels, [size]))
        boxes, points, scores = self._box_detector.detect_boxes(resized, smallest=self.smallest)
        unscale = np.array([width / size[0], height / size[1]])
        return Detections(boxes * np.tile(unscale, 2), points * unscale, scores)

    @staticmethod
    def _faces(
        pixels: NDArray[np.uint8], found: Detections, *, turn: int = 0, stretched: bool = False
    ) -> list[Face]:
        boxes = clipped(found.boxes, (pixels.shape[1], pixels.shape[0]))
        areas = area(boxes)
        return [
            Face(
                boxes[n],
                found.points[n],
                float(found.scores[n]),
                measure_quality(pixels, boxes[n], found.points[n]),
                turn,
                stretched,
            )
            for n in np.argsort(-areas, kind="stable")
            if areas[n] > 0
        ]
