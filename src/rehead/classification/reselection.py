"""Feature levels and strength of a head, chosen again by photos that were not learnt.

Sums give the head of every number of levels and every strength, but hold no photo out. So each is judged by
its log loss, after temperature scaling, on photos that were not learnt. What the head has stays unless
another is better by more than one standard error (Breiman et al. 1984).

The best of some thirty on the same photos is partly the luckiest. So each fold of the photos is answered by
the head that the other folds choose, and temperature, limits and scores come from these answers. The model
gets the head that all of the photos choose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import one_blas_thread
from ..core.text import count, first_of
from ..evaluation.intervals import Interval, better_by_one_se, mean_difference
from ..evaluation.metrics import photo_log_loss
from ..heads import FittedHead, SearchPoint
from ..heads.model_selection import RIDGE_STEPS, l2_of, point_order
from ..heads.temperature import calibrated_loss, fit_temperature, softmax
from .fitted import FittedClassifier
from .statistics import PhotoStatistics

__all__ = ["STRENGTHS", "Reselection", "head_logits", "reselect_head"]

STRENGTHS = tuple(l2_of(step) for step in range(min(RIDGE_STEPS) - 1, max(RIDGE_STEPS) + 2))
"""Every L2 that the first training's screening by ridge regression may come to."""

_FEWEST = (
    100  # photos that do not belong together; see benchmarks/RESULTS.md, "Levels and strength chosen again"
)
_MOST = 750  # photos to choose by, as many as the first training's search holds out


@dataclass(frozen=True)
class Reselection:
    """Whether levels and strength of a head were chosen again, and why.

    Parameters
    ----------
    before, chosen : SearchPoint
        What the head had, and has; the same where that stays. With the log loss on the photos that chose, nan
        where none did.
    levels : int
        Feature levels of the network.
    photos : int
        To choose by, that do not belong together.
    tried : int
        How many heads were compared; 0 where there were too few photos.
    difference : Interval or None
        Log loss of the chosen head minus that of the one before, on the photos that chose.
    missing : str
        What there was too little of; "" where there was enough.
    """

    before: SearchPoint
    chosen: SearchPoint
    levels: int
    photos: int
    tried: int = 0
    difference: Interval | None = None
    missing: str = ""

    @property
    def changed(self) -> bool:
        """Whether the head has other levels, or another strength."""
        return self.difference is not None

    @property
    def sentence(self) -> str:
        """What was chosen, and why."""
        had = self._words(self.before)
        if not self.tried:
            return (
                f"Levels and strength stay ({had}): to choose them again takes {_FEWEST} photos that do not "
                f"belong together, of every class, and there are {self.missing}."
            )
        judged = f"by {count(self.photos, 'photo')} that do not belong together"
        if self.difference is None:
            return (
                f"Levels and strength stay ({had}): {judged}, none of {self.tried - 1} others was better by "
                "more than a standard error."
            )
        low, high = sorted((-self.difference.low, -self.difference.high))
        return (
            f"Levels and strength were chosen again, {judged}: {self._words(self.chosen)}; before, {had}. "
            f"The log loss on them is lower by {-self.difference.value:.3f} (95 % interval {low:.3f} to "
            f"{high:.3f}), the best of {self.tried}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return {"changed", "before", "chosen", "tried", "photos", "difference", "why"}."""
        points = {"before": self.before, "chosen": self.chosen}
        return {
            "changed": self.changed,
            **{name: {"n_levels": point.n_levels, "l2": point.l2} for name, point in points.items()},
            "tried": self.tried,
            "photos": self.photos,
            "difference": self.difference.to_dict() if self.difference else None,
            "why": self.sentence,
        }

    def _words(self, point: SearchPoint) -> str:
        if point.n_levels == self.levels:
            levels = "all levels" if self.levels > 1 else "the only level"
        else:
            levels = "the last level" if point.n_levels == 1 else f"the last {point.n_levels} levels"
        return f"{levels}, L2 {point.l2:.3g}"


@dataclass(frozen=True, eq=False)
class _Judged:
    """Photos to choose by: class (m,), group (m,), weight (m,), and logits (m, K) of each head."""

    points: list[SearchPoint]
    logits: list[NDArray[np.float64]]
    target: NDArray[np.intp]
    group: NDArray[np.intp]
    weight: NDArray[np.float64]

    def choose(self, rows: NDArray[Any]) -> tuple[int, Interval | None, list[float]]:
        """The head that some of the photos choose, how much better it is than the first, and all losses."""
        y, weight = self.target[rows], self.weight[rows] / self.weight[rows].mean()
        losses = [calibrated_loss(logits[rows], y, weight) for logits in self.logits]
        order = [
            point_order(replace(point, log_loss=loss))
            for point, loss in zip(self.points, losses, strict=True)
        ]
        best = order.index(min(order))
        if best == 0:
            return 0, None, losses
        found, before = (weight * self._photo_losses(n, rows) for n in (best, 0))
        difference = mean_difference(found, before, self.group[rows])
        return (best, difference, losses) if better_by_one_se(difference) else (0, None, losses)

    def temperature(self, number: int, rows: NDArray[Any]) -> float:
        """That of a head, by some of the photos."""
        return fit_temperature(self.logits[number][rows], self.target[rows], self.weight[rows], smooth=True)

    def _photo_losses(self, number: int, rows: NDArray[Any]) -> NDArray[np.float64]:
        scaled = self.logits[number][rows] / self.temperature(number, rows)
        return photo_log_loss(self.target[rows], softmax(scaled))


def reselect_head(
    fitted: FittedClassifier,
    plain: NDArray[np.float32],
    target: NDArray[np.intp],
    group: NDArray[np.intp],
    fold: NDArray[np.intp],
    *,
    seed: int = 0,
) -> tuple[FittedClassifier, NDArray[np.float64], Reselection | None]:
    """Choose levels and strength again, where statistics are kept and photos are enough.

    Parameters
    ----------
    fitted : FittedClassifier
    plain : float32 ndarray (n, D)
        Features of photos that were not learnt.
    target, group, fold : int ndarray (n,)
        Class of each; photos of a group are in one fold.
    seed : int
        Of the choice of photos, where there are more than 750.

    Returns
    -------
    FittedClassifier
        With the head that the photos choose.
    float64 ndarray (n, K)
        Logits of each photo by the head that the other folds choose, on the scale of the chosen one.
    Reselection or None
        None where there are no statistics.
    """
    if (sums := fitted.statistics) is None:
        return fitted, head_logits(fitted.head, plain), None
    photos, missing = _missing(target, group, [str(name) for name in fitted.classes])
    reselection = Reselection(sums.point, sums.point, len(sums.widths), photos, missing=missing)
    if missing:
        return fitted, head_logits(fitted.head, plain), reselection
    rows = np.sort(np.random.default_rng(seed).permutation(len(target))[:_MOST])
    judged = _judged(sums, plain[rows], target[rows], group[rows])
    everything = np.ones(len(rows), bool)
    number, difference, losses = judged.choose(everything)
    path = [
        replace(point, log_loss=round(loss, 6)) for point, loss in zip(judged.points, losses, strict=True)
    ]
    reselection = replace(
        reselection, before=path[0], chosen=path[number], tried=len(path), difference=difference
    )
    if difference is not None:
        sums = replace(sums, point=judged.points[number])
    head = replace(sums.head(), chosen=path[number], path=tuple(path))
    fitted = replace(fitted, head=head, statistics=sums, trained_parameters=head.parameters)
    logits = head_logits(head, plain)
    for out in np.unique(fold).tolist():
        others = fold[rows] != out
        chosen = judged.choose(others)[0]
        if chosen != number:  # its logits on the scale of the others
            rescaled = judged.temperature(number, everything) / judged.temperature(chosen, others)
            other = replace(sums, point=judged.points[chosen]).head()
            logits[fold == out] = head_logits(other, plain[fold == out]) * rescaled
    return fitted, logits, reselection


def _missing(target: NDArray[np.intp], group: NDArray[np.intp], classes: list[str]) -> tuple[int, str]:
    """How many photos do not belong together, and what there is too little of, as a phrase."""
    photos, there = len(np.unique(group)), np.unique(target).tolist()
    none = [name for n, name in enumerate(classes) if n not in there]
    if photos >= _FEWEST and not none:
        return photos, ""
    return photos, f"{photos}" + (f", none of {first_of(none)}" if none else "")


def _judged(
    sums: PhotoStatistics, plain: NDArray[np.float32], target: NDArray[np.intp], group: NDArray[np.intp]
) -> _Judged:
    """The heads of all levels and strengths, first the one that is there, on these photos."""
    points, logits = [sums.point], [head_logits(sums.head(), plain)]
    for levels in sums.level_choices:
        of_levels = [replace(sums.point, n_levels=levels, l2=l2) for l2 in STRENGTHS]
        of_levels = [p for p in of_levels if (p.n_levels, p.l2) != (sums.point.n_levels, sums.point.l2)]
        points += of_levels
        logits += [head_logits(head, plain) for head in sums.heads(of_levels)]
    counts = np.bincount(target, minlength=len(sums.classes))
    weight = len(target) / counts[target] if sums.balanced else np.ones(len(target))
    return _Judged(points, logits, target, group, weight / weight.mean())


@one_blas_thread
def head_logits(head: FittedHead, plain: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits (n, K) of features (n, D) of all levels."""
    used = plain[:, plain.shape[1] - len(head.weight) :]
    logits: NDArray[np.float64] = (used @ head.weight + head.bias).astype(np.float64)
    return logits
