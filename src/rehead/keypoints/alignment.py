"""Views: which square of a photo is looked at, as a map from the square to the photo.

Both are in units of the side, so (0, 0) and (1, 1) are corners. A view that is the identity sees the
whole photo, squashed to the square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import composed, invert, transformed

__all__ = [
    "IDENTITY",
    "Alignment",
    "JitterStd",
    "align_to",
    "alignment_error",
    "jitter",
    "mirrored_views",
    "photo_points",
    "view_points",
]

IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float64)
"""View of the whole photo."""

_MIRRORED = np.array([[-1, 0, 1], [0, 1, 0]], dtype=np.float64)

_FILL = 0.7  # of the square's side that the shape takes; 0.6 and 0.8 were no better (benchmarks/keypoints.py)
_MOST = 2.5  # standard deviations: a normal number beyond that would shake a face out of the square
_LEAST = 1e-3  # of the side: shapes that are smaller have no direction to align by


@dataclass(frozen=True)
class Alignment:
    """Where a typical shape lies in the square of the second look.

    Parameters
    ----------
    shape : float64 ndarray (K, 2)
        In units of the square.
    matrix : float64 ndarray (2K, 6)
        Points in a row (2K,) times this are the view, in rows of (2, 3): the similarity from the square to
        the photo that fits them best (Umeyama 1991), which is linear in them.
    offset : float64 ndarray (6,)
        Added to it: 0, but where points have no extent to align by, and every view is the whole photo.
    """

    shape: NDArray[np.float64]
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def moves(self) -> bool:
        """Whether views differ from the whole photo."""
        return not self.offset.any()

    def views(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Views (n, 2, 3) that bring points (n, K, 2) onto the shape."""
        rows = points.reshape(len(points), -1) @ self.matrix + self.offset
        return np.asarray(rows.reshape(-1, 2, 3))


def align_to(points: NDArray[np.float64]) -> Alignment:
    """Alignment to the mean of points (n, K, 2), NaN where missing; a single point is not aligned."""
    centred = points - np.nanmean(points, axis=1, keepdims=True)
    mean = np.nanmean(centred, axis=0)
    low, high = mean.min(axis=0), mean.max(axis=0)
    extent = float((high - low).max())
    if len(mean) < 2 or not extent > _LEAST:
        return Alignment(mean, np.zeros((mean.size, 6)), IDENTITY.ravel())
    shape = (mean - (low + high) / 2) / extent * _FILL + 0.5
    k = len(shape)
    z = shape - shape.mean(axis=0)
    energy = (z**2).sum()
    a = (z / energy).ravel()
    b = np.column_stack([-z[:, 1], z[:, 0]]).ravel() / energy
    x, y = np.tile([1 / k, 0], k), np.tile([0, 1 / k], k)
    cx, cy = shape.mean(axis=0)
    matrix = np.stack([a, -b, x - a * cx + b * cy, b, a, y - b * cx - a * cy], axis=1)
    return Alignment(shape, matrix, np.zeros(6))


def view_points(views: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of photos (n, K, 2) as views (n, 2, 3) see them."""
    return np.stack([transformed(p, invert(view)) for view, p in zip(views, points, strict=True)])


def photo_points(views: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points that views (n, 2, 3) see, (n, K, 2), in the photos."""
    return np.stack([transformed(p, view) for view, p in zip(views, points, strict=True)])


def mirrored_views(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same squares, seen mirrored left to right."""
    return np.stack([composed(view, _MIRRORED) for view in views])


@dataclass(frozen=True)
class JitterStd:
    """Standard deviations of a view about the right one: log scale, turn (radian), shift (of the square)."""

    scale: float
    turn: float
    shift: float


def alignment_error(views: NDArray[np.float64], right: NDArray[np.float64]) -> JitterStd:
    """How far views (n, 2, 3) lie from the right ones."""
    off = np.stack([composed(invert(view), truth) for view, truth in zip(views, right, strict=True)])
    scale = np.log(np.hypot(off[:, 0, 0], off[:, 1, 0]))
    turn = np.arctan2(off[:, 1, 0], off[:, 0, 0])
    shift = off[:, :, :2] @ [0.5, 0.5] + off[:, :, 2] - 0.5
    rms = [float(np.sqrt(np.mean(v**2))) for v in (scale, turn, shift)]
    return JitterStd(*rms)


def jitter(views: NDArray[np.float64], spread: JitterStd, rng: np.random.Generator) -> NDArray[np.float64]:
    """Views (n, 2, 3) turned, scaled and shifted at random, about the middle of their squares."""
    normal = rng.normal(size=(len(views), 4)).clip(-_MOST, _MOST)
    moved = []
    for view, (s, t, dx, dy) in zip(views, normal, strict=True):
        size, angle = np.exp(s * spread.scale), t * spread.turn
        linear = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = np.array([0.5, 0.5]) + spread.shift * np.array([dx, dy]) - linear @ [0.5, 0.5]
        moved.append(composed(view, np.column_stack([linear, shift])))
    return np.stack(moved)
