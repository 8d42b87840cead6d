"""Near-duplicates: equal bytes, or the picture saved again, resized, trimmed, mirrored or brightened.

Near-duplicates across a split inflate results (leakage), so they share a group. The perceptual hash proposes
pairs, the cosine of features decides: photos that only share coarse light and shade, as aligned faces do,
are far apart in features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.parallel import one_blas_thread
from ..core.photos import File
from ..images import PreprocessSpec, area_weights, load_image, luma

__all__ = [
    "MAX_BITS",
    "MAX_BITS_ALONE",
    "MIN_COSINE",
    "MIRROR",
    "connected_groups",
    "iter_groups",
    "l2_normalize",
    "least_cosine",
    "merge_groups",
    "near_duplicates",
    "perceptual_hash",
    "photo_hash",
]

MAX_BITS = 16
"""Hash bits, of 63, in which two copies may differ; measured by benchmarks/near_duplicates.py."""

MAX_BITS_ALONE = 4
"""The same where no features confirm it; measured by benchmarks/near_duplicates.py."""

MIN_COSINE = 0.8
"""Least cosine of centred features at `MAX_BITS`; measured by benchmarks/near_duplicates.py."""

MIRROR = np.uint64(0xAAAAAAAAAAAAAAAA)
"""Bits of a hash that mirroring turns: the coefficients of odd horizontal frequency."""

_RELIEF = 0.2  # by which the least cosine is lower where hashes are equal; benchmarks/near_duplicates.py
_MIN_CONTRAST = 1.0  # grey levels, the step of 8 bits: below it the hash is of noise and rounding
_SIDE, _LOW = 32, 8  # Zauner 2010, section 3.2.1: the DCT of 32 x 32, its lowest 8 x 8
_HASHED = PreprocessSpec(size=64, mean=(0, 0, 0), std=(1, 1, 1))  # twice the side that the hash looks at
_TILE = 512  # rows: a tile's distances and features stay in the processor's cache


def perceptual_hash(image: NDArray[np.uint8]) -> np.uint64:
    """Perceptual hash of a photo.

    The DCT hash of Zauner (2010), "Implementation and benchmarking of perceptual image hash
    functions", with one change: a coefficient's bit is its sign instead of its side of the median
    (nearly the same, as light and dark cancel), which turns mirroring into a fixed pattern of bits.

    Parameters
    ----------
    image : uint8 array of shape (S, S, 3)
        RGB, 0..255: the square that the network sees.

    Returns
    -------
    uint64
        Bit 8 v + u is 1 where the coefficient of vertical frequency v and horizontal frequency u is
        positive; bit 0, the mean, is 0. It is 0 as a whole where there is too little contrast to
        hash (under one grey level, root mean square), and such photos have no neighbours.
    """
    basis = _basis(image.shape[0])
    coefficients = basis @ luma(image) @ basis.T
    coefficients[0, 0] = 0
    if np.linalg.norm(coefficients) < _MIN_CONTRAST * _SIDE:
        return np.uint64(0)
    packed = np.packbits(coefficients.ravel() > 0, bitorder="little")
    return np.uint64(int.from_bytes(packed.tobytes(), "little"))


def photo_hash(photo: File) -> np.uint64:
    """`perceptual_hash` of a photo file where no network sees the photo; raises as `images.load_image`."""
    return perceptual_hash(load_image(photo, _HASHED))


@one_blas_thread
def near_duplicates(
    digests: Sequence[str | bytes],
    hashes: ArrayLike,
    features: NDArray[np.floating] | None,
    *,
    max_bits: int | None = None,
    min_cosine: float = MIN_COSINE,
) -> NDArray[np.intp]:
    """Group near-duplicates.

    Two photos are joined where their bytes are equal, or where their hashes, one of them mirrored
    or not, differ in d <= `max_bits` bits and the cosine of their features, minus the mean of all,
    is at least min_cosine - 0.2 (1 - d / max_bits): the closer the hashes, the lower the limit. Groups are
    connected components: the frames of a slow pan become one group.

    Parameters
    ----------
    digests : sequence of str or bytes
        (n,) sha256 of each file.
    hashes : array-like of uint64, shape (n,)
        From `perceptual_hash`; 0 where there is none.
    features : float array of shape (n, d), or None
        Pooled features of each photo, as the network gives them. Without them the hashes decide.
    max_bits : int, optional
        By default `MAX_BITS` with features and `MAX_BITS_ALONE` without.
    min_cosine : float
        Least cosine where hashes differ in `max_bits`.

    Returns
    -------
    groups : array of intp, shape (n,)
        Numbered in the order in which they first occur. Memory beside the features does not grow
        with n squared: they are compared in tiles of 512 x 512.

    Raises
    ------
    ValueError
        The columns differ in length.
    """
    code = np.asarray(hashes, dtype=np.uint64)
    vectors = len(digests) if features is None else len(features)
    if code.shape != (len(digests),) or vectors != len(digests):
        raise ValueError(
            f"{len(digests)} digests, hashes of shape {code.shape}, {vectors} rows of features; "
            "expected one of each a photo"
        )
    first: dict[str | bytes, int] = {}
    group = np.array([first.setdefault(digest, row) for row, digest in enumerate(digests)], dtype=np.intp)
    group = np.unique(group, return_inverse=True)[1]
    if max_bits is None:
        max_bits = MAX_BITS_ALONE if features is None else MAX_BITS
    hashed = np.flatnonzero(code)
    if features is not None and len(hashed):
        centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    tiles = [hashed[start : start + _TILE] for start in range(0, len(hashed), _TILE)]
    for one, two in combinations_with_replacement(tiles, 2):
        bits = _distance(code[one], code[two])
        close = (bits <= max_bits) & (group[one][:, None] != group[two])
        a, b = np.flatnonzero(close.any(axis=1)), np.flatnonzero(close.any(axis=0))
        close = close[np.ix_(a, b)]
        if features is not None:
            limit = least_cosine(bits[np.ix_(a, b)], min_cosine, max_bits)
            close &= (
                l2_normalize(features[one[a]] - centre) @ l2_normalize(features[two[b]] - centre).T >= limit
            )
        i, j = np.nonzero(close)
        group = _join(group, one[a[i]], two[b[j]])
    return group


def least_cosine(
    bits: NDArray[np.uint8], min_cosine: float = MIN_COSINE, max_bits: int = MAX_BITS
) -> NDArray[np.float64]:
    """Least cosine of features of copies whose hashes differ in so many bits, of the same shape."""
    limit: NDArray[np.float64] = min_cosine - _RELIEF * (1 - bits / max(max_bits, 1))
    return limit


def merge_groups(*groups: ArrayLike) -> NDArray[np.intp]:
    """Merge several groupings of the same rows.

    Parameters
    ----------
    *groups : array-like of int or str, shape (n,)
        At least one; rows of equal value belong together. -1 and "" say that a row has no group.

    Returns
    -------
    array of intp, shape (n,)
        The finest partition in which rows that share a group in any of them share one, numbered
        in the order in which its groups first occur.

    Raises
    ------
    ValueError
        The columns differ in length.
    """
    columns = [np.asarray(column) for column in groups]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise ValueError(f"groups have shapes {[column.shape for column in columns]}; expected (n,) for all")
    merged = np.arange(len(columns[0]))
    for column in columns:
        given = np.flatnonzero((column != "") if column.dtype.kind in "UO" else (column != -1))
        _, first, inverse = np.unique(column[given], return_index=True, return_inverse=True)
        merged = _join(merged, given, given[first[inverse]])
    return merged


@lru_cache(maxsize=8)
def _basis(side: int) -> NDArray[np.float32]:
    """(8, side) The lowest vectors of the orthonormal DCT-II of 32 points, behind a reduction by area."""
    k = np.arange(_LOW)[:, None]
    cosines = np.cos(np.pi * k * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE)) * np.sqrt(2 / _SIDE)
    cosines[0] = np.sqrt(1 / _SIDE)
    basis: NDArray[np.float32] = (cosines @ area_weights(_SIDE, side)).astype(np.float32)
    return basis


def _distance(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(len(one), len(two)) Bits that differ, mirrored or not, whichever are fewer."""
    differ = one[:, None] ^ two
    bits: NDArray[np.uint8] = np.minimum(np.bitwise_count(differ), np.bitwise_count(differ ^ MIRROR))
    return bits


def _join(group: NDArray[np.intp], i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.intp]:
    """Renumber groups after joining those of the rows `i` with those of the rows `j`.

    scipy's `connected_components` gives the same; its import took longer than all the rest of this module.
    """
    if not len(i):
        return group
    least = np.arange(int(group.max()) + 1)  # the least group that each is known to be joined to
    one, two = group[i], group[j]
    while (apart := least[one] != least[two]).any():
        one, two = least[one[apart]], least[two[apart]]
        np.minimum.at(least, np.maximum(one, two), np.minimum(one, two))
        while (nearer := least[least]).tobytes() != least.tobytes():
            least = nearer
    joined: NDArray[np.intp] = np.unique(least[group], return_inverse=True)[1]
    return joined


def l2_normalize(rows: NDArray[np.floating]) -> NDArray[Any]:
    """Rows (n, d) scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[Any] = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def iter_groups(group: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The rows of each group of two or more, groups in the order of their first rows; -1 is no group."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-2))
    found = [
        order[start:end]
        for start, end in pairwise([*starts.tolist(), len(order)])
        if end - start > 1 and group[order[start]] >= 0
    ]
    return iter(sorted(found, key=lambda rows: int(rows[0])))


def connected_groups(links: ArrayLike, n: int) -> NDArray[np.intp]:
    """Groups of n rows in which linked ones, pairs (k, 2), share a number."""
    i, j = np.asarray(links, dtype=np.intp).reshape(-1, 2).T
    return _join(np.arange(n), i, j)
