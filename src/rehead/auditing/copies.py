"""Pictures that are there more than once, told apart by where their copies stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets import Dataset, merge_groups
from ..evaluation.wording import listed
from .findings import Finding

__all__ = ["copy_findings", "joined", "leak_findings", "members", "nearness", "sides_of"]


def members(group: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The rows of each group of two or more, groups in the order of their first rows; -1 is no group."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-2))
    found = [
        order[start:end]
        for start, end in pairwise([*starts.tolist(), len(order)])
        if end - start > 1 and group[order[start]] >= 0
    ]
    return iter(sorted(found, key=lambda rows: int(rows[0])))


def joined(links: ArrayLike, n: int) -> NDArray[np.intp]:
    """Groups of n rows in which linked ones, pairs (k, 2), share a number."""
    pairs = np.asarray(links, dtype=np.intp)
    if not len(pairs):
        return np.arange(n)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=np.bool_), tuple(pairs.T)), shape=(n, n))
    return merge_groups(connected_components(graph, directed=False)[1])


def sides_of(dataset: Dataset) -> NDArray[np.str_]:
    """The side of the split that each photo stands on, as `train` takes it; all "" where none is given."""
    if not np.any(dataset.splits != ""):
        return dataset.splits
    return np.where(dataset.splits == "", "train", dataset.splits)


def copy_findings(
    dataset: Dataset, group: NDArray[np.intp], digests: Sequence[str], features: NDArray[np.float32]
) -> list[Finding]:
    """Contradictions, leaks and plain copies among groups (n,) of copies of one picture.

    Parameters
    ----------
    dataset : Dataset
    group : intp ndarray (n,)
        As of `same_pictures`; -1 for photos that cannot be read.
    digests : sequence of str (n,)
    features : float32 ndarray (n, d)

    Returns
    -------
    list of Finding
        Scored by how near the copies are: 1 for equal bytes, else the least cosine by which one of them
        is joined to another.
    """
    sides = sides_of(dataset)
    found = []
    for rows in members(group):
        labels = tuple(sorted(set(dataset.labels[rows].tolist())))
        parts = sorted(set(sides[rows].tolist()))
        same = len({digests[row] for row in rows}) == 1
        score = 1.0 if same else nearness(features[rows])
        how = "the same bytes" if same else f"the same picture, likeness {score:.2f}"

        def add(
            kind: str, detail: str, rows: NDArray[Any] = rows, labels: Any = labels, score: Any = score
        ) -> None:
            photos = tuple(dataset.ids[row] for row in rows)
            found.append(Finding(kind, photos, detail, score, labels))

        if len(labels) > 1:
            add("contradiction", f"{how}, filed under {listed(labels)}")
        if len(parts) > 1:
            add("leak", f"{how}, in {listed(parts)}")
        if len(labels) == len(parts) == 1:
            add("copy", how)
    return found


def leak_findings(
    dataset: Dataset, group: NDArray[np.intp], known: NDArray[np.intp], how: str
) -> list[Finding]:
    """Groups (n,) that stand on both sides of the split, but for those whose copies (`known`) do already."""
    sides = sides_of(dataset)
    found = []
    for rows in members(group):
        parts = sorted(set(sides[rows].tolist()))
        if len(parts) > 1 and len(set(known[rows].tolist())) > 1:
            photos = tuple(dataset.ids[row] for row in rows)
            labels = tuple(sorted(set(dataset.labels[rows].tolist())))
            found.append(Finding("leak", photos, f"{how}, in {listed(parts)}", 0.0, labels))
    return found


def nearness(features: NDArray[np.float32]) -> float:
    """The least, over rows of features (n, d), of the cosine with the nearest other row."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    rows = features / np.maximum(norms, np.finfo(np.float32).tiny)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -1)
    return float(cosine.max(axis=1).min().clip(0, 1))
