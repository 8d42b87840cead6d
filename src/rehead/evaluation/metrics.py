"""Classification metrics, in numpy alone; their intervals are in `intervals`.

Every function takes `y_true`, int (n,), the index of the true class, and `probabilities`, float (n, K), whose
rows sum to one; the predicted class is the largest, the first of equals. n = 0 and malformed arrays raise
DataError. A metric that is not defined is nan, never 0 or 1:

- the recall and F1 of a class that has no photo in the test set;
- the precision of a class that was never predicted.

Averages over classes are over the classes that have photos in the test set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

__all__ = [
    "BINS",
    "MOST_LOG_LOSS",
    "CoverageCurve",
    "PerClass",
    "Reliability",
    "accuracy",
    "balanced_accuracy",
    "brier",
    "check",
    "confidence_bins",
    "confusion_matrix",
    "coverage_accuracy",
    "expected_calibration_error",
    "log_loss",
    "macro_f1",
    "majority_baseline",
    "per_class",
    "photo_brier",
    "photo_log_loss",
    "reliability",
    "uniform_wrong",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15  # Guo et al. 2017, "On Calibration of Modern Neural Networks", table 1
_EPS = float(np.finfo(np.float64).eps)  # where log loss is clipped, as in sklearn.metrics.log_loss
MOST_LOG_LOSS = -math.log(_EPS)
_EPSILON = 1e-6  # more than float32 loses, less than any score shows


@dataclass(frozen=True, eq=False)
class PerClass:
    """Scores of every class, each an array (K,).

    Parameters
    ----------
    precision, recall, f1 : float (K,), 0 to 1 or nan where not defined
    support : int (K,), photos whose true class it is
    predicted : int (K,), photos that were predicted as it
    correct : int (K,), photos of it that were predicted as it
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    predicted: Ints
    correct: Ints


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in equal-width bins of the predicted class's probability.

    Parameters
    ----------
    edges : float (bins + 1,), 0 to 1; a bin holds its upper edge and not its lower
    count : int (bins,), photos in the bin
    confidence, accuracy : float (bins,), means in the bin, nan where it is empty
    """

    edges: Floats
    count: Ints
    confidence: Floats
    accuracy: Floats


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """Accuracy against coverage.

    One point for each distinct confidence, most confident first: of the photos that the operating point
    answers, then of those that it does not.

    Parameters
    ----------
    coverage : float (m,), rising to 1: fraction of photos so far
    accuracy : float (m,), accuracy on those
    threshold : float (m,), confidence of the last of them
    """

    coverage: Floats
    accuracy: Floats
    threshold: Floats


def check(y_true: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    """Return the two as int64 (n,) and float64 (n, K), or raise DataError saying what is wrong."""
    y, p = np.asarray(y_true), np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or y.shape != p.shape[:1]:
        raise DataError(
            f"y_true {y.shape} and probabilities {p.shape} do not match; expected (n,) and (n, K)"
        )
    if len(y) == 0:
        raise DataError("there is nothing to evaluate: no photos with a known class; give at least one")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise DataError(f"y_true must hold class indices, whole numbers from 0 to {p.shape[1] - 1}")
    # float32 rows of 1,000 classes sum to one within some 1e-5
    if not np.isfinite(p).all() or p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise DataError("probabilities must be finite, not negative and sum to one in every row")
    return y.astype(np.int64), p


def confusion_matrix(y_true: ArrayLike, probabilities: ArrayLike) -> Ints:
    """Count photos, int (K, K): row the true class, column the predicted one."""
    y, p = check(y_true, probabilities)
    k = p.shape[1]
    return np.bincount(y * k + p.argmax(axis=1), minlength=k * k).reshape(k, k).astype(np.int64)


def accuracy(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Fraction of photos that are classified correctly, 0 to 1."""
    y, p = check(y_true, probabilities)
    return float((p.argmax(axis=1) == y).mean())


def per_class(y_true: ArrayLike, probabilities: ArrayLike) -> PerClass:
    """Precision, recall, F1 and counts of every class; nan where not defined (see the module)."""
    matrix = confusion_matrix(y_true, probabilities)
    correct, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = correct / predicted, correct / support
        f1 = np.where(support > 0, 2 * correct / (support + predicted), np.nan)
    return PerClass(precision, recall, f1, support, predicted, correct)


def balanced_accuracy(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean recall of the classes that have photos, 0 to 1."""
    return float(np.nanmean(per_class(y_true, probabilities).recall))


def macro_f1(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean F1 of the classes that have photos, 0 to 1."""
    return float(np.nanmean(per_class(y_true, probabilities).f1))


def photo_log_loss(y_true: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Minus the log of the true class's probability, nats, float (n,), at most 36.04."""
    y, p = check(y_true, probabilities)
    return -np.log(np.clip(p[np.arange(len(y)), y], _EPS, 1.0))


def log_loss(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of `photo_log_loss`, nats, 0 (perfect) upwards; log(K) for equal probabilities."""
    return float(photo_log_loss(y_true, probabilities).mean())


def photo_brier(y_true: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Squared distance of every row to the truth, summed over classes, float (n,), 0 to 2."""
    y, p = check(y_true, probabilities)
    # sum_k (p_k - [k = y])^2, without a one-hot copy
    squared: Floats = (p**2).sum(axis=1) - 2 * p[np.arange(len(y)), y] + 1
    return squared


def brier(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of `photo_brier`, 0 (perfect) to 2 (Brier 1950)."""
    return float(photo_brier(y_true, probabilities).mean())


def confidence_bins(confidence: Floats, bins: int = BINS) -> Ints:
    """Return the equal-width bin of each confidence, int (n,): bin i holds (i / bins, (i + 1) / bins]."""
    return np.digitize(confidence, np.linspace(0.0, 1.0, bins + 1)[1:-1], right=True).astype(np.int64)


def reliability(y_true: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> Reliability:
    """Bin photos by confidence, the predicted class's probability, and compare its mean with the accuracy."""
    y, p = check(y_true, probabilities)
    confidence = p.max(axis=1)
    place = confidence_bins(confidence, bins)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, bins) / count
        mean_accuracy = np.bincount(place, p.argmax(axis=1) == y, bins) / count
    return Reliability(
        np.linspace(0.0, 1.0, bins + 1), count.astype(np.int64), mean_confidence, mean_accuracy
    )


def expected_calibration_error(y_true: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float:
    """Mean over photos of the gap between confidence and accuracy in their bin, 0 to 1 (Guo et al. 2017).

    It is biased upwards where photos are few; its interval in `intervals` allows for it.
    """
    bars = reliability(y_true, probabilities, bins)
    filled = bars.count > 0
    gaps = np.abs(bars.confidence - bars.accuracy)[filled]
    return float(gaps @ bars.count[filled] / bars.count.sum())


def coverage_accuracy(
    y_true: ArrayLike, probabilities: ArrayLike, accepted: ArrayLike | None = None
) -> CoverageCurve:
    """Accuracy against coverage at falling thresholds of the confidence (El-Yaniv and Wiener 2010).

    The photos that an operating point does not answer, where `accepted` bool (n,) is False, come last: it
    also looks at the outlier score, so that it is a point of no curve that goes by the confidence alone.
    """
    y, p = check(y_true, probabilities)
    confidence = p.max(axis=1)
    refused = np.zeros(len(y), dtype=bool) if accepted is None else ~np.asarray(accepted, dtype=bool)
    order = np.lexsort((-confidence, refused))
    confidence, correct = confidence[order], (p.argmax(axis=1) == y)[order]
    steps = (np.diff(confidence) != 0) | (np.diff(refused[order].astype(int)) != 0)
    last = np.append(np.flatnonzero(steps), len(y) - 1)
    answered = last + 1
    return CoverageCurve(answered / len(y), np.cumsum(correct)[last] / answered, confidence[last])


def majority_baseline(y_true: ArrayLike) -> tuple[int, float]:
    """Return the most frequent class of the test set, the lowest of equals, and its fraction."""
    y = np.asarray(y_true)
    if y.size == 0:
        raise DataError("there is nothing to evaluate: no photos with a known class; give at least one")
    counts = np.bincount(y)
    return int(counts.argmax()), float(counts.max() / len(y))


def uniform_wrong(y_true: ArrayLike, classes: int) -> Floats:
    """Probabilities (n, K) of photos without a prediction: uniform, and wrong by 1e-6."""
    truth = np.asarray(y_true, dtype=np.int64)
    rows = np.full((len(truth), classes), 1 / classes)
    rows[np.arange(len(truth)), truth] -= _EPSILON
    rows[np.arange(len(truth)), (truth + 1) % classes] += _EPSILON
    return rows
