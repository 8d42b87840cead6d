"""Photos taken right after each other: by the camera's clock, or by the numbers in their names.

Clock and number only propose; the features decide whether two neighbours show one scene. So photos
that were merely numbered one after the other, as in most data sets, are no burst.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset, merge_groups
from .copies import members
from .findings import Finding

__all__ = ["burst_findings", "burst_groups"]

_SECONDS = 3.0  # apart: two presses of the button at one scene; a choice, the features have the last word
_NUMBERS = 2  # apart: one photo of the burst may have been thrown away
_COSINE_BY_CLOCK = 0.5  # of centred features: 1 % of pairs at random reach it
_COSINE_BY_NAME = 0.7  # 90 % of neighbouring video frames do, 2 % of neighbours numbered at random; both by
# benchmarks/audit.py
_NUMBERED = re.compile(r"(.*?)(\d{1,18})(\D*)")


def burst_groups(
    ids: Sequence[str],
    features: NDArray[np.float32],
    taken: NDArray[np.float64] | None = None,
    camera: NDArray[Any] | None = None,
) -> NDArray[np.intp]:
    """Number the bursts.

    Parameters
    ----------
    ids : sequence of str (n,)
        POSIX paths: photos of one folder, whose names differ only in their last number.
    features : float32 ndarray (n, d)
        Of the last depth; rows of NaN, of photos that cannot be read, belong to no burst.
    taken : float64 ndarray (n,), optional
        Seconds, NaN where not known.
    camera : ndarray (n,), optional
        What took the photo; photos of different cameras belong to different bursts.

    Returns
    -------
    intp ndarray (n,)
        Photos of a burst share a number, and no others do.
    """
    readable = ~np.isnan(features[:, 0])
    mean = features[readable].mean(axis=0, dtype=np.float64).astype(np.float32) if readable.any() else 0
    pairs = [(one, two, _COSINE_BY_NAME) for one, two in _by_name(ids)]
    if taken is not None:
        pairs += [(one, two, _COSINE_BY_CLOCK) for one, two in _by_clock(taken, camera)]
    links = [
        (one, two)
        for one, two, least in pairs
        if readable[one] and readable[two] and _cosine(features[one] - mean, features[two] - mean) >= least
    ]
    return _joined(links, len(ids))


def burst_findings(dataset: Dataset, bursts: NDArray[np.intp], known: NDArray[np.intp]) -> list[Finding]:
    """Bursts (n,), but for those whose photos share a group (`known`, (n,)) that was told already."""
    found = []
    for rows in members(bursts):
        if len(set(known[rows].tolist())) > 1:
            labels = tuple(sorted(set(dataset.labels[rows].tolist())))
            photos = tuple(dataset.ids[row] for row in rows)
            found.append(Finding("burst", photos, f"{len(rows)} photos", float(len(rows)), labels))
    return found


def _by_name(ids: Sequence[str]) -> list[tuple[int, int]]:
    """Rows whose names are next to each other in number."""
    numbered: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row, name in enumerate(ids):
        folder, _, file = name.rpartition("/")
        if found := _NUMBERED.fullmatch(file):
            before, digits, after = found.groups()
            numbered.setdefault((f"{folder}/{before}", after), []).append((int(digits), row))
    return [
        (row, other)
        for series in numbered.values()
        for (number, row), (next_number, other) in pairwise(sorted(series))
        if next_number - number <= _NUMBERS
    ]


def _by_clock(taken: NDArray[np.float64], camera: NDArray[Any] | None) -> list[tuple[int, int]]:
    """Rows of one camera that are next to each other in time."""
    known = np.flatnonzero(~np.isnan(taken))
    whose = np.zeros(len(taken)) if camera is None else camera
    order = known[np.lexsort((taken[known], whose[known]))]
    return [
        (one, two)
        for one, two in pairwise(order.tolist())
        if whose[one] == whose[two] and taken[two] - taken[one] <= _SECONDS
    ]


def _cosine(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / lengths if lengths else 0.0


def _joined(links: list[tuple[int, int]], n: int) -> NDArray[np.intp]:
    """Groups of n rows in which linked ones share a number."""
    if not links:
        return np.arange(n)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = np.array(links).T
    graph = coo_array((np.ones(len(i), dtype=np.bool_), (i, j)), shape=(n, n))
    return merge_groups(connected_components(graph, directed=False)[1])
