"""Findings about classes: labels in doubt, photos of no class, classes with few photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from ..heads.outlier import held_out_scores
from .findings import Finding
from .labels import Doubt, doubtful_labels

__all__ = ["balance_findings", "label_findings", "outlier_findings"]

_SMALL = 10  # pictures below which `train` warns too
_RATIO = 9.0  # a larger class has more than that many times as many: "highly imbalanced" in Fernandez et al.
# 2008, Fuzzy Sets and Systems 159, where it is the border between the two groups of data sets
_TAIL = 0.1  # share of the scores, the highest, whose excess falls off exponentially (Pickands 1975, at its
# simplest); the fences of a box plot take a skewed tail for strangers, 45 of 1,000 faces
_BY_CHANCE = (
    2.0  # photos beyond the limit if nothing is unusual: of 15 strangers among those faces 11 are found
)
# with 1 photo besides; at 0.5, 7 and 0, at 8, 15 and 4 (benchmarks/audit.py)
_FEWEST = 20  # photos below which nothing can be said to be unusual
_COORDINATES = 512  # of the span, that vary most: strangers rank as high as with all, in a third of the
# time (benchmarks/audit.py)
_NEAR = 256  # the same, where only the nearest photo is looked for


def label_findings(
    dataset: Dataset,
    z: NDArray[np.float32],
    groups: NDArray[np.intp],
    probabilities: NDArray[np.float64],
    target: NDArray[np.intp],
) -> list[Finding]:
    """Labels in doubt, each with the photos to compare it with.

    Parameters
    ----------
    dataset : Dataset
        n readable photos.
    z : float32 ndarray (n, r)
        Coordinates of their features.
    groups : intp ndarray (n,)
        Photos of a group are not compared with each other.
    probabilities : float64 ndarray (n, K)
        From folds that did not see the photo; NaN where there are none.
    target : intp ndarray (n,)
        0..K-1, in the order of the dataset's classes.
    """
    near = _Nearest(z, groups)
    classes = dataset.classes
    rows = [np.flatnonzero(target == k) for k in range(len(classes))]
    return [
        _doubt(dataset.ids, classes, doubt, target[doubt.row], rows, near)
        for doubt in doubtful_labels(probabilities, target)
    ]


def _doubt(
    ids: Sequence[str],
    classes: Sequence[str],
    doubt: Doubt,
    label: int,
    rows: Sequence[NDArray[np.intp]],
    near: _Nearest,
) -> Finding:
    own, suggested = classes[label], classes[doubt.suggested]
    compared = (near.to(doubt.row, rows[k]) for k in (doubt.suggested, label))
    return Finding(
        "label",
        (ids[doubt.row],),
        f"filed under '{own}', looks like '{suggested}', score {doubt.score:.2f}",
        doubt.score,
        (own,),
        suggested,
        tuple(ids[row] for row in compared if row is not None),
    )


class _Nearest:
    """Finds the photo nearest to another, by the cosine of their main coordinates."""

    def __init__(self, z: NDArray[np.float32], groups: NDArray[np.intp]) -> None:
        rows = z[:, :_NEAR]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        self._rows = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
        self._groups = groups

    def to(self, row: int, among: NDArray[np.intp]) -> int | None:
        """The nearest of the rows `among` that is of another group; None where there is none."""
        others = among[self._groups[among] != self._groups[row]]
        if not len(others):
            return None
        return int(others[(self._rows[others] @ self._rows[row]).argmax()])


def outlier_findings(
    dataset: Dataset, z: NDArray[np.float32], target: NDArray[np.intp], fold: NDArray[np.intp]
) -> list[Finding]:
    """Photos whose distance from all classes is far beyond the others'; arguments as of `label_findings`."""
    if len(dataset) < _FEWEST or z.shape[1] < 2:
        return []
    main = np.ascontiguousarray(z[:, :_COORDINATES])
    scores = held_out_scores(main, target, [slice(0, main.shape[1])], fold)
    limit = _far_out(scores[~np.isnan(scores)])
    rows = np.flatnonzero(np.nan_to_num(scores, nan=-np.inf) > limit)
    found = []
    for row in rows:
        score = float(scores[row])
        detail = f"outlier score {score:.2f}, where {limit:.2f} is far out"
        found.append(Finding("outlier", (dataset.ids[row],), detail, score, (str(dataset.labels[row]),)))
    return found


def _far_out(scores: NDArray[np.floating]) -> float:
    """The score that `_BY_CHANCE` photos would exceed if the tail went on as it begins."""
    if not len(scores):
        return np.inf
    start = float(np.quantile(scores, 1 - _TAIL))
    excess = scores[scores > start] - start
    scale = (
        float(np.median(excess)) / np.log(2) if len(excess) else 0.0
    )  # the median: strangers do not move it
    return start + scale * max(0.0, float(np.log(_TAIL * len(scores) / _BY_CHANCE)))


def balance_findings(
    dataset: Dataset, groups: NDArray[np.intp], readable: NDArray[np.bool_]
) -> list[Finding]:
    """Classes with few pictures, copies counted once, and classes far smaller than the largest."""
    found = []
    pictures = {
        label: len(np.unique(groups[readable & (dataset.labels == label)])) for label in dataset.classes
    }
    most = max(pictures.values(), default=0)
    for label, number in pictures.items():
        if number >= _SMALL and most <= _RATIO * number:
            continue
        few = f"{number} different picture{'s' * (number != 1)}"
        beside = f", the largest class has {most}" if most > _RATIO * number else ""
        found.append(Finding("balance", (), few + beside, most / max(number, 1), (label,)))
    return found
