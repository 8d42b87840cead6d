from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.core.rejection import OperatingPoint, PhotoStyles, choose_operating_point
from rehead.errors import DataError


def known(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Photos of known classes: the odd ones are less sure, as they are in life."""
    outliers = rng.gamma(2, 0.2, size=n)
    sure = 1 / (1 + np.exp(-(3 + rng.normal(size=n) - 2 * outliers)))
    best = 0.5 + sure / 2
    return np.column_stack([best, 1 - best]), outliers


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 60),
    coverage=st.floats(0.01, 1),
    seed=st.integers(0, 10_000),
    decimals=st.integers(0, 6),  # few decimals: many ties
)
def test_the_photos_it_was_set_on_are_accepted_at_least_as_asked(
    n: int, coverage: float, seed: int, decimals: int
) -> None:
    probabilities, outliers = known(n, np.random.default_rng(seed))
    probabilities, outliers = probabilities.round(decimals), outliers.round(decimals)
    point = choose_operating_point(probabilities, outliers, coverage=coverage)
    assert point.accept(probabilities, outliers).mean() >= coverage - 1e-12
    assert (point.coverage, point.photos) == (coverage, n)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("n", [60, 400])
def test_new_photos_of_known_classes_are_accepted_as_stated(coverage: float, n: int) -> None:
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(300):
        point = choose_operating_point(*known(n, rng), coverage=coverage)
        shares.append(point.accept(*known(200, rng)).mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert coverage - 3 * error <= np.mean(shares) <= coverage + 3 / n + 3 * error


def test_half_of_the_refusals_are_odd_and_half_unsure() -> None:
    rng = np.random.default_rng(0)
    outliers, sure = rng.uniform(size=10000), rng.uniform(0.5, 1, size=10000)
    probabilities = np.column_stack([sure, 1 - sure])
    point = choose_operating_point(probabilities, outliers, coverage=0.9)
    odd = outliers > point.outlier_score
    assert odd.mean() == pytest.approx(0.05, abs=0.001)
    assert (~odd & (sure < point.probability)).mean() == pytest.approx(0.05, abs=0.001)


def test_full_coverage_accepts_all_that_was_seen_and_still_refuses_what_is_odder() -> None:
    probabilities, outliers = known(50, np.random.default_rng(0))
    point = choose_operating_point(probabilities, outliers, coverage=1)
    assert point.accept(probabilities, outliers).all()
    assert not point.accept(probabilities[:1], outliers.max(keepdims=True) + 1).any()


@pytest.mark.parametrize("coverage", [0, -0.1, 1.01, float("nan")])
def test_a_coverage_that_is_none_is_refused(coverage: float) -> None:
    with pytest.raises(DataError, match="coverage"):
        choose_operating_point(np.full((4, 2), 0.5), np.zeros(4), coverage=coverage)


def test_the_record_survives_json() -> None:
    point = choose_operating_point(*known(30, np.random.default_rng(0)))
    assert OperatingPoint.from_dict(json.loads(json.dumps(point.to_dict()))) == point


def test_the_reason_names_the_score_and_its_limit() -> None:
    point = OperatingPoint(0.95, 0.6, 0.8, 100)
    assert point.reason(0.6, 0.8) == ""
    assert point.reason(0.41, 0.5) == "not sure enough (probability 0.41, needs 0.60)"
    assert point.reason(0.41, 1.5) == "unlike the training photos (outlier score 1.50, limit 0.80)"
    assert point.reason(0.99, 1.5).startswith("unlike the training photos")


@settings(max_examples=50, deadline=None, derandomize=True)
@given(probability=st.floats(0, 1), outlier=st.floats(0, 3))
def test_there_is_a_reason_exactly_where_a_photo_is_not_accepted(probability: float, outlier: float) -> None:
    point = OperatingPoint(0.95, 0.6, 0.8, 100)
    accepted = point.accept(np.array([[probability, 0.0]]), np.array([outlier]))[0]
    assert bool(point.reason(probability, outlier)) != accepted


def test_the_numbers_of_a_reason_never_contradict_it() -> None:
    point = OperatingPoint(0.95, 0.6, 0.8, 100)
    assert point.reason(0.5999, 0.5) != "not sure enough (probability 0.60, needs 0.60)"
    assert point.reason(0.9, 0.80001) != "unlike the training photos (outlier score 0.80, limit 0.80)"


@pytest.mark.parametrize("which", ["probability", "outlier_score"])
@pytest.mark.parametrize("of", ["limit", "photo"])
def test_what_is_no_number_is_unknown(which: str, of: str) -> None:
    limits, photo = {"probability": 0.5, "outlier_score": 1.0}, {"probability": 0.9, "outlier_score": 0.1}
    (limits if of == "limit" else photo)[which] = float("nan")
    point = OperatingPoint(coverage=0.95, photos=9, **limits)
    assert point.reason(**photo)
    probabilities = np.array([[photo["probability"], 0.1]])
    assert not point.accept(probabilities, np.array([photo["outlier_score"]])).any()


@pytest.mark.parametrize(
    "change", [{"probability": float("nan")}, {"photos": "9"}, {"outlier_score": float("inf")}, {"more": 1}]
)
def test_a_record_of_something_else_is_refused(change: dict[str, object]) -> None:
    record = {"coverage": 0.95, "probability": 0.5, "outlier_score": 1.0, "photos": 9}
    assert OperatingPoint.from_dict(record).to_dict() == record
    with pytest.raises(DataError, match="the operating point is"):
        OperatingPoint.from_dict({**record, **change})
    with pytest.raises(DataError, match="the operating point is"):
        OperatingPoint.from_dict({})


@pytest.mark.parametrize("numbers", [(float("nan"), 0.5), (0.9, float("nan"))])
def test_what_is_not_a_number_is_not_answered(numbers: tuple[float, float]) -> None:
    probability, outlier = numbers
    assert OperatingPoint(0.95, 0.6, 0.8, 100).reason(probability, outlier)
    for point in (OperatingPoint(0.95, float("nan"), 0.8, 9), OperatingPoint(0.95, 0.6, float("nan"), 9)):
        assert point.reason(0.9, 0.5)
        assert not point.accept(np.array([[0.9, 0.1]]), np.array([0.5]))[0]


def test_a_photo_is_of_the_style_that_it_shows_most_or_of_none() -> None:
    weight = np.eye(3, 2, dtype=np.float32)
    styles = PhotoStyles(("grey", "dark"), weight, np.array([0, -1], np.float32), 0.5)
    features = np.array([[0.4, 1.4, 9], [0.6, 0, 0], [0.6, 2, 0], [np.nan, 0, 0]], np.float32)
    assert styles.of(features).tolist() == [-1, 0, 1, -1]
    record = json.loads(json.dumps(styles.to_dict()))
    again = PhotoStyles.from_dict(record)
    assert (again.names, again.limit) == (styles.names, styles.limit)
    np.testing.assert_array_equal(again.weight, weight)
    np.testing.assert_array_equal(again.bias, styles.bias)


@pytest.mark.parametrize(
    "spoil",
    [{"names": None}, {"weight": "no base64"}, {"weight": "AAAA"}, {"names": ["grey"]}, {"limit": "x"}],
)
def test_a_record_of_styles_that_does_not_fit_is_an_error(spoil: dict[str, object]) -> None:
    styles = PhotoStyles(("grey", "dark"), np.eye(3, 2, dtype=np.float32), np.zeros(2, np.float32), 0.5)
    with pytest.raises((KeyError, TypeError, ValueError)):
        PhotoStyles.from_dict(styles.to_dict() | spoil)
