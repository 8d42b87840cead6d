"""Temperature scaling (Guo et al. 2017): calibration of probabilities by one number."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibrated_loss", "fit_temperature", "log_loss", "softmax"]

_LOW, _HIGH = -7.0, 4.0  # natural logarithms of the temperatures searched, about 0.001 to 55


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities (n, K) of logits (n, K)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exp = np.exp(shifted, dtype=np.float64)
    probabilities: NDArray[np.float64] = exp / exp.sum(axis=1, keepdims=True)
    return probabilities


def log_loss(
    logits: NDArray[np.floating], y: NDArray[np.intp], weight: NDArray[np.float64] | None = None
) -> float:
    """Mean of -log softmax(logits)[y], nats; logits (n, K), y (n,), weight (n,)."""
    shifted = np.asarray(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]
    return float(np.average(losses, weights=weight))


def calibrated_loss(
    logits: NDArray[np.floating], y: NDArray[np.intp], weight: NDArray[np.float64] | None = None
) -> float:
    """`log_loss` after the smooth temperature fitted on the same photos; nan where logits are not finite."""
    if not np.isfinite(logits).all():
        return math.nan
    return log_loss(logits / fit_temperature(logits, y, weight, smooth=True), y, weight)


def fit_temperature(
    logits: NDArray[np.floating],
    y: NDArray[np.intp],
    weight: NDArray[np.float64] | None = None,
    *,
    smooth: bool = False,
) -> float:
    """Temperature T that minimises the log loss of softmax(logits / T).

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        Held-out.
    y : int ndarray of shape (n,)
    weight : float64 ndarray of shape (n,), optional
    smooth : bool
        Label smoothing as if one more photo had been wrong, after Platt (1999): the targets are
        1 - e for the class and e spread over all classes, with e = 1 / (n + 2). Where all of a few
        photos are correct, the probabilities then stay below 1.

    Returns
    -------
    float
        Positive. The loss is convex in 1 / T, so golden-section search in log T finds the minimum; where
        every photo is correct there is none, and the lower end of the search is returned.
    """
    epsilon = 1 / (len(y) + 2) if smooth else 0.0

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        value = log_loss(scaled, y, weight)
        if epsilon:
            # cross-entropy is linear in the target: the mean over classes differs by the mean logit
            gap = scaled[np.arange(len(y)), y] - scaled.mean(axis=1)
            value += epsilon * float(np.average(gap, weights=weight))
        return value

    golden = (5**0.5 - 1) / 2
    low, high = _LOW, _HIGH
    left, right = high - golden * (high - low), low + golden * (high - low)
    values = [loss(t) for t in (left, right)]
    while high - low > 1e-3:
        if values[0] < values[1]:
            high, right, left = right, left, right - golden * (right - low)
            values = [loss(left), values[0]]
        else:
            low, left, right = left, right, left + golden * (high - left)
            values = [values[1], loss(right)]
    return float(np.exp((low + high) / 2))
