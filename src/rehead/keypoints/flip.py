"""Which point becomes which when a photo is mirrored left to right: `flip_idx`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

__all__ = ["MULTI_PIE_68", "REGIONS_68", "check_flip_idx", "find_flip_idx", "flip_points"]

MULTI_PIE_68: tuple[int, ...] = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # bridge of the nose
    *range(35, 30, -1),  # its tip
    *(45, 44, 43, 42, 47, 46),  # eyes
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),  # outer lips
    *range(59, 54, -1),
    *range(64, 59, -1),  # inner lips
    *(67, 66, 65),
)
"""The 68 points of Multi-PIE and iBUG 300-W (Gross et al. 2010; Sagonas et al. 2013), counted from 0."""

REGIONS_68 = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
"""Parts of the face among the 68 points."""

_MAX_ASYMMETRY = 0.06  # of the shape's diagonal: how far the mirrored mean shape may lie from itself on
# average. The 68 points of YouTube Faces differ by 0.014, a set of independent random points by 0.1 and more.


def flip_points(points: NDArray[np.float64], flip_idx: Sequence[int]) -> NDArray[np.float64]:
    """Points (..., K, 2), in units of the side, of the photo mirrored left to right."""
    flipped = points[..., list(flip_idx), :].copy()
    flipped[..., 0] = 1 - flipped[..., 0]
    return flipped


def check_flip_idx(flip_idx: ArrayLike, points: int) -> tuple[int, ...]:
    """The flip index that was given; DataError unless it is a permutation that is its own inverse."""
    table = np.asarray(flip_idx)
    whole = table.dtype.kind in "iu" and table.ndim == 1
    if (
        not whole
        or sorted(table.tolist()) != list(range(points))
        or (table[table] != np.arange(points)).any()
    ):
        raise DataError(
            f"the mirror table must hold each of 0 to {points - 1} once, the partner of each point, so "
            f"that partners name each other; given {table.tolist()}"
        )
    return tuple(table.tolist())


def find_flip_idx(points: NDArray[np.float64], names: Sequence[str] = ()) -> tuple[int, ...] | None:
    """The partner of each point, or None where the points show no mirror symmetry.

    Built in for 68 points, read from names with left and right, otherwise inferred: the partners that bring
    the mirrored mean shape nearest to itself.

    Parameters
    ----------
    points : float64 ndarray (n, K, 2)
        NaN where missing.
    names : sequence of str
    """
    k = points.shape[1]
    shape = _mean_shape(points)
    if shape is None:
        return None
    if k == len(MULTI_PIE_68) and _asymmetry(shape, MULTI_PIE_68) < _MAX_ASYMMETRY:
        return MULTI_PIE_68
    if (named := _by_name(names)) is not None:
        return named
    from scipy.optimize import linear_sum_assignment

    cost = ((_flip_shape(shape)[:, None] - shape[None]) ** 2).sum(axis=2)
    cost += cost.T  # partners are partners of each other
    table = linear_sum_assignment(cost)[1].tolist()
    mutual = all(table[partner] == own for own, partner in enumerate(table))
    return tuple(table) if mutual and _asymmetry(shape, table) < _MAX_ASYMMETRY else None


def _mean_shape(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Mean of each point about the middle of all, (K, 2); None where a point is always missing."""
    if np.isnan(points).all(axis=0).any() or points.shape[1] < 2:
        return None
    centred = points - np.nanmean(points, axis=1, keepdims=True)
    shape: NDArray[np.float64] = np.nanmean(centred, axis=0)
    return shape


def _flip_shape(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = shape[:, 0].mean()
    return np.column_stack([2 * middle - shape[:, 0], shape[:, 1]])


def _asymmetry(shape: NDArray[np.float64], table: Sequence[int]) -> float:
    diagonal = float(np.linalg.norm(np.ptp(shape, axis=0)))
    away = np.linalg.norm(_flip_shape(shape)[list(table)] - shape, axis=1)
    return float(away.mean()) / max(diagonal, 1e-12)


def _by_name(names: Sequence[str]) -> tuple[int, ...] | None:
    """Partners by names that differ in left and right only; None where there are none."""
    if not any(re.search("left|right", name, re.I) for name in names):
        return None
    swap = {"left": "right", "right": "left"}
    place = {name.lower(): n for n, name in enumerate(names)}
    others = [re.sub("left|right", lambda m: swap[m[0]], name.lower()) for name in names]
    if any(other not in place for other in others):
        return None
    return tuple(place[other] for other in others)
