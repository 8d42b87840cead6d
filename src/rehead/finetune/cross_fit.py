"""How good a trained network is, by the validation photos that also chose its weights.

The smallest validation loss of twenty epochs is optimistic: partly it is the luckiest one on these photos. So
the predictions that are reported, calibrated and compared are cross-fitted: each half of the photos is
predicted by the weights that the other half chose. The model gets the weights that all of them chose, which
are at least as good.

Weights are chosen by the loss after temperature scaling, as the model gets a temperature in the end: in a
long training a network grows overconfident while its accuracy still rises.

The linear probe is chosen and fitted on the training photos alone. Both get one temperature from the same
photos; that small advantage cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import cv_folds
from ..evaluation import metrics
from ..evaluation.intervals import Interval, better_by_one_se, mean_difference, paired_difference
from ..heads import FittedHead
from ..heads.temperature import calibrated_loss, fit_temperature, softmax

__all__ = [
    "PairedComparison",
    "ValidationScore",
    "compare",
    "cross_fit",
    "held_out_logits",
    "score",
    "score_probe",
]


@dataclass(frozen=True)
class ValidationScore:
    """Each validation photo's prediction after temperature scaling.

    Parameters
    ----------
    correct : bool ndarray (n,)
    losses : float64 ndarray (n,)
        -log of the probability of the true class, nats, times the photo's weight; weights have mean 1.
    """

    correct: NDArray[np.bool_]
    losses: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Fraction that is correct."""
        return float(self.correct.mean())

    @property
    def log_loss(self) -> float:
        """Nats."""
        return float(self.losses.mean())

    def to_dict(self) -> dict[str, float]:
        """Return {"accuracy", "log_loss"}."""
        return {"accuracy": round(self.accuracy, 6), "log_loss": round(self.log_loss, 6)}


@dataclass(frozen=True)
class PairedComparison:
    """Differences trained network minus linear probe on the same photos, with 95 % intervals.

    Parameters
    ----------
    accuracy : Interval
        Above 0: the trained network is more accurate.
    log_loss : Interval
        Below 0: the trained network is better.
    """

    accuracy: Interval
    log_loss: Interval

    @property
    def better(self) -> bool:
        """Whether the trained network has less log loss by more than one standard error."""
        return better_by_one_se(self.log_loss)

    @property
    def significant(self) -> bool:
        """Whether the interval of the log loss excludes 0; False where there is no interval."""
        return self.log_loss.low > 0 or self.log_loss.high < 0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON: both intervals, and "better"."""
        return {
            "accuracy": self.accuracy.to_dict(),
            "log_loss": self.log_loss.to_dict(),
            "better": self.better,
        }


def held_out_logits(
    candidates: NDArray[np.float32],
    y: NDArray[np.intp],
    group: NDArray[np.intp],
    weight: NDArray[np.float64],
    *,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Logits of each validation photo by the weights that the other half chose.

    Parameters
    ----------
    candidates : float32 ndarray (E, n, K)
        Logits of the validation photos, after each epoch and by interpolated weights.
    y, group : int ndarray (n,)
        Class, and group; a group stays in one half.
    weight : float64 ndarray (n,)
        Sample weights.
    seed : int
        Of the split into halves.

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
    """Outputs for each validation photo by the weights that the other half chose.

    Parameters
    ----------
    candidates : float32 ndarray (E, n, ...)
        Outputs for the validation photos, after each epoch and by interpolated weights.
    half : bool ndarray (n,)
        Which photos are the first half.
    loss : callable
        Outputs (n, ...) and rows (n,) to the mean loss of those rows; the candidate with the least is chosen.

    Returns
    -------
    float32 ndarray (n, ...)
    """
    outputs = np.empty_like(candidates[0])
    for scored in (half, ~half):
        choosing = ~scored if not scored.all() else scored  # too few photos for two halves
        if scored.any():
            losses = [loss(candidate, choosing) for candidate in candidates]
            outputs[scored] = candidates[int(np.argmin(losses))][scored]
    return outputs


def score(logits: NDArray[np.floating], y: NDArray[np.intp], weight: NDArray[np.float64]) -> ValidationScore:
    """Score logits (n, K) of photos that were not trained on, after temperature scaling."""
    temperature = fit_temperature(logits, y, weight, smooth=True)
    losses = metrics.photo_log_loss(y, softmax(logits / temperature))
    return ValidationScore(logits.argmax(axis=1) == y, losses * (weight / weight.mean()))


def score_probe(
    head: FittedHead, features: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64]
) -> ValidationScore:
    """As `score`, of a linear probe on the features (n, D) of the frozen network."""
    levels = features[:, features.shape[1] - len(head.weight) :].astype(np.float64)
    return score(levels @ head.weight + head.bias, y, weight)


def compare(trained: ValidationScore, probe: ValidationScore, group: NDArray[np.intp]) -> PairedComparison:
    """Paired differences on the same photos, with intervals that resample groups (n,)."""
    return PairedComparison(
        paired_difference(trained.correct, probe.correct, group),
        mean_difference(trained.losses, probe.losses, group),
    )
