"""Duplicates, bursts, and those of them that a given split has in more than one part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.text import listed
from ..data import Dataset
from ..data.duplicates import iter_groups, l2_normalize
from .issues import Issue

__all__ = [
    "burst_issues",
    "duplicate_issues",
    "effective_splits",
    "issue_of_rows",
    "leak_issues",
    "min_cosine",
]


def effective_splits(dataset: Dataset) -> NDArray[np.str_]:
    """The split of each photo as `train` takes it, str (n,); all "" where none is given."""
    if not np.any(dataset.splits != ""):
        return dataset.splits
    return np.where(dataset.splits == "", "train", dataset.splits)


def issue_of_rows(dataset: Dataset, rows: NDArray[np.intp], kind: str, detail: str, score: float) -> Issue:
    """An issue of some photos of a dataset, with their classes."""
    labels = tuple(np.unique(dataset.labels[rows]).tolist())
    return Issue(kind, tuple(dataset.ids[row] for row in rows), detail, score, labels)


def duplicate_issues(
    dataset: Dataset, group: NDArray[np.intp], digests: Sequence[str], features: NDArray[np.float32]
) -> list[Issue]:
    """Duplicates under several classes, in several splits, or within a class of one split.

    Parameters
    ----------
    dataset : Dataset
    group : intp ndarray (n,)
        As of `pixel_duplicates`; -1 for photos that cannot be read.
    digests : sequence of str (n,)
    features : float32 ndarray (n, d)

    Returns
    -------
    list of Issue
        The score is 1 for equal bytes, else `min_cosine`.
    """
    splits = effective_splits(dataset)
    found = []
    for rows in iter_groups(group):
        labels = sorted(set(dataset.labels[rows].tolist()))
        parts = sorted(set(splits[rows].tolist()))
        same = len({digests[row] for row in rows}) == 1
        score = 1.0 if same else min_cosine(features[rows])
        how = "the same bytes" if same else f"the same picture, likeness {score:.2f}"
        kinds = {}
        if len(labels) > 1:
            kinds["contradiction"] = f"{how}, filed under {listed(labels)}"
        if len(parts) > 1:
            kinds["leak"] = f"{how}, in {listed(parts)}"
        for kind, detail in (kinds or {"copy": how}).items():
            found.append(issue_of_rows(dataset, rows, kind, detail, score))
    return found


def leak_issues(dataset: Dataset, group: NDArray[np.intp], known: NDArray[np.intp], how: str) -> list[Issue]:
    """Groups (n,) that are in several splits, except those whose duplicates (`known`, (n,)) are already."""
    splits = effective_splits(dataset)
    found = []
    for rows in iter_groups(group):
        parts = sorted(set(splits[rows].tolist()))
        if len(parts) > 1 and len(set(known[rows].tolist())) > 1:
            found.append(issue_of_rows(dataset, rows, "leak", f"{how}, in {listed(parts)}", 0.0))
    return found


def min_cosine(features: NDArray[np.float32]) -> float:
    """Minimum, over rows of features (n, d), of the cosine similarity to the nearest other row."""
    rows = l2_normalize(features)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -1)
    return float(cosine.max(axis=1).min().clip(0, 1))


def burst_issues(dataset: Dataset, bursts: NDArray[np.intp], known: NDArray[np.intp]) -> list[Issue]:
    """Bursts (n,), except those whose photos all belong to one group of duplicates (`known`, (n,))."""
    return [
        issue_of_rows(dataset, rows, "burst", f"{len(rows)} photos", float(len(rows)))
        for rows in iter_groups(bursts)
        if len(set(known[rows].tolist())) > 1
    ]
