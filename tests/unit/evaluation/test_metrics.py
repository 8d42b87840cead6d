from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from rehead.errors import DataError
from rehead.evaluation import metrics

Case = tuple[NDArray[np.int64], NDArray[np.float64]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n, k = draw(st.integers(1, 60)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(size=(n, k)) * draw(st.sampled_from([0.5, 2.0, 8.0]))
    p = np.exp(logits)
    return rng.integers(0, k, n), p / p.sum(axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_scores_are_those_of_scikit_learn(case: Case) -> None:
    y, p = case
    k, called = p.shape[1], p.argmax(axis=1)
    present = np.unique(y)
    assert metrics.accuracy(y, p) == pytest.approx(reference.accuracy_score(y, called))
    assert metrics.log_loss(y, p) == pytest.approx(reference.log_loss(y, p, labels=range(k)))
    np.testing.assert_array_equal(
        metrics.confusion_matrix(y, p), reference.confusion_matrix(y, called, labels=range(k))
    )
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        y, called, labels=range(k), zero_division=np.nan
    )
    scores = metrics.per_class(y, p)
    np.testing.assert_array_equal(scores.support, support)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1[present], f1[present])
    assert metrics.balanced_accuracy(y, p) == pytest.approx(recall[present].mean())
    assert metrics.macro_f1(y, p) == pytest.approx(f1[present].mean())
    one_hot = np.eye(k)[y]
    assert metrics.brier(y, p) == pytest.approx(((p - one_hot) ** 2).sum(axis=1).mean())


def test_absent_and_never_predicted_classes_are_nan_and_out_of_the_averages() -> None:
    # class 1 is never predicted, class 2 has no photo and is predicted once, class 3 has neither
    y = np.array([0, 0, 0, 1])
    p = np.array([[0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.5, 0.3, 0.1, 0.1]])
    scores = metrics.per_class(y, p)
    np.testing.assert_allclose(scores.precision, [2 / 3, np.nan, 0, np.nan])
    np.testing.assert_allclose(scores.recall, [2 / 3, 0, np.nan, np.nan])
    np.testing.assert_allclose(scores.f1, [2 / 3, 0, np.nan, np.nan])
    assert scores.support.tolist() == [3, 1, 0, 0]
    assert scores.predicted.tolist() == [3, 0, 1, 0]
    assert metrics.balanced_accuracy(y, p) == pytest.approx(1 / 3)
    assert metrics.macro_f1(y, p) == pytest.approx(1 / 3)


def test_calibration_error_by_hand() -> None:
    # bins of 1/15: two photos at 0.9 (one right), one at 0.6 (right), and 0.6 is in the bin that ends there
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    y = np.array([0, 1, 0])
    bars = metrics.reliability(y, p)
    assert np.flatnonzero(bars.count).tolist() == [8, 13]
    assert bars.edges[9] == pytest.approx(0.6)
    assert bars.count[[8, 13]].tolist() == [1, 2]
    assert bars.confidence[13] == pytest.approx(0.9)
    assert bars.accuracy[13] == 0.5
    assert math.isnan(bars.accuracy[0])
    assert metrics.expected_calibration_error(y, p) == pytest.approx((2 * 0.4 + 1 * 0.4) / 3)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(1, 20))
def test_reliability_bins_hold_every_photo_once(case: Case, bins: int) -> None:
    y, p = case
    bars = metrics.reliability(y, p, bins)
    filled = bars.count > 0
    assert bars.count.sum() == len(y)
    assert np.nansum(bars.accuracy * bars.count) == pytest.approx(len(y) * metrics.accuracy(y, p))
    assert (bars.confidence[filled] > bars.edges[:-1][filled] - 1e-12).all()
    assert (bars.confidence[filled] <= bars.edges[1:][filled] + 1e-12).all()


def test_coverage_curve_takes_equal_confidences_together() -> None:
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.6, 0.4]])
    curve = metrics.coverage_accuracy(np.array([0, 1, 0, 1]), p)
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    np.testing.assert_allclose(curve.accuracy, [1, 2 / 3, 0.5])
    assert curve.threshold.tolist() == [0.9, 0.7, 0.6]


def test_certain_and_wrong_is_clipped_and_not_infinite() -> None:
    y, p = np.array([1]), np.array([[1.0, 0.0]])
    assert metrics.log_loss(y, p) == pytest.approx(metrics.MOST_LOG_LOSS)
    assert metrics.brier(y, p) == 2.0
    assert metrics.expected_calibration_error(y, p) == 1.0


def test_majority_baseline_is_the_lowest_of_the_commonest() -> None:
    assert metrics.majority_baseline(np.array([2, 1, 1, 2, 0])) == (1, 0.4)


HALVES = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("y", "p", "says"),
    [
        (np.array([], dtype=int), np.empty((0, 2)), "nothing to evaluate"),
        (np.array([0]), HALVES, "do not match"),
        (np.array([0, 2]), HALVES, "0 to 1"),
        (np.array([0, -1]), HALVES, "0 to 1"),
        (np.array([0.0, 1.0]), HALVES, "whole numbers"),
        (np.array([0, 1]), np.array([[0.5, 0.6], [0.5, 0.5]]), "sum to one"),
        (np.array([0, 1]), np.array([[np.nan, 1.0], [0.5, 0.5]]), "finite"),
        (np.array([0, 1]), np.array([[-0.5, 1.5], [0.5, 0.5]]), "not negative"),
    ],
)
def test_bad_arrays_are_refused(y: NDArray[np.int64], p: NDArray[np.float64], says: str) -> None:
    with pytest.raises(DataError, match=says):
        metrics.accuracy(y, p)


def test_majority_baseline_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        metrics.majority_baseline([])
