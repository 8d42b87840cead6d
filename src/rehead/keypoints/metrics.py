"""Metrics of predicted points, photo by photo. Needs numpy only.

Arrays are (n, K, 2) in pixels, NaN where a true point is missing; those do not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LIMIT",
    "area_under_curve",
    "box_size",
    "distances",
    "eye_distance",
    "normalised_errors",
    "pck",
    "photo_errors",
]

LIMIT = 0.08
"""Normalised mean error above which a photo is a failure, and the limit of the curve's area: 300-W's 8 %
(Sagonas et al. 2016)."""

Floats = NDArray[np.float64]


def distances(predicted: Floats, truth: Floats) -> Floats:
    """Euclidean distance of each point, (n, K); NaN where not known."""
    return np.asarray(np.linalg.norm(predicted - truth, axis=2))


def photo_errors(predicted: Floats, truth: Floats, sizes: NDArray[np.int64] | None = None) -> Floats:
    """Mean absolute error of each photo's coordinates (n,): in pixels, or over `sizes` (n, 2)."""
    error = np.abs(predicted - truth)
    return np.asarray(np.nanmean(error if sizes is None else error / sizes[:, None, :], axis=(1, 2)))


def box_size(truth: Floats) -> Floats:
    """Square root of the area of the box around the known points, (n,); NaN where it has none."""
    low, high = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    size: Floats = np.sqrt((high - low).prod(axis=1))
    return np.where(size > 0, size, np.nan)


def eye_distance(truth: Floats, corners: tuple[int, int] = (36, 45)) -> Floats:
    """Distance of the outer corners of the eyes, (n,); NaN where one is not known or they coincide."""
    distance = np.linalg.norm(truth[:, corners[0]] - truth[:, corners[1]], axis=1)
    return np.where(distance > 0, distance, np.nan)


def normalised_errors(predicted: Floats, truth: Floats, size: Floats) -> Floats:
    """Mean distance of the points of each photo over its `size` (n,)."""
    return np.asarray(np.nanmean(distances(predicted, truth), axis=1) / size)


def pck(predicted: Floats, truth: Floats, size: Floats, threshold: float) -> Floats:
    """PCK (n,): fraction of the known points of each photo whose error is at most `threshold` of its size."""
    error = distances(predicted, truth) / size[:, None]
    known = ~np.isnan(error)
    near = (known & (error <= threshold)).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count > 0, near / np.maximum(count, 1), np.nan)


def area_under_curve(errors: Floats, limit: float = LIMIT) -> Floats:
    """Each photo's part, 0..1, in the area under the curve of errors up to `limit`.

    The curve is the fraction of photos whose error is at most x; its area over 0..limit, over the limit, is
    the mean of max(0, 1 - error / limit).
    """
    return np.where(np.isnan(errors), np.nan, np.maximum(0.0, 1 - errors / limit))
