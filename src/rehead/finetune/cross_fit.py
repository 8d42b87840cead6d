"""How good a trained network is, by the photos that also chose its weights.

The epoch of the least validation loss flatters itself: of twenty, the best on some photos is partly the
luckiest on them. So what is told, calibrated and compared are other predictions: each half of these photos
is judged by the weights that the other half chose (cross-fitting). The weights that are kept are those that
all of them chose, which is at least as well chosen.

Weights are chosen by the loss after the temperature that suits the photos, as the model gets one in the end:
a network that is trained for long is ever surer, and right more often all the same.

The frozen network's head is chosen and fitted on the training photos alone, and judged as it is. Both get one
temperature from the same photos, whose small advantage cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import cv_folds
from ..evaluation import metrics
from ..evaluation.intervals import Interval, mean_difference, paired_difference
from ..heads import FittedHead
from ..heads.temperature import calibrated_loss, fit_temperature, softmax

__all__ = [
    "PairedComparison",
    "ValidationScore",
    "better_by_one_se",
    "compare",
    "cross_fit",
    "held_out_logits",
    "judge_frozen",
    "score",
]

_ERRORS = 1.96  # standard errors from the value to either end of a 95 % interval


@dataclass(frozen=True)
class ValidationScore:
    """What became of each validation photo, after one temperature.

    Parameters
    ----------
    right : bool ndarray (n,)
    losses : float64 ndarray (n,)
        -log of the probability of the true class, nats, times the photo's weight; weights have the mean 1.
    """

    right: NDArray[np.bool_]
    losses: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Share that is right."""
        return float(self.right.mean())

    @property
    def log_loss(self) -> float:
        """Nats."""
        return float(self.losses.mean())

    def to_dict(self) -> dict[str, float]:
        """Return {"accuracy", "log_loss"}."""
        return {"accuracy": round(self.accuracy, 6), "log_loss": round(self.log_loss, 6)}


@dataclass(frozen=True)
class PairedComparison:
    """The trained network less the frozen one, on the same photos, with 95 % intervals.

    Parameters
    ----------
    accuracy : Interval
        Above 0: the trained network is right more often.
    log_loss : Interval
        Below 0: the trained network is better.
    """

    accuracy: Interval
    log_loss: Interval

    @property
    def better(self) -> bool:
        """Whether the trained network has clearly less log loss."""
        return better_by_one_se(self.log_loss)

    @property
    def sure(self) -> bool:
        """Whether the interval of the log loss leaves no doubt about the sign; False where there is none."""
        return self.log_loss.low > 0 or self.log_loss.high < 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "accuracy": self.accuracy.to_dict(),
            "log_loss": self.log_loss.to_dict(),
            "better": self.better,
        }


def better_by_one_se(difference: Interval) -> bool:
    """Whether what was trained has less loss than what was fitted, by more than one standard error.

    What was fitted is the simpler of the two, so it has the benefit of the doubt (the rule of Breiman et al.
    1984); and it is fitted to the validation photos too in the end, which this leaves out.
    """
    return difference.value < -(difference.high - difference.low) / (2 * _ERRORS)


def held_out_logits(
    candidates: NDArray[np.float32],
    y: NDArray[np.intp],
    group: NDArray[np.intp],
    weight: NDArray[np.float64],
    *,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Logits of each photo by the weights that photos of the other half chose.

    Parameters
    ----------
    candidates : float32 ndarray (E, n, K)
        Logits of the validation photos, after every epoch and by weights between.
    y, group : int ndarray (n,)
        Class, and what stays together in a half.
    weight : float64 ndarray (n,)
    seed : int
        Of the halves.

    Returns
    -------
    float32 ndarray (n, K)
    """
    half = cv_folds(y, group, count=2, seed=seed) == 1

    def loss(logits: NDArray[np.float32], rows: NDArray[np.bool_]) -> float:
        return calibrated_loss(logits[rows], y[rows], weight[rows])

    return cross_fit(candidates, half, loss)


def cross_fit(
    candidates: NDArray[np.float32],
    half: NDArray[np.bool_],
    loss: Callable[[NDArray[np.float32], NDArray[np.bool_]], float],
) -> NDArray[np.float32]:
    """Answers for each photo by the weights that photos of the other half chose.

    Parameters
    ----------
    candidates : float32 ndarray (E, n, ...)
        Answers for the validation photos, after every epoch and by weights between.
    half : bool ndarray (n,)
    loss : callable
        Answers (n, ...) and rows (n,) to the mean loss of those rows; the candidate with the least is chosen.

    Returns
    -------
    float32 ndarray (n, ...)
    """
    answers = np.empty_like(candidates[0])
    for own in (half, ~half):
        other = ~own if not own.all() else own  # too few photos for two halves
        if own.any():
            losses = [loss(one, other) for one in candidates]
            answers[own] = candidates[int(np.argmin(losses))][own]
    return answers


def score(logits: NDArray[np.floating], y: NDArray[np.intp], weight: NDArray[np.float64]) -> ValidationScore:
    """Logits (n, K) of photos that were not trained on, after the temperature that suits them."""
    heat = fit_temperature(logits, y, weight, smooth=True)
    losses = metrics.photo_log_loss(y, softmax(logits / heat))
    return ValidationScore(logits.argmax(axis=1) == y, losses * (weight / weight.mean()))


def judge_frozen(
    head: FittedHead, features: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64]
) -> ValidationScore:
    """As `score`, of a head on the features (n, D) of the frozen network."""
    used = features[:, features.shape[1] - len(head.weight) :].astype(np.float64)
    return score(used @ head.weight + head.bias, y, weight)


def compare(trained: ValidationScore, frozen: ValidationScore, group: NDArray[np.intp]) -> PairedComparison:
    """The difference between two judgements of the same photos; those of one group (n,) count together."""
    return PairedComparison(
        paired_difference(trained.right, frozen.right, group),
        mean_difference(trained.losses, frozen.losses, group),
    )
