"""Alignment templates: where an embedder expects the five points of a face, in pixels of its square."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import Points, similarity
from ...images import stretched, warped
from ..types import Face

__all__ = [
    "ARCFACE",
    "ARCFACE_SIZE",
    "DLIB",
    "DLIB_SIZE",
    "FACENET",
    "FACENET_SIZE",
    "NAMED",
    "aligned_faces",
    "with_margin",
]

ARCFACE_SIZE = 112
# insightface, python-package/insightface/utils/face_align.py: arcface_dst
ARCFACE = np.array([
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
])  # fmt: skip

DLIB_SIZE = 150
# Median of MTCNN's points in the squares that dlib cuts by its own five (the corners of the eyes and the
# lower end of the nose, padding 0.25), over the 807 photos of LFW's first 600 pairs: benchmarks/faces.py.
DLIB = np.array([
    [47.94, 45.94],
    [101.62, 45.91],
    [74.72, 78.63],
    [51.26, 105.02],
    [97.81, 105.03],
])  # fmt: skip

FACENET_SIZE = 160
# Median of MTCNN's points in the squares that FaceNet is evaluated on, over the same photos: MTCNN's box with
# 16 pixels more on every side, brought to 160 x 160 (davidsandberg/facenet, `align_dataset_mtcnn.py`).
FACENET = np.array([
    [55.37, 67.09],
    [109.73, 65.98],
    [83.29, 92.15],
    [59.75, 113.55],
    [107.90, 112.76],
])  # fmt: skip

NAMED = {
    "arcface": (ARCFACE, ARCFACE_SIZE),
    "dlib": (DLIB, DLIB_SIZE),
    "facenet": (FACENET, FACENET_SIZE),
}
"""Alignment templates by name, with the side of their square in pixels."""


def with_margin(name: str, size: int, margin: float) -> Points:
    """A named template for a square of `size` pixels, with `margin` times its own side added all round."""
    points, side = NAMED[name]
    return np.asarray((points / side + margin) * (size / (1 + 2 * margin)))


def aligned_faces(
    pixels: NDArray[np.uint8], faces: Sequence[Face], template: Points, size: int
) -> NDArray[np.uint8]:
    """Faces of a photo, warped by their points, with the contrast they were found with.

    uint8 (n, size, size, 3) RGB, of a photo uint8 (H, W, 3) RGB.
    """
    squares = np.empty((len(faces), size, size, 3), np.uint8)
    bright = stretched(pixels) if any(face.stretched for face in faces) else pixels
    for n, face in enumerate(faces):
        source = bright if face.stretched else pixels
        squares[n] = warped(source, similarity(face.points, template), size)
    return squares
