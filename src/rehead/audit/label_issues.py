"""Label issues: photos that look like another class than their label.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in
dataset labels", JAIR 70): a photo's probabilities are held-out. The threshold
of a class is the mean probability of that class over the photos with its label. A photo counts as of the
most probable class whose threshold it reaches; where that is not its label, the label is in doubt.

The head is ridge regression on the last two feature levels, in closed form: 10,000 photos take seconds, and
wrong labels rank as high as with the head that `train` searches for minutes (benchmarks/audit.py).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import one_blas_thread
from ..data import Dataset
from ..data.duplicates import l2_normalize
from ..heads.held_out import held_out_scores
from ..heads.ridge import ridge_path
from ..heads.temperature import fit_temperature, softmax
from .issues import Issue

__all__ = [
    "N_LEVELS",
    "LabelIssue",
    "balance_issues",
    "calibrated",
    "find_label_issues",
    "held_out_probabilities",
    "label_issues",
    "label_quality",
    "outlier_issues",
]


N_LEVELS = 2
"""Last feature levels that are used; benchmarks/audit.py."""

_L2_GRID = tuple(10.0**step for step in (-4, -3.5, -3, -2.5, -2, -1.5, -1))
# the best of 18 noisy label sets lay at 3e-5 to 1e-2; the two ends cost next to nothing


@dataclass(frozen=True)
class LabelIssue:
    """A photo whose label is in doubt.

    Parameters
    ----------
    row : int
    suggested : int
        The class that it is predicted as.
    score : float
        0 to 1, higher for more doubtful: 1 - `label_quality`.
    """

    row: int
    suggested: int
    score: float


def held_out_probabilities(
    z: NDArray[np.float32], y: NDArray[np.intp], fold: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Calibrated held-out probabilities of each photo.

    Parameters
    ----------
    z : float32 ndarray of shape (n, r)
        Coordinates, as in `PCABasis`.
    y : int ndarray of shape (n,)
        Class of each photo, 0..K-1.
    fold : int ndarray of shape (n,)
        As returned by `cv_folds`, with two folds or more.

    Returns
    -------
    float64 ndarray of shape (n, K)
        NaN where `fold` is -1.
    """
    with one_blas_thread:
        path = ridge_path(z, y, fold, np.ones(len(y)), _L2_GRID, photos=len(y))
        best = min((held_out for _, held_out in path), key=lambda held_out: held_out.loss)
    return calibrated(best.logits, y)


def calibrated(logits: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Probabilities (n, K) of held-out logits (n, K) after temperature scaling; rows of NaN stay NaN."""
    scored = ~np.isnan(logits[:, 0])
    probabilities = np.full(logits.shape, np.nan)
    temperature = fit_temperature(logits[scored], y[scored], smooth=True)
    probabilities[scored] = softmax(logits[scored] / temperature)
    return probabilities


def label_quality(probabilities: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Quality of each label, 0 to 1: the "normalized margin" of confident learning.

    (p_y - max_{k != y} p_k + 1) / 2, float64 (n,); NaN where the probabilities are.
    """
    rows = np.arange(len(y))
    others = probabilities.copy()
    others[rows, y] = -1
    quality: NDArray[np.float64] = (probabilities[rows, y] - others.max(axis=1) + 1) / 2
    return quality


def find_label_issues(probabilities: NDArray[np.float64], y: NDArray[np.intp]) -> list[LabelIssue]:
    """The photos off the diagonal of the confident joint, most doubtful first.

    Parameters
    ----------
    probabilities : float64 ndarray of shape (n, K)
        Held-out; rows of NaN are skipped.
    y : int ndarray of shape (n,)
        Label of each photo, 0..K-1.
    """
    scored = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    p, given = probabilities[scored], y[scored]
    threshold = np.full(p.shape[1], np.inf)  # a class that no scored photo has is never suggested
    for k in np.unique(given):
        threshold[k] = p[given == k, k].mean()
    reached = np.where(p >= threshold, p, -1.0)
    predicted = reached.argmax(axis=1)
    doubtful = (reached.max(axis=1) >= 0) & (predicted != given)
    score = 1 - label_quality(p, given)
    order = np.flatnonzero(doubtful)[np.argsort(-score[doubtful], kind="stable")]
    return [LabelIssue(int(scored[n]), int(predicted[n]), float(score[n])) for n in order]


_SMALL = 10  # pictures below which `train` warns too
_RATIO = 9.0  # a larger class has more than that many times as many: "highly imbalanced" in Fernandez et al.
# 2008, Fuzzy Sets and Systems 159, where it is the border between the two groups of data sets
_TAIL = 0.1  # share of the scores, the highest, whose excess falls off exponentially (Pickands 1975, at its
# simplest); the fences of a box plot take a skewed tail for outliers, 45 of 1,000 faces
_BY_CHANCE = 2.0  # photos beyond the limit if nothing is unusual: of 15 outliers among those faces 11 are
# found with 1 photo besides; at 0.5, 7 and 0, at 8, 15 and 4 (benchmarks/audit.py)
_ROUNDING = 1e-6  # of scores in single precision: photos of one colour differ by no more
_FEWEST = 20  # photos below which there is no tail to tell outliers by
_COORDINATES = 512  # main coordinates: outliers rank as high as with all, in a third of the
# time (benchmarks/audit.py)
_NEAR = 256  # the same, to find the nearest photo by their cosine


def label_issues(
    dataset: Dataset,
    z: NDArray[np.float32],
    groups: NDArray[np.intp],
    probabilities: NDArray[np.float64],
    target: NDArray[np.intp],
) -> list[Issue]:
    """Label issues, each with the photos to compare it with.

    Parameters
    ----------
    dataset : Dataset
        n readable photos.
    z : float32 ndarray (n, r)
        Coordinates of their features.
    groups : intp ndarray (n,)
        Photos of a group are not compared with each other.
    probabilities : float64 ndarray (n, K)
        Held-out; NaN where there are none.
    target : intp ndarray (n,)
        0..K-1, in the order of the dataset's classes.
    """
    unit, classes = l2_normalize(z[:, :_NEAR]), dataset.classes
    found = []
    for row, suggested, score in map(astuple, find_label_issues(probabilities, target)):
        own, other = classes[target[row]], classes[suggested]
        detail = f"filed under '{own}', looks like '{other}', score {score:.2f}"
        beside = []
        for label in (suggested, target[row]):
            among = np.flatnonzero((target == label) & (groups != groups[row]))
            if len(among):
                beside.append(dataset.ids[among[(unit[among] @ unit[row]).argmax()]])
        found.append(Issue("label", (dataset.ids[row],), detail, score, (own,), other, tuple(beside)))
    return found


def outlier_issues(
    dataset: Dataset, z: NDArray[np.float32], target: NDArray[np.intp], fold: NDArray[np.intp]
) -> list[Issue]:
    """Photos whose outlier score is far beyond the others'; parameters as of `label_issues`."""
    if len(dataset) < _FEWEST or z.shape[1] < 2:
        return []
    main = np.ascontiguousarray(z[:, :_COORDINATES])
    scores = held_out_scores(main, target, [slice(0, main.shape[1])], fold)
    limit = _outlier_limit(scores[~np.isnan(scores)])
    found = []
    for row in np.flatnonzero(scores > limit):
        score = float(scores[row])
        if score - limit < _ROUNDING:
            continue
        digits = next((n for n in range(2, 6) if f"{score:.{n}f}" != f"{limit:.{n}f}"), 6)
        detail = f"outlier score {score:.{digits}f}, where {limit:.{digits}f} is far out"
        found.append(Issue("outlier", (dataset.ids[row],), detail, score, (str(dataset.labels[row]),)))
    return found


def _outlier_limit(scores: NDArray[np.floating]) -> float:
    """The score that `_BY_CHANCE` photos would exceed if the tail went on as it begins."""
    if not len(scores):
        return np.inf
    start = float(np.quantile(scores, 1 - _TAIL))
    excess = scores[scores > start] - start
    # the median: outliers do not move it
    scale = float(np.median(excess)) / np.log(2) if len(excess) else 0.0
    return start + scale * max(0.0, float(np.log(_TAIL * len(scores) / _BY_CHANCE)))


def balance_issues(dataset: Dataset, groups: NDArray[np.intp], readable: NDArray[np.bool_]) -> list[Issue]:
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
        found.append(Issue("balance", (), few + beside, most / max(number, 1), (label,)))
    return found
