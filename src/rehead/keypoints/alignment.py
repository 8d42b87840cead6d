"""Crops of a photo as affine transforms, and the alignment that derives them from points.

A crop transform (2, 3) maps points of the crop to points of the photo, both in units of the side: (0, 0)
and (1, 1) are corners. The identity is the whole photo, squashed to the square.
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
    "alignment_error",
    "fit_alignment",
    "flip_crops",
    "jitter",
    "points_in_crops",
    "points_in_photos",
]

IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float64)
"""Crop transform of the whole photo."""

_FLIP = np.array([[-1, 0, 1], [0, 1, 0]], dtype=np.float64)

_FILL = 0.7  # of the crop's side that the shape takes; 0.6 and 0.8 were no better (benchmarks/keypoints.py)
_MAX_STD = 2.5  # normal numbers are clipped there: beyond, jitter would move a face out of the crop
_MIN_EXTENT = 1e-3  # of the side: smaller shapes have no direction to align by


@dataclass(frozen=True)
class Alignment:
    """Where the mean shape lies in the crop of the second stage.

    Parameters
    ----------
    shape : float64 ndarray (K, 2)
        In units of the crop.
    matrix : float64 ndarray (2K, 6)
        Points in a row (2K,) times this are the crop transform, rows of (2, 3): the similarity from the crop
        to the photo that fits them best (Umeyama 1991), which is linear in them.
    offset : float64 ndarray (6,)
        Added to it: 0, unless the points have no extent to align by and every crop is the whole photo.
    """

    shape: NDArray[np.float64]
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def crops(self) -> bool:
        """Whether crops differ from the whole photo."""
        return not self.offset.any()

    def crop_transforms(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Crop transforms (n, 2, 3) that bring points (n, K, 2) onto the shape."""
        rows = points.reshape(len(points), -1) @ self.matrix + self.offset
        return np.asarray(rows.reshape(-1, 2, 3))


def fit_alignment(points: NDArray[np.float64]) -> Alignment:
    """Alignment to the mean of points (n, K, 2), NaN where missing; a single point is not aligned."""
    centred = points - np.nanmean(points, axis=1, keepdims=True)
    mean = np.nanmean(centred, axis=0)
    low, high = mean.min(axis=0), mean.max(axis=0)
    extent = float((high - low).max())
    if len(mean) < 2 or not extent > _MIN_EXTENT:
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


def points_in_crops(crop_transforms: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of photos (n, K, 2) in coordinates of the crops (n, 2, 3)."""
    return np.stack([transformed(p, invert(t)) for t, p in zip(crop_transforms, points, strict=True)])


def points_in_photos(
    crop_transforms: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points of crops (n, K, 2) in coordinates of the photos."""
    return np.stack([transformed(p, t) for t, p in zip(crop_transforms, points, strict=True)])


def flip_crops(crop_transforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same crops (n, 2, 3), mirrored left to right."""
    return np.stack([composed(transform, _FLIP) for transform in crop_transforms])


@dataclass(frozen=True)
class JitterStd:
    """Standard deviations of a crop about the true one: log scale, rotation (radian), shift (of the side)."""

    scale: float
    rotation: float
    shift: float


def alignment_error(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> JitterStd:
    """How far predicted crop transforms (n, 2, 3) are from the true ones, root mean square."""
    off = np.stack([composed(invert(p), t) for p, t in zip(predicted, true, strict=True)])
    scale = np.log(np.hypot(off[:, 0, 0], off[:, 1, 0]))
    rotation = np.arctan2(off[:, 1, 0], off[:, 0, 0])
    shift = off[:, :, :2] @ [0.5, 0.5] + off[:, :, 2] - 0.5
    rms = [float(np.sqrt(np.mean(v**2))) for v in (scale, rotation, shift)]
    return JitterStd(*rms)


def jitter(
    crop_transforms: NDArray[np.float64], std: JitterStd, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Crop transforms (n, 2, 3) rotated, scaled and shifted at random, about the middle of the crops."""
    normal = rng.normal(size=(len(crop_transforms), 4)).clip(-_MAX_STD, _MAX_STD)
    jittered = []
    for transform, (s, r, dx, dy) in zip(crop_transforms, normal, strict=True):
        scale, angle = np.exp(s * std.scale), r * std.rotation
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = np.array([0.5, 0.5]) + std.shift * np.array([dx, dy]) - linear @ [0.5, 0.5]
        jittered.append(composed(transform, np.column_stack([linear, shift])))
    return np.stack(jittered)
