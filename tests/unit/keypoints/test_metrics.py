"""Metrics against plain loops; missing points do not count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rehead.keypoints import evaluate_keypoints, metrics

points = arrays(np.float64, (4, 5, 2), elements=st.floats(-50, 50, width=32))
gaps = arrays(np.bool_, (4, 5))


def known_only(predicted: np.ndarray, truth: np.ndarray, n: int) -> list[tuple[float, float]]:
    return [
        (abs(px - tx), abs(py - ty))
        for (px, py), (tx, ty) in zip(predicted[n].tolist(), truth[n].tolist(), strict=True)
        if not math.isnan(tx)
    ]


@settings(max_examples=40, deadline=None)
@given(predicted=points, truth=points, missing=gaps)
def test_scores_are_what_loops_give(predicted: np.ndarray, truth: np.ndarray, missing: np.ndarray) -> None:
    missing[:, 0] = False
    truth = np.where(missing[:, :, None], np.nan, truth)
    sizes = np.array([[10, 20]] * 4)
    size = np.array([7.0, 8.0, 9.0, 10.0])
    for n in range(4):
        off = known_only(predicted, truth, n)
        away = [math.hypot(x, y) for x, y in off]
        assert metrics.photo_errors(predicted, truth)[n] == pytest.approx(
            sum(x + y for x, y in off) / (2 * len(off)), abs=1e-9
        )
        assert metrics.photo_errors(predicted, truth, sizes)[n] == pytest.approx(
            sum(x / 10 + y / 20 for x, y in off) / (2 * len(off)), abs=1e-9
        )
        error = sum(away) / len(away) / size[n]
        assert metrics.normalised_errors(predicted, truth, size)[n] == pytest.approx(error, abs=1e-9)
        near = sum(a / size[n] <= 0.5 for a in away) / len(away)
        assert metrics.pck(predicted, truth, size, 0.5)[n] == pytest.approx(near)


def test_area_under_the_curve_is_that_of_the_curve() -> None:
    errors = np.array([0.01, 0.03, 0.05, 0.2])
    x = np.linspace(0, metrics.LIMIT, 100_001)
    curve = (errors[None] <= x[:, None]).mean(axis=1)
    assert metrics.area_under_curve(errors).mean() == pytest.approx(curve.mean(), abs=1e-4)


def test_sizes() -> None:
    truth = np.array([[[0.0, 0.0], [4.0, 9.0], [np.nan, np.nan]], [[1.0, 1.0], [np.nan] * 2, [np.nan] * 2]])
    assert metrics.box_size(truth)[0] == 6
    assert np.isnan(metrics.box_size(truth)[1]), "a single point has no box"
    assert metrics.eye_distance(truth, (0, 1))[0] == pytest.approx(math.hypot(4, 9))


def test_intervals_are_over_people_and_missing_points_do_not_count() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (200, 6, 2))
    person = np.repeat(np.arange(20), 10)
    predicted = truth + rng.normal(size=(20, 1, 2))[person] * 3  # all photos of one person err alike
    sizes = np.full((200, 2), 100)
    people = evaluate_keypoints(predicted, truth, sizes, person)
    alone = evaluate_keypoints(predicted, truth, sizes, np.arange(200))
    width = [a.scores[0].interval.high - a.scores[0].interval.low for a in (people, alone)]
    assert width[0] > 2 * width[1]
    assert people.people == 20
    holes = truth.copy()
    holes[::3, 2] = np.nan
    far = np.where(np.isnan(holes), 1e6, predicted)
    assert evaluate_keypoints(far, holes, sizes, person).scores[1].interval.value < 10


def test_regions_only_of_68_points() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (30, 68, 2))
    evaluation = evaluate_keypoints(truth + 1, truth, np.full((30, 2), 100), np.arange(30))
    assert [region.name for region in evaluation.regions] == ["jaw", "brows", "nose", "eyes", "mouth"]
    assert evaluation.scores[1].interval.value == pytest.approx(1)
    assert not evaluate_keypoints(
        truth[:, :5] + 1, truth[:, :5], np.full((30, 2), 100), np.arange(30)
    ).regions
    record = evaluation.to_dict()
    assert record["scores"]["Failures at 8 %"]["value"] == 0
