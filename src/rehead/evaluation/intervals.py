"""95 % confidence intervals of scores, from the test set alone.

**Proportions** (accuracy, precision, recall, coverage): Wilson's score interval (1927). Near-duplicates and
the user's groups are not independent photos, so where groups are not singletons n is replaced by the
effective sample size n / deff, deff being the design effect of the groups (Kish 1965; for the interval, Korn
and Graubard 1998 and Franco et al. 2019). With singletons deff is exactly 1 and the interval is plain
Wilson.

**F1 of a class** is 2 J / (1 + J), where J, the Jaccard index, is the fraction of true positives among the
photos that are of the class or predicted as it: Wilson's interval of J, mapped.

**Balanced accuracy and macro F1**: Wilson's interval again, with the n at which a proportion would have the
variance that the score has over bootstrap draws of whole groups. The percentiles of the same draws cover the
truth in 46 to 93 % of test sets of 66 photos of two classes (a class without a mistake has no spread to
resample), this in 92 to 98 %: tests/unit/evaluation/test_intervals.py.

**Log loss, Brier score and other means**: studentised bootstrap over groups (Efron 1981), which allows for
their skew; Student's t below six groups, of which there are too few different draws.

**Difference between two models on the same photos**: adjusted Wald of Bonett and Price (2012), which
Fagerland et al. (2014) recommend for paired proportions, at the effective sample size; where one model is
compared with several, each at the level that makes all of them hold together (Dunn 1961).

**Expected calibration error**: basic bootstrap over groups, since chance moves the estimate, and every draw
once more, upwards. Where the error is no larger than a perfectly calibrated model would show (97.5 % of sets
of labels drawn from the model's own probabilities: Bröcker and Smith 2007), the interval starts at 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import metrics

__all__ = [
    "LEVEL",
    "Interval",
    "ScoreIntervals",
    "better_by_one_se",
    "f1_interval",
    "group_codes",
    "mean_difference",
    "mean_interval",
    "mean_log_loss",
    "paired_difference",
    "proportion",
    "score_intervals",
    "wilson",
]

LEVEL = 0.95
DRAWS = 2000  # Efron and Tibshirani 1993, chapters 13 and 14: 1000 and more for an interval's ends
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_Z = NormalDist().inv_cdf(_TAILS[1])
_FEW_GROUPS = 6  # below these, Student's t: there are too few different bootstrap draws
_CELLS = 1_000_000  # draws x groups held at once: 8 MB an array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; nan where not defined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Return {"value", "low", "high"}, rounded to 6 digits, None for nan."""
        return {name: None if math.isnan(x) else round(x, 6) for name, x in vars(self).items()}


@dataclass(frozen=True)
class ScoreIntervals:
    """The scores of a whole test set, each with its interval."""

    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    log_loss: Interval
    brier: Interval
    expected_calibration_error: Interval


def wilson(successes: float, n: float) -> Interval:
    """Wilson's score interval of a proportion; `n` may be an effective size. All nan where n is 0."""
    if n <= 0:
        return Interval(math.nan, math.nan, math.nan)
    p = successes / n
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + (_Z / (2 * n)) ** 2)
    # at p = 0 and p = 1 one end is p itself, but for rounding
    return Interval(p, min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p))


def group_codes(groups: ArrayLike | None, n: int) -> Ints:
    """Return groups as codes 0 .. G - 1, int (n,); every photo its own group where `groups` is None."""
    if groups is None:
        return np.arange(n)
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(n).astype(np.int64)


def proportion(hits: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """Fraction of true `hits`, bool (n,), with Wilson's interval at the effective sample size."""
    right = np.asarray(hits, dtype=bool)
    if len(right) == 0:
        return wilson(0, 0)
    n = len(right) / _design_effect(right, group_codes(groups, len(right)))[1]
    return wilson(float(right.mean()) * n, n)


def mean_interval(
    values: ArrayLike, groups: ArrayLike | None = None, *, most: float = math.inf, seed: int = 0
) -> Interval:
    """Mean of `values` (n,), each 0 to `most`, by the studentised bootstrap over groups; nan where none."""
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) == 0:
        return Interval(math.nan, math.nan, math.nan)
    return _mean(numbers, most, group_codes(groups, len(numbers)), seed)


def paired_difference(
    hits: ArrayLike, others: ArrayLike, groups: ArrayLike | None = None, *, among: int = 1
) -> Interval:
    """Fraction of true `hits` minus that of true `others`, both bool (n,) and of the same photos.

    `among` is the number of such intervals that are to hold together, with 95 % probability.
    """
    first, second = np.asarray(hits, dtype=bool), np.asarray(others, dtype=bool)
    count = len(first)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    change = first.astype(np.float64) - second
    n = count / _design_effect(change, group_codes(groups, count))[1]
    # one photo more on which only the first is right, and one more on which only the second is
    gained, lost = (float((change == sign).mean()) * n + 1 for sign in (1, -1))
    p, q = gained / (n + 2), lost / (n + 2)
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / (2 * among))
    half = z * math.sqrt(max(p + q - (p - q) ** 2, 0) / (n + 2))
    value, centre = float(change.mean()), p - q
    # the adjustment draws the centre towards 0; the value itself always lies inside
    return Interval(value, max(min(centre - half, value), -1.0), min(max(centre + half, value), 1.0))


def _design_effect(values: NDArray[Any], codes: Ints) -> tuple[float, float]:
    """Return the design effect of a mean of `values` (n,), as estimated and as used.

    It lies between 1 (photos of a group are as different as any) and sum m_g^2 / n, with m_g the photos of
    group g (all of a group are right, or wrong, together). The estimate is noisy where few groups hold the
    mistakes, and alone gives intervals that cover 80 to 90 %; its geometric mean with the upper end covers
    94 % and more.
    """
    n, size = len(values), np.bincount(codes)
    worst, mean, g = float(size @ size) / n, float(values.mean()), len(size)
    if (values == values[0]).all() or g == 1:
        return worst, worst
    # the ratio estimator's variance by linearisation (Cochran 1977, chapter 6), over that of single photos
    residual = np.bincount(codes, values) - mean * size
    ratio = float(residual @ residual) * g / (g - 1) / (n * float(values.var()))
    estimate = min(max(ratio, 1.0), worst)
    return estimate, math.sqrt(estimate * worst)


def f1_interval(is_class: Bools, predicted_class: Bools, groups: ArrayLike | None = None) -> Interval:
    """F1 of one class from its true and its predicted photos, bool (n,); nan where it has no photo."""
    if not is_class.any():
        return wilson(0, 0)
    either = is_class | predicted_class
    j = proportion(
        (is_class & predicted_class)[either], None if groups is None else np.asarray(groups)[either]
    )
    return Interval(*(2 * x / (1 + x) for x in (j.value, j.low, j.high)))


def score_intervals(
    y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None, *, seed: int = 0
) -> ScoreIntervals:
    """Every score of the test set with its interval; the methods are in the module's docstring.

    Parameters
    ----------
    y_true : int (n,)
    probabilities : float (n, K)
    groups : int (n,), optional
        Photos of one group are resampled together; none: every photo alone.
    seed : int
        Of the bootstrap: equal inputs and seeds give equal intervals.
    """
    y, p = metrics.check(y_true, probabilities)
    codes = group_codes(groups, len(y))
    balanced, f1 = _class_scores(y, p, codes, seed)
    return ScoreIntervals(
        accuracy=proportion(p.argmax(axis=1) == y, codes),
        balanced_accuracy=balanced,
        macro_f1=f1,
        log_loss=mean_log_loss(y, p, codes, seed=seed),
        brier=_mean(metrics.photo_brier(y, p), 2.0, codes, seed),
        expected_calibration_error=_calibration_error(y, p, codes, seed),
    )


def mean_log_loss(y: Ints, p: Floats, codes: Ints, *, seed: int = 0) -> Interval:
    """Mean log loss of probabilities (n, K), photos of one code (n,) resampled together."""
    return _mean(metrics.photo_log_loss(y, p), metrics.MOST_LOG_LOSS, codes, seed)


def mean_difference(
    losses: ArrayLike, others: ArrayLike, groups: ArrayLike | None = None, *, seed: int = 0
) -> Interval:
    """Mean of `losses` minus that of `others`, numbers (n,) of the same photos; studentised bootstrap."""
    change = np.asarray(losses, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    most = float(np.abs(change).max(initial=0.0)) + 1
    shifted = _mean(change + most, 2 * most, group_codes(groups, len(change)), seed)
    return Interval(shifted.value - most, shifted.low - most, shifted.high - most)


def better_by_one_se(difference: Interval) -> bool:
    """Whether a difference of losses is below 0 by more than one standard error.

    The one-standard-error rule of Breiman et al. 1984 favours what is simpler, or there already.
    """
    return difference.value < -(difference.high - difference.low) / (2 * _Z)


def _draws(count: int, seed: int) -> Iterator[Floats]:
    """Yield how often each of `count` groups is drawn, (chunk, count), DRAWS rows in all."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // count)
    for start in range(0, DRAWS, step):
        rows = min(step, DRAWS - start)
        picks = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def _summed(values: NDArray[Any], labels: Ints, k: int) -> Floats:
    """Sum the columns of `values` (draws, n) that share a label, (draws, k).

    Segments of sorted columns, rather than a product with a one-hot matrix: no n x k array, and no threads of
    a matrix library, which take a hundred times longer where the processor's cores are busy.
    """
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    sums = np.zeros((len(values), k))
    if len(present):
        sums[:, present] = np.add.reduceat(values[:, order], first, axis=1)
    return sums


def _class_scores(y: Ints, p: Floats, codes: Ints, seed: int) -> tuple[Interval, Interval]:
    """Balanced accuracy and macro F1."""
    y_pred, k = p.argmax(axis=1), p.shape[1]
    right = y_pred == y
    balanced, f1 = [], []
    for draw in _draws(int(codes.max()) + 1, seed):
        photos = draw[:, codes]
        support, predicted = _summed(photos, y, k), _summed(photos, y_pred, k)
        correct = _summed(photos[:, right], y[right], k)
        support[support == 0] = np.nan  # a class that a draw lacks is left out of its mean
        balanced.append(np.nanmean(correct / support, axis=1))
        f1.append(np.nanmean(2 * correct / (support + predicted), axis=1))
    pairs, sizes = np.unique(np.stack([y, codes]), axis=1, return_counts=True)
    # the n that the classes' counts bear if all photos of a group are right, or wrong, together
    shares = sizes / np.bincount(y, minlength=k)[pairs[0]]
    most = len(np.unique(y)) ** 2 / float(shares @ shares)
    estimated, used = _design_effect(right, codes)

    def interval(value: float, drawn: list[Floats]) -> Interval:
        variance = float(np.concatenate(drawn).var())
        n = min(value * (1 - value) / variance * estimated / used, most) if variance > 1e-12 else most
        return wilson(value * n, n)

    return interval(metrics.balanced_accuracy(y, p), balanced), interval(metrics.macro_f1(y, p), f1)


def _mean(values: Floats, most: float, codes: Ints, seed: int) -> Interval:
    """Mean of numbers from 0 to `most`, studentised bootstrap over groups; a single group has no interval."""
    value = float(values.mean())
    size, total = np.bincount(codes).astype(np.float64), np.bincount(codes, values)
    if len(size) == 1:
        return Interval(value, math.nan, math.nan)
    columns = np.stack([size, total, size**2, size * total, total**2], axis=1)

    def mean_and_error(sums: Floats) -> tuple[Floats, Floats]:
        n, s, nn, ns, ss = sums.T
        mean = s / n
        return mean, np.sqrt(np.maximum(ss - 2 * mean * ns + mean**2 * nn, 0)) / n

    error = float(mean_and_error(columns.sum(axis=0, keepdims=True))[1][0])
    if len(size) < _FEW_GROUPS:
        from scipy.special import stdtrit

        margin = float(stdtrit(len(size) - 1, _TAILS[1])) * error * math.sqrt(len(size) / (len(size) - 1))
        return Interval(value, max(value - margin, 0.0), min(value + margin, most))
    drawn, drawn_error = mean_and_error(np.concatenate([draw @ columns for draw in _draws(len(size), seed)]))
    spread = drawn_error > 1e-6 * value  # a draw that is one group many times has no error to divide by
    if error <= 1e-6 * value or not spread.any():
        return Interval(value, value, value)
    low, high = np.quantile((drawn[spread] - value) / drawn_error[spread], _TAILS)
    return Interval(value, max(value - float(high) * error, 0.0), min(value - float(low) * error, most))


def _calibration_error(y: Ints, p: Floats, codes: Ints, seed: int) -> Interval:
    value = metrics.expected_calibration_error(y, p)
    confidence, gap = p.max(axis=1), p.max(axis=1) - (p.argmax(axis=1) == y)
    place = metrics.confidence_bins(confidence)
    drawn = []
    for draw in _draws(int(codes.max()) + 1, seed):
        photos = draw[:, codes]
        drawn.append(np.abs(_summed(photos * gap, place, metrics.BINS)).sum(axis=1) / photos.sum(axis=1))
    ends = np.quantile(np.concatenate(drawn), _TAILS)
    low, high = max(2 * value - float(ends[1]), 0.0), max(2 * value - float(ends[0]), value)
    chance = np.quantile(_errors_by_chance(confidence, place, codes, seed), _TAILS[1])
    return Interval(value, 0.0 if value <= chance else low, high)


def _errors_by_chance(confidence: Floats, place: Ints, codes: Ints, seed: int) -> Floats:
    """Calibration errors (DRAWS,) of labels drawn from the model's own probabilities, a group's in step."""
    rng = np.random.default_rng(seed)
    n, step = len(confidence), max(1, _CELLS // len(confidence))
    errors = []
    for start in range(0, DRAWS, step):
        right = rng.random((min(step, DRAWS - start), int(codes.max()) + 1))[:, codes] < confidence
        errors.append(np.abs(_summed(confidence - right, place, metrics.BINS)).sum(axis=1) / n)
    return np.concatenate(errors)
