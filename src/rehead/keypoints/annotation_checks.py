"""What is wrong with annotated points: places that stand for "missing", and photos whose points fit no other.

Limits are relative to the file's own points, so that what varies much may vary: a limit that holds for faces
would refuse hands. Figures below are those of 450 photos of faces with 68 points, and with 5 of them.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAR", "far_outside", "placeholders", "shape_misfits"]

FAR = 0.5
"""Of the photo's side: a point farther outside is in another unit, or a slip."""

_ALWAYS = (0j, -1 - 1j)  # what COCO, dlib's tools and spreadsheets write for a missing point
_MANY, _MANY_SHARE = 5, 0.02  # photos: closed lips coincide at one same place in up to 0.9 % of photos
_NEAR, _OFTEN = 0.1, 0.25  # of the side; of the photos: a corner of a document is often near the photo's own,
# a point of a face was within 0.1 of it in none of 450
_TIMES = 5  # the place of closed lips that was seen in 4 photos had others around it that were seen in 2
_MIN_PHOTOS = 20  # the quartiles of fewer say little
_MIN_POINTS = 3  # a similarity fits any two points
_OUTER = 3.0  # interquartile ranges above the upper quartile: "far out" (Tukey 1977)
_MIN_RESIDUE = 0.4  # of the extent: true faces reach 0.40, with one of five points in the corner 0.52 or more
_ROUNDS = 3  # after the first, another changes the shape by less than a thousandth of its extent


def placeholders(
    points: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[tuple[float, float]]]:
    """Which points are missing and were given a place all the same, bool (n, K); and these places.

    Such a place is (0, 0), (-1, -1), or any in which two points of a photo, or points outside of it, lie in
    many photos; and in the other photos these points are elsewhere, or at no place nearby in so many.

    Parameters
    ----------
    points : float64 ndarray (n, K, 2)
        Pixels, the centre of the upper left one being (0, 0); NaN where missing.
    sizes : int ndarray (n, 2)
        Width and height of the photos.
    """
    units = points / sizes[:, None, :]
    z = points[:, :, 0] + 1j * points[:, :, 1]
    ordered = np.sort(z, axis=1)
    outside = np.argwhere(((units < 0) | (units > 1)).any(axis=2)).tolist()
    twice = np.argwhere(ordered[:, 1:] == ordered[:, :-1]).tolist()
    seen: Counter[complex] = Counter(
        place for _, place in {(n, z[n, k]) for n, k in outside} | {(n, ordered[n, k]) for n, k in twice}
    )
    many = max(_MANY, _MANY_SHARE * len(points))
    found = np.zeros(points.shape[:2], dtype=bool)
    named = []
    for place in [*_ALWAYS, *(p for p, count in seen.items() if count >= many and p not in _ALWAYS)]:
        hit, xy = z == place, (float(place.real), float(place.imag))
        if not hit.any():
            continue
        rest = ~hit & ~np.isnan(z) & hit.any(axis=0)
        near = (rest & (np.abs(units - np.array(xy) / sizes[:, None, :]) < _NEAR).all(axis=2)).sum(axis=0)
        often = float(np.average(near / np.maximum(rest.sum(axis=0), 1), weights=hit.sum(axis=0)))
        elsewhere = often < _OFTEN if rest.any() else place in _ALWAYS
        single = seen[place] >= many and rest.sum() >= hit.sum() and _stands_out(place, seen, sizes)
        if elsewhere or single:
            found |= hit
            named.append(xy)
    return found, named


def _stands_out(place: complex, seen: Counter[complex], sizes: NDArray[np.int64]) -> bool:
    """Whether no place nearby was seen in so many photos: points that coincide by chance do it all around."""
    reach = _NEAR * float(np.median(sizes))
    around = max((n for other, n in seen.items() if 0 < abs(other - place) < reach), default=0)
    return seen[place] > _TIMES * around


def far_outside(points: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Points (n, K) that lie far outside of their photo; coordinates from its corner, in pixels."""
    units = points / sizes[:, None, :]
    return np.asarray(((units < -FAR) | (units > 1 + FAR)).any(axis=2))


def shape_misfits(points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Photos whose points are a similarity of the usual shape in no way: single ones, and those of a kind.

    A photo's residue is what the best similarity (Umeyama 1991) of the median shape leaves of its points, as
    a fraction of their extent, both root mean squares: 0 is a perfect fit, 1 none. It is "far out" above the
    quartiles of all photos (Tukey 1977). Half of such photos or more that fit each other are another kind,
    such as left hands among right ones, or one same mistake.

    Parameters
    ----------
    points : float64 ndarray (n, K, 2)
        In pixels; NaN where missing.

    Returns
    -------
    int ndarrays
        Rows; both empty with few photos or points.
    """
    none = np.zeros(0, np.intp)
    z = points[:, :, 0] + 1j * points[:, :, 1]
    rows = np.flatnonzero((~np.isnan(z)).sum(axis=1) >= _MIN_POINTS)
    if len(rows) < _MIN_PHOTOS:
        return none, none
    z = z[rows]
    residue = _fit(z, _median_shape(z))[1]
    low, high = np.quantile(residue, [0.25, 0.75])
    limit = max(high + _OUTER * (high - low), _MIN_RESIDUE)
    odd = np.flatnonzero(residue > limit)
    if len(odd) >= _MANY:
        alike = _fit(z[odd], _median_shape(z[odd]))[1] <= limit
        if alike.mean() >= 0.5:
            return rows[odd[~alike]], rows[odd[alike]]
    return rows[odd], none


def _centred(z: NDArray[np.complex128], known: NDArray[np.bool_]) -> NDArray[np.complex128]:
    """Points (n, K) about the mean of the known ones, 0 where they are not."""
    filled = np.where(known, z, 0)
    mean = filled.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, filled - mean, 0)


def _fit(
    z: NDArray[np.complex128], shape: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """The points (n, K) brought onto the shape (K,), and the residues (n,), see `shape_misfits`.

    In complex numbers a similarity is a z + b, and the best a the regression coefficient.
    """
    known = ~np.isnan(z)
    own, target = _centred(z, known), _centred(np.broadcast_to(shape, z.shape), known)
    energy, common = (np.abs(own) ** 2).sum(axis=1), (own.conj() * target).sum(axis=1)
    explained = np.abs(common) ** 2 / np.maximum(energy * (np.abs(target) ** 2).sum(axis=1), 1e-300)
    turned = own * (common / np.maximum(energy, 1e-300))[:, None]
    offset = np.where(known, shape, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    residue = np.sqrt(np.clip(1 - explained, 0, 1))
    return np.where(known, turned + offset[:, None], np.nan), residue


def _median_shape(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The shape (K,) of most of the points (n, K), in any turn and size; NaN where a point is never known.

    It begins at the full Procrustes mean (Kent 1994), an eigenvector, and goes on to medians, which single
    photos do not move.
    """
    known = ~np.isnan(z)
    own = _centred(z, known)
    own /= np.maximum(np.sqrt((np.abs(own) ** 2).sum(axis=1, keepdims=True)), 1e-300)
    shape: NDArray[np.complex128] = np.linalg.eigh(own.T @ own.conj())[1][:, -1]
    never = ~known.any(axis=0)
    for _ in range(_ROUNDS):
        placed = _fit(z, shape)[0]
        placed[:, never] = 0
        shape = np.nanmedian(placed.real, axis=0) + 1j * np.nanmedian(placed.imag, axis=0)
        shape = shape / max(float(np.sqrt((np.abs(shape) ** 2).sum())), 1e-300)
    return shape
