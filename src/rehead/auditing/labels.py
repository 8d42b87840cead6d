"""Photos that look like another class than the one they are filed under.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in
dataset labels", JAIR 70): a photo's probabilities come from a head that did not see it. A class's
threshold is the mean probability that photos filed under it have for it. A photo counts as of the
most probable class whose threshold it reaches; where that is not its own, its label is in doubt.

The head is ridge regression on the last two depths, in closed form: 10,000 photos take seconds, and
wrong labels rank as high as with the head that `train` searches for minutes (benchmarks/audit.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..calibration import fit_temperature, softmax
from ..engine import processors
from ..heads.ridge import ridge_path
from ..heads.span import Block

__all__ = [
    "DEPTHS",
    "Doubt",
    "calibrated",
    "doubtful_labels",
    "held_out_probabilities",
    "label_quality",
    "last_depths",
]

DEPTHS = 2
"""How many of the last depths are looked at; benchmarks/audit.py."""

_STRENGTHS = tuple(10.0**step for step in (-4, -3.5, -3, -2.5, -2, -1.5, -1))
# the best of 18 noisy label sets lay at 3e-5 to 1e-2; the two ends cost next to nothing


@dataclass(frozen=True)
class Doubt:
    """A photo whose label is in doubt.

    Parameters
    ----------
    row : int
    suggested : int
        The class that it looks like.
    score : float
        0 to 1, higher for more doubtful: 1 less `label_quality`.
    """

    row: int
    suggested: int
    score: float


def last_depths(
    X: NDArray[np.float32], blocks: Sequence[Block], depths: int = DEPTHS
) -> tuple[NDArray[np.float32], list[Block]]:
    """The columns of the last depths, a view, and the block of each in it."""
    chosen = blocks[-depths:]
    start = chosen[0].start
    return X[:, start:], [slice(block.start - start, block.stop - start) for block in chosen]


def held_out_probabilities(
    z: NDArray[np.float32], y: NDArray[np.intp], fold: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Calibrated probabilities of each photo from folds that did not see it.

    Parameters
    ----------
    z : float32 ndarray of shape (n, r)
        Coordinates, as of `span_of`.
    y : int ndarray of shape (n,)
        Class of each photo, 0..K-1.
    fold : int ndarray of shape (n,)
        As of `datasets.folds`, with two folds or more.

    Returns
    -------
    float64 ndarray of shape (n, K)
        NaN where `fold` is -1.
    """
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(processors()) as pool:
        path = ridge_path(z, y, fold, np.ones(len(y)), _STRENGTHS, photos=len(y), each_fold=pool.map)
    logits = min(path.values(), key=lambda held: held.loss).logits
    return calibrated(logits, y)


def calibrated(logits: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Probabilities (n, K) of held-out logits (n, K), after one temperature; rows of NaN stay NaN."""
    judged = ~np.isnan(logits[:, 0])
    probabilities = np.full(logits.shape, np.nan)
    temperature = fit_temperature(logits[judged], y[judged], smooth=True)
    probabilities[judged] = softmax(logits[judged] / temperature)
    return probabilities


def label_quality(probabilities: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """How well each label fits its photo, 0 to 1: the "normalized margin" of confident learning.

    (p_y - max_{k != y} p_k + 1) / 2, float64 (n,); NaN where the probabilities are.
    """
    rows = np.arange(len(y))
    others = probabilities.copy()
    others[rows, y] = -1
    quality: NDArray[np.float64] = (probabilities[rows, y] - others.max(axis=1) + 1) / 2
    return quality


def doubtful_labels(probabilities: NDArray[np.float64], y: NDArray[np.intp]) -> list[Doubt]:
    """The photos off the diagonal of the confident joint, most doubtful first.

    Parameters
    ----------
    probabilities : float64 ndarray of shape (n, K)
        Of photos that the head did not see; rows of NaN are left alone.
    y : int ndarray of shape (n,)
        Class that each photo is filed under, 0..K-1.
    """
    judged = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    p, given = probabilities[judged], y[judged]
    threshold = np.full(p.shape[1], np.inf)  # a class that no judged photo has is never suggested
    for k in np.unique(given):
        threshold[k] = p[given == k, k].mean()
    reached = np.where(p >= threshold, p, -1.0)
    looks_like = reached.argmax(axis=1)
    doubtful = (reached.max(axis=1) >= 0) & (looks_like != given)
    score = 1 - label_quality(p, given)
    order = np.flatnonzero(doubtful)[np.argsort(-score[doubtful], kind="stable")]
    return [Doubt(int(judged[n]), int(looks_like[n]), float(score[n])) for n in order]
