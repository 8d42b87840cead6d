"""Pairs of near hashes among millions, without comparing all with all.

Two hashes that differ in at most 7 bits agree in at least one of 8 bands of 8 bits (the pigeonhole principle:
Norouzi et al. 2012, "Fast search in Hamming space with multi-index hashing"), so only hashes that share a
band are compared: each with a 256th of the others, eight times.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.parallel import map_in_order
from .duplicates import MIRROR

__all__ = ["NEAR_BITS", "near_pairs"]

NEAR_BITS = 7
"""Bits in which two hashes may differ; docs/scale.md says which copies that finds."""

_BANDS, _BAND = 8, 8
_TILE = 1024  # hashes: a tile's distances are 8 MB
_ALIKE = 64  # photos of one hash that each is compared with
_FIRST = 8  # photos of one hash that those of a near hash are compared with


def near_pairs(hashes: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]]:
    """Pairs of photos whose hashes differ in at most 7 bits, one of them mirrored or not.

    Parameters
    ----------
    hashes : array-like of uint64, shape (n,)
        From `perceptual_hash`; 0 where there is none, which is near to nothing.

    Returns
    -------
    i, j : intp ndarray (m,)
        Rows, i < j, no pair twice. Of more than 64 photos of equal hash, each is paired with the 64 before
        it; of two near hashes, the first 8 photos of each are paired.
    bits : uint8 ndarray (m,)
        In how many bits they differ.
    """
    code = np.asarray(hashes, dtype=np.uint64)
    there = np.flatnonzero(code)
    order = there[np.argsort(code[there], kind="stable")]
    if not len(order):
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.uint8)
    unique, start, count = np.unique(code[order], return_index=True, return_counts=True)
    found = [*_equal(code[order], int(count.max())), *_near(unique, start, count)]
    one, two, bits = (np.concatenate(columns) for columns in zip(*found, strict=True))
    i, j = np.minimum(order[one], order[two]), np.maximum(order[one], order[two])
    _, first = np.unique(i * np.intp(len(code)) + j, return_index=True)
    return i[first], j[first], bits[first].astype(np.uint8)


_Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]]


def _equal(code: NDArray[np.uint64], most: int) -> Iterator[_Pairs]:
    """Places of equal hashes in a sorted list."""
    yield np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.uint8)
    for lag in range(1, min(most, _ALIKE + 1)):
        here = np.flatnonzero(code[lag:] == code[:-lag])
        yield here, here + lag, np.zeros(len(here), np.uint8)


def _near(unique: NDArray[np.uint64], start: NDArray[np.intp], count: NDArray[np.intp]) -> Iterator[_Pairs]:
    """Places of near hashes: `start` of each hash, and `count` of the photos that have it."""
    tasks = ((flip, band) for flip in (np.uint64(0), MIRROR) for band in range(_BANDS))
    for one, two, bits in map_in_order(lambda task: _in_band(unique, *task), tasks):
        for a in range(_FIRST):
            for b in range(_FIRST):
                both = (count[one] > a) & (count[two] > b)
                if not both.any():
                    break
                yield start[one[both]] + a, start[two[both]] + b, bits[both]


def _in_band(code: NDArray[np.uint64], flip: np.uint64, band: int) -> _Pairs:
    """Near hashes that agree in one band, one of them turned by `flip`."""
    shift, mask = np.uint64(band * _BAND), np.uint64(2**_BAND - 1)
    turned = code ^ flip
    left, right = (code >> shift) & mask, (turned >> shift) & mask
    by_left, by_right = np.argsort(left, kind="stable"), np.argsort(right, kind="stable")
    edges = np.arange(2**_BAND + 1, dtype=np.uint64)
    from_left, from_right = (
        np.searchsorted(side[by], edges) for side, by in ((left, by_left), (right, by_right))
    )
    found: list[_Pairs] = [(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.uint8))]
    for value in range(2**_BAND):
        rows = by_left[from_left[value] : from_left[value + 1]]
        columns = by_right[from_right[value] : from_right[value + 1]]
        for top in range(0, len(rows), _TILE):
            some = rows[top : top + _TILE]
            for side in range(0, len(columns), _TILE):
                others = columns[side : side + _TILE]
                bits = np.bitwise_count(code[some][:, None] ^ turned[others])
                near = np.flatnonzero(bits <= NEAR_BITS)
                i, j = some[near // len(others)], others[near % len(others)]
                before = i < j
                found.append((i[before], j[before], bits.ravel()[near[before]]))
    one, two, bits = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return one, two, bits
