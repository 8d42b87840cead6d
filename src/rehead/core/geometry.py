"""Boxes, points and affine transforms, in pixels.

Coordinates are continuous: the upper left pixel of a photo reaches from (0, 0) to (1, 1) and has its centre
at (0.5, 0.5); x grows to the right, y downwards. A photo of H x W pixels is the box (0, 0, W, H), and
resizing it to H' x W' multiplies coordinates by W'/W and H'/H. OpenCV and dlib count from the centre
of the upper left pixel instead: 0.5 less.

Boxes are x0, y0, x1, y1 with x0 <= x1 and y0 <= y1; points are (K, 2), x before y; maps are affine,
(2, 3), p' = A p + t with A the first two columns.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

__all__ = [
    "Boxes",
    "Matrix",
    "Points",
    "area",
    "centre",
    "clipped",
    "composed",
    "invert",
    "iou",
    "similarity",
    "transformed",
]

Boxes: TypeAlias = NDArray[np.float64]
"""Shape (..., 4): x0, y0, x1, y1."""
Points: TypeAlias = NDArray[np.float64]
"""Shape (..., 2): x, y."""
Matrix: TypeAlias = NDArray[np.float64]
"""Shape (2, 3)."""


def area(boxes: Boxes) -> NDArray[np.float64]:
    """Area of boxes (..., 4) in square pixels, shape (...)."""
    sides: NDArray[np.float64] = (boxes[..., 2:] - boxes[..., :2]).clip(0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def centre(boxes: Boxes) -> Points:
    """Middle of boxes (..., 4), shape (..., 2)."""
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2)


def clipped(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Boxes (..., 4) cut off at the edges of a photo of `size` (width, height)."""
    return np.asarray(boxes.clip(0, [*size, *size]))


def iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every box of `a` (N, 4) with every one of `b` (M, 4).

    Returns
    -------
    float64 array of shape (N, M), 0..1; 0 for boxes without area
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(axis=2)
    union = area(a)[:, None] + area(b)[None, :] - common
    shared: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shared


def similarity(source: ArrayLike, target: ArrayLike) -> Matrix:
    """The similarity transform that best maps `source` to `target` (Umeyama 1991).

    It minimises the sum of squared distances in the target's plane, without reflection.

    Parameters
    ----------
    source, target : array-like of shape (K, 2), K >= 2

    Returns
    -------
    float64 array of shape (2, 3)

    Raises
    ------
    DataError
        Other shapes, values that are not finite, or source points that all coincide.
    """
    p, q = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if p.shape != q.shape or p.ndim != 2 or p.shape[1] != 2 or len(p) < 2:
        raise DataError(
            f"similarity of points: expected two lists of the same 2 or more points (K, 2), "
            f"found {p.shape} and {q.shape}"
        )
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise DataError("similarity of points: expected finite coordinates")
    centre_p, centre_q = p.mean(axis=0), q.mean(axis=0)
    p, q = p - centre_p, q - centre_q
    spread = (p**2).sum()
    if spread == 0:
        raise DataError("similarity of points: all source points coincide; expected two different ones")
    # In the plane a rotation with a scale is [[a, -b], [b, a]], and Umeyama's solution has this closed form.
    a = (p * q).sum() / spread
    b = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / spread
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, centre_q - linear @ centre_p])


def transformed(points: Points, matrix: Matrix) -> Points:
    """Points (..., 2) mapped by `matrix` (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def composed(outer: Matrix, inner: Matrix) -> Matrix:
    """The transform that applies `inner` first and then `outer`, both (2, 3)."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(matrix: Matrix) -> Matrix:
    """The inverse, (2, 3); DataError where `matrix` is singular."""
    try:
        linear = np.linalg.inv(matrix[:, :2])
    except np.linalg.LinAlgError as error:
        raise DataError("a map of points cannot be inverted: it flattens the plane") from error
    return np.column_stack([linear, -linear @ matrix[:, 2]])
