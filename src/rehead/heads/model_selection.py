"""Model selection for heads: feature levels, mirrored photos or not, loss and L2 penalty.

1. Candidates (how many of the last feature levels; with or without mirrored photos) are screened by
   ridge regression in closed form over a wide grid of l2.
2. The short list, at most two, is fitted as logistic regression, at steps of a decade and then of
   half a decade up and down until both neighbours are worse.
3. The ridge or logistic head with the lowest held-out log loss, each after temperature scaling, is
   fitted on all rows.

Of many photos, 1 and 2 hold out as many of the folds as have 750 photos together, and the chosen head
is then fitted in the other folds. Held-out logits are kept of the best point only.

Scores are cross-validated; near-duplicates and the user's groups never straddle folds. Mirrored photos
are trained on, in the fold of their photo, and never scored. Means, scales and principal components
come from all training rows, without their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order, one_blas_thread
from ..core.runtime import cpu_count, trim_memory
from .logistic import FINE, ROUGH, few_weights, fit_logistic
from .pca import Block, PCABasis, Rows, fit_pca, last_levels
from .ridge import HeldOut, fit_ridge, linear_logits, ridge_path

__all__ = [
    "HOPELESS",
    "LOGISTIC_START",
    "RIDGE_STEPS",
    "FittedHead",
    "SearchPoint",
    "balanced_weights",
    "best_step",
    "climb",
    "l2_of",
    "point_order",
    "select_head",
]

Loss = Literal["logistic", "ridge", "network"]

# All measured by benchmarks/head_candidates.py; l2 means the same for every backbone (see pca)
RIDGE_STEPS = (-9, -7, -5, -3, -1)  # half decades: 3e-5 to 0.3, then the two halves beside the best
LOGISTIC_START = -8  # half decades: 1e-4; the best were 1e-3 to 1e-6, so the search goes both ways
_LOGISTIC_STEPS = (-14, -2)
_SHORT_LIST = 1.1  # screened losses within 10 % of the best may change places, fitted as logistic regression
_ENOUGH = 750  # held-out photos to search by; see benchmarks/RESULTS.md, "Many classes"
HOPELESS = 1.5  # a logistic head this much worse than ridge at the start never beat it later; at 1.1 one did


@dataclass(frozen=True)
class SearchPoint:
    """One point of the search.

    Parameters
    ----------
    n_levels : int
        How many of the last feature levels were used.
    mirrored : bool
        Whether mirrored photos were trained on too.
    loss : {"logistic", "ridge", "network"}
        "network" where the head was trained together with a network.
    l2 : float
        Strength of the L2 penalty, per unit of mean loss and of mean squared row norm; a network's weight
        decay.
    log_loss : float
        Held-out, of a network on its validation photos, after temperature scaling, nats. Of many photos,
        points that are not chosen are judged by some of the folds only.
    """

    n_levels: int
    mirrored: bool
    loss: Loss
    l2: float
    log_loss: float


@dataclass(frozen=True)
class FittedHead:
    """The head that was chosen, and the search.

    Parameters
    ----------
    weight, bias : float32 ndarray (d, K), (K,)
        Logits are x @ weight + bias for features x of the last `n_levels` levels.
    chosen : SearchPoint
    path : tuple of SearchPoint
        Every point that was fitted, `chosen` among them.
    held_out : float64 ndarray (n, K)
        Held-out logits of every photo, before temperature scaling; NaN where `fold` is -1.
    forgone : float
        By how much the best point of another loss had the lower held-out log loss, where only ridge might be
        chosen; nats, 0 or more.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    chosen: SearchPoint
    path: tuple[SearchPoint, ...]
    held_out: NDArray[np.float64]
    forgone: float = 0.0

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return self.weight.size + self.bias.size


@dataclass
class _Candidate:
    n_levels: int
    mirrored: bool
    features: NDArray[np.float32]
    pca: PCABasis
    y: NDArray[np.intp]
    fold: NDArray[np.intp]
    weight: NDArray[np.float64]
    photos: int
    ridge_only: bool = False  # others are searched all the same, to say what that costs
    ridge: dict[int, float] = field(default_factory=dict)  # log loss of each step
    logistic: dict[int, float] = field(default_factory=dict)
    points: list[SearchPoint] = field(default_factory=list)
    best: SearchPoint = field(init=False)
    logits: NDArray[np.float64] = field(init=False)  # of the best point alone, of the photos searched by

    def __post_init__(self) -> None:
        self.classes = int(self.y.max()) + 1
        self.few = few_weights(self.pca.z.shape[1], self.classes)
        self._starts: dict[int, NDArray[np.float64]] = {}
        self._screen(RIDGE_STEPS)
        best = best_step(self.ridge)
        self._screen((best - 1, best + 1))

    @property
    def screened(self) -> float:
        return min(self.ridge.values())

    def _add(self, loss: Loss, step: int, held_out: HeldOut) -> None:
        point = SearchPoint(self.n_levels, self.mirrored, loss, l2_of(step), held_out.loss)
        if not self.points or (
            (loss == "ridge" or not self.ridge_only) and point_order(point) < point_order(self.best)
        ):
            self.best, self.logits = point, held_out.logits[self.fold[: self.photos] >= 0]
        self.points.append(point)
        {"ridge": self.ridge, "logistic": self.logistic}[loss][step] = held_out.loss

    def _screen(self, steps: Sequence[int]) -> None:
        grid = [l2_of(step) for step in steps]
        path = ridge_path(self.pca.z, self.y, self.fold, self.weight, grid, photos=self.photos)
        for step, (_, held_out) in zip(steps, path, strict=True):
            self._add("ridge", step, held_out)

    def _try_logistic(self, step: int) -> None:
        self._add("logistic", step, self._logistic(l2_of(step), self.fold))

    def _logistic(self, l2: float, fold: NDArray[np.intp]) -> HeldOut:
        logits = np.full((self.photos, self.classes), np.nan)

        def run(number: int) -> None:
            out = np.flatnonzero(fold[: self.photos] == number)
            rows = np.flatnonzero(fold != number)
            theta = self._fit_logistic(rows, l2, self._starts.get(number), ROUGH, cpu_count() // len(numbers))
            self._starts[number] = theta
            logits[out] = linear_logits(self.pca.z, theta[:-1], theta[-1], out)

        numbers = np.unique(fold[fold >= 0]).tolist()
        list(map_in_order(run, numbers))
        return HeldOut.of(logits, self.y, fold, self.weight)

    def _fit_logistic(
        self, rows: Rows, l2: float, start: NDArray[np.float64] | None, gain: float, threads: int
    ) -> NDArray[np.float64]:
        how: dict[str, Any] = {} if self.few else {"gain": gain}
        how |= {"rows": rows, "threads": max(1, threads)}
        return fit_logistic(self.pca.z, self.y, self.weight, self.classes, l2, start, **how)

    def fit_path(self, rival: _Candidate | None) -> None:
        """Search the best l2 of the logistic loss, unless ridge is far better from the start.

        Of many weights, start at the best of `rival`, and stop there if it is not beaten.
        """
        rival = None if self.few else rival
        start = best_step(rival.logistic) if rival else LOGISTIC_START
        self._try_logistic(start)
        loss = self.logistic[start]
        if loss > HOPELESS * self.screened or (rival and loss > rival.logistic[start]):
            return
        climb(self.logistic, self._try_logistic)

    def keep_coordinates(self, keep: bool) -> None:
        """Have the coordinates of the rows, or let them go: one candidate's at a time are in memory."""
        if not keep:
            self.pca = self.pca.let_go()
        elif not len(self.pca.z):
            self.pca = self.pca.of(self.features)

    def hold_out(self, fold: NDArray[np.intp]) -> NDArray[np.float64]:
        """Held-out logits of the best point, (n, K), which is fitted in the other folds too."""
        searched = self.fold[: self.photos] >= 0
        held_out = np.full((self.photos, self.classes), np.nan)
        held_out[searched] = self.logits
        fold = np.tile(fold, len(self.fold) // len(fold))
        rest = np.where(self.fold >= 0, -1, fold)
        if (rest < 0).all():
            return held_out
        if self.best.loss == "ridge":
            ((_, found),) = ridge_path(
                self.pca.z, self.y, rest, self.weight, [self.best.l2], photos=self.photos
            )
        else:
            found = self._logistic(self.best.l2, rest)
        held_out[~searched] = found.logits[~searched]
        judged = replace(self.best, log_loss=HeldOut.of(held_out, self.y, fold, self.weight).loss)
        self.points[self.points.index(self.best)] = judged
        self.best = judged
        return held_out

    def fit(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Fit the best point on all rows."""
        if self.best.loss == "ridge":
            theta = fit_ridge(self.pca.z, self.y, self.weight, self.best.l2)
        else:
            # in the order of the folds: in that of the threads, the sum's last bit would vary between runs
            start = np.mean([self._starts[number] for number in sorted(self._starts)], axis=0)
            theta = self._fit_logistic(None, self.best.l2, start, FINE, cpu_count())
        return self.pca.weights(theta[:-1], theta[-1])


def l2_of(step: int) -> float:
    """The l2 of a step of half a decade."""
    return float(10.0 ** (step / 2))


def best_step(path: dict[int, float]) -> int:
    """The step of least log loss."""
    return min(path, key=lambda step: path[step])


def climb(losses: dict[int, float], attempt: Callable[[int], None]) -> None:
    """Try steps of a decade, then of half a decade, up and down from the best of `losses`, until it stays.

    `attempt` adds the log loss of a logistic head.
    """
    for stride in (2, 1):
        centre = None
        while centre != (centre := best_step(losses)):
            for step in (centre + stride, centre - stride):
                if step not in losses and _LOGISTIC_STEPS[0] <= step <= _LOGISTIC_STEPS[1]:
                    attempt(step)


def point_order(point: SearchPoint) -> tuple[float, float]:
    """Where every l2 makes no mistake the losses differ by rounding only: then the strongest penalty."""
    return round(point.log_loss, 6), -point.l2


def _searched(fold: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first folds with 750 photos together; those of the others are -1."""
    sizes = np.cumsum(np.bincount(fold[fold >= 0]))
    last = int(np.searchsorted(sizes, _ENOUGH))
    return np.where(fold <= last, fold, -1)


def _keep_coordinates_of(one: _Candidate | None, candidates: Sequence[_Candidate]) -> None:
    """Let go of those of the others, and of what the C library keeps: 70 MB of 6,400 photos."""
    for each in candidates:
        if each is not one:
            each.keep_coordinates(False)
    trim_memory()
    if one is not None:
        one.keep_coordinates(True)


def balanced_weights(y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weight n / (K n_c) of each row, so that every class weighs the same."""
    counts = np.bincount(y)
    weights: NDArray[np.float64] = (len(y) / (len(counts) * counts))[y]
    return weights


def select_head(
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    fold: NDArray[np.intp],
    blocks: Sequence[Block],
    *,
    mirrored: NDArray[np.float32] | None = None,
    n_levels: Sequence[int] = (1,),
    balanced: bool = False,
    sample_weight: NDArray[np.float64] | None = None,
    ridge_only: bool = False,
) -> FittedHead:
    """Choose and fit a linear head.

    Parameters
    ----------
    X : float32 ndarray of shape (n, D)
        Features of all levels, side by side, first level first.
    y : int ndarray of shape (n,)
        Class of each photo, 0..K-1, each of them present.
    fold : int ndarray of shape (n,)
        Fold of each photo; -1 for photos that are always trained on.
    blocks : sequence of slice
        Columns of each feature level, in order.
    mirrored : float32 ndarray of shape (n, D), optional
        Features of the mirrored photos, to try training on them too.
    n_levels : sequence of int
        Numbers of last feature levels to try.
    balanced : bool
        Whether every class weighs the same.
    sample_weight : float64 ndarray of shape (n,), optional
        Positive weight of each photo, besides that of its class.
    ridge_only : bool
        Whether the chosen head must be a ridge, as statistics can solve it anew; others are searched too, so
        that the result says what that costs.

    Returns
    -------
    FittedHead
    """
    weights = balanced_weights(y) if balanced else np.ones(len(y))
    if sample_weight is not None:
        weights = weights * sample_weight
    # The matrices are small and the folds independent: a fold to a processor, and BLAS on one, was 2 to
    # 100 times faster than BLAS on all of them (benchmarks/head.py), whose threads wait for each other.
    searched = _searched(fold)
    with one_blas_thread:

        def candidate(levels: int, copies: int) -> _Candidate:
            rows, columns = last_levels(X, blocks, levels)
            if copies == 2 and mirrored is not None:
                rows = np.concatenate([rows, last_levels(mirrored, blocks, levels)[0]])
            classes, folds, weight = np.tile(y, copies), np.tile(searched, copies), np.tile(weights, copies)
            pca = fit_pca(rows, columns)
            return _Candidate(levels, copies == 2, rows, pca, classes, folds, weight, len(y), ridge_only)

        ranked: list[_Candidate] = []
        for levels in n_levels:
            _keep_coordinates_of(None, ranked)
            ranked = sorted([*ranked, candidate(levels, 1)], key=lambda c: c.screened)[:2]
        if mirrored is not None:
            _keep_coordinates_of(None, ranked)
            ranked = sorted([*ranked, candidate(ranked[0].n_levels, 2)], key=lambda c: c.screened)[:2]
        short = [c for c in ranked if c.screened <= ranked[0].screened * _SHORT_LIST]
        for each, rival in zip(short, [None, *short], strict=False):
            _keep_coordinates_of(each, ranked)
            each.fit_path(rival)
        best = min(short, key=lambda c: point_order(c.best))
        forgone = best.best.log_loss - min(point.log_loss for each in short for point in each.points)
        _keep_coordinates_of(best, ranked)
        held_out = best.hold_out(fold)
        weight, bias = best.fit()
    path = tuple(point for each in short for point in each.points)
    return FittedHead(weight, bias, best.best, path, held_out, max(0.0, forgone))
