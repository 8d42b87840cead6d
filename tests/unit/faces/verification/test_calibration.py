from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.errors import DataError
from rehead.evaluation.intervals import Interval
from rehead.faces import FaceEmbedder
from rehead.faces.gallery.threshold import GalleryThreshold
from rehead.faces.verification.calibration import (
    Calibration,
    calibrate,
    fit_probability,
    read_calibration,
    shipped,
)
from rehead.faces.verification.error_rates import ImpostorPairs, rule_of_three, threshold_at
from rehead.faces.verification.pairs import Pairs, all_pairs


def people_of(
    count: int, each: int = 2, *, seed: int = 0, spread: float = 0.7
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Embeddings of people whose photos lie around a direction of their own."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(count), each)
    rows = rng.normal(size=(count, 32))[people] + spread * rng.normal(size=(count * each, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), people


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(*people_of(200), fingerprint="c", source="made up")


def test_the_rule_of_three() -> None:
    assert rule_of_three(300) == pytest.approx(0.01)
    assert rule_of_three(0) == rule_of_three(2) == 1


def test_pairs_are_all_pairs() -> None:
    rows, people = people_of(3)
    pairs = all_pairs(rows, people)
    assert len(pairs) == 15
    assert pairs.same.sum() == 3
    assert pairs.score[pairs.same] == pytest.approx(
        [float(rows[n] @ rows[n + 1]) for n in (0, 2, 4)], abs=1e-6
    )


def test_many_photos_are_drawn_with_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehead.faces.verification.pairs._MOST_PAIRS", 300)
    rows, people = people_of(10, each=9)
    pairs = all_pairs(rows, people)
    assert 200 < len(pairs) <= 300
    assert set(pairs.first.tolist()) | set(pairs.second.tolist()) == set(range(10))
    assert pairs.same.sum() >= 10


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=60),
    st.floats(0.001, 0.999),
)
@settings(max_examples=60, deadline=None)
def test_no_more_reach_the_threshold_than_was_asked(scores: list[float], rate: float) -> None:
    values = np.array(scores)
    if (len(values) + 1) * rate < 1 - 1e-9:
        with pytest.raises(DataError, match="support no false-match rate"):
            threshold_at(values, rate)
    else:
        assert (values >= threshold_at(values, rate)).sum() <= (len(values) + 1) * rate + 1e-9


def test_thresholds_hold_on_new_people(calibration: Calibration) -> None:
    rows, people = people_of(400, seed=9)
    pairs = all_pairs(rows, people)
    for target in (0.1, 0.01, 0.002):
        found = float((pairs.score[~pairs.same] >= calibration.at(target).value).mean())
        assert 0.2 * target < found <= target


def test_probabilities_rise_and_mean_something(calibration: Calibration) -> None:
    assert calibration.slope > 0
    rows, people = people_of(400, seed=5)
    pairs = all_pairs(rows, people)
    weight = np.where(pairs.same, 0.5 / pairs.same.sum(), 0.5 / (~pairs.same).sum())
    probabilities = np.array([calibration.probability(score) for score in pairs.score[::37]])
    near = np.abs(probabilities - 0.5) < 0.4
    share = np.average(pairs.same[::37][near], weights=weight[::37][near])
    assert share == pytest.approx(np.average(probabilities[near], weights=weight[::37][near]), abs=0.15)


def test_the_curve_is_in_order(calibration: Calibration) -> None:
    targets = [each.target_fmr for each in calibration.thresholds]
    thresholds = [each.value for each in calibration.thresholds]
    assert targets == sorted(targets, reverse=True)
    assert thresholds == sorted(thresholds)
    assert calibration.impostors == 100 * 99 // 2
    assert calibration.min_fmr == pytest.approx(3 / calibration.impostors)
    between = calibration.at(math.sqrt(targets[3] * targets[4]))
    assert thresholds[3] < between.value < thresholds[4]


def test_less_than_is_supported_is_refused(calibration: Calibration) -> None:
    with pytest.raises(
        DataError, match=r"0 of 4,950 pairs of different people support no better than 0\.00061"
    ):
        calibration.at(1e-6)
    for rate in (0, 1, -1):
        with pytest.raises(DataError, match="more than 0 and less than 1"):
            calibration.at(rate)
    with pytest.raises(DataError, match="17 people or more are needed"):
        calibrate(*people_of(16), fingerprint="c", source="s")
    calibrate(*people_of(17), fingerprint="c", source="s")
    with pytest.raises(DataError, match="both kinds are needed"):
        calibrate(*people_of(40, each=1), fingerprint="c", source="s")


def test_the_threshold_grows_with_the_gallery(calibration: Calibration) -> None:
    small, supported = calibration.for_gallery(0.1, 10)
    assert supported == 0.1
    assert small.value == calibration.at(0.01).value
    large, supported = calibration.for_gallery(0.1, 1000)
    assert large.value > small.value
    assert supported == pytest.approx(1000 * calibration.min_fmr)
    assert calibration.for_gallery(0.1, 10**9)[1] == 1


def test_strangers_are_kept_out_at_the_supported_rate() -> None:
    calibration = calibrate(*people_of(250), fingerprint="c", source="s")
    gallery, _ = people_of(20, each=2, seed=21)
    strangers, _ = people_of(3000, each=1, seed=22)
    threshold, supported = calibration.for_gallery(0.05, len(gallery))
    assert supported == 0.05
    found = ((strangers @ gallery.T).max(axis=1) >= threshold.value).mean()
    assert 0 < found <= 0.05


def test_it_comes_back_from_its_file(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.json")
    again = read_calibration(tmp_path / "c.json")
    assert again.at(0.01).value == pytest.approx(calibration.at(0.01).value, abs=1e-5)
    assert again.source == "made up"
    assert again.probability(0.5) == pytest.approx(calibration.probability(0.5), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slope", math.nan),
        ("intercept", None),
        ("intercept", "1"),
        ("people", True),
        ("impostors", 1.5),
        ("source", 7),
        ("points", []),
        ("points", None),
        ("points", "threshold"),
        ("threshold", math.nan),
        ("threshold", math.inf),
        ("threshold", 10**400),
        ("threshold", -1.0),
        ("target", 0.5),
        ("target", -0.001),
        ("false_matches", None),
        ("false_matches", {"value": math.nan, "low": 0, "high": 1}),
    ],
)
def test_a_calibration_with_a_value_that_cannot_be_is_refused(
    calibration: Calibration, tmp_path: Path, name: str, value: object
) -> None:
    """A threshold of NaN would match any two faces, or none, in silence."""
    record = calibration.to_dict()
    (record["points"][-1] if name in record["points"][-1] else record)[name] = value
    (tmp_path / "c.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"c\.json: not a calibration \("):
        read_calibration(tmp_path / "c.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", json.dumps({"points": [{}]}), "nonsense", "[" * 10**5]
)
def test_other_files_are_no_calibration(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match="not a calibration"):
        read_calibration(tmp_path / "c.json")
    with pytest.raises(DataError, match="No such file"):
        read_calibration(tmp_path / "none.json")


def test_the_probability_of_separable_scores_is_finite() -> None:
    slope, _ = fit_probability(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert 0 < slope < 1000


def hits_of(hits: NDArray[np.bool_], a: NDArray[np.intp], b: NDArray[np.intp]) -> ImpostorPairs:
    """Pairs of which some match at a threshold of 1."""
    return ImpostorPairs.of(Pairs(hits.astype(float), a, b))


def test_pairs_that_share_a_person_make_the_interval_wider() -> None:
    # one person of 40 whom nobody can be probabilities from
    a, b = np.triu_indices(40, 1)
    shared = hits_of(a == 0, a, b).fmr(1)
    assert shared.value == pytest.approx(39 / len(a))
    scattered = np.zeros(len(a), bool)
    scattered[np.random.default_rng(0).choice(len(a), 39, replace=False)] = True
    alone = hits_of(scattered, a, b).fmr(1)
    assert shared.high - shared.low > 2 * (alone.high - alone.low)


def test_many_photos_of_two_people_are_one_pair() -> None:
    hits = np.zeros(400, bool)
    one = hits_of(hits, np.zeros(400, int), np.ones(400, int))
    assert one.different == 1
    assert one.fmr(1).high > 0.5
    assert math.isnan(hits_of(hits[:0], np.zeros(0, int), np.zeros(0, int)).fmr(1).value)


def test_the_threshold_keeps_the_upper_end_below_the_rate() -> None:
    pairs = all_pairs(*people_of(60))
    strangers = ImpostorPairs.of(pairs)
    for rate in (0.2, 0.05, 0.01, 3 / strangers.different):
        threshold = strangers.threshold(rate)
        assert strangers.fmr(threshold).high <= rate or not (strangers.score >= threshold).any()
    with pytest.raises(DataError, match="1,770 pairs of different people support no false-match rate"):
        strangers.threshold(0.001)


def test_the_interval_covers_the_truth() -> None:
    """The false-match rate of new people lies in the interval about as often as it says."""
    threshold = 0.35
    rows, people = people_of(1200, each=1, seed=77)
    truth = float((all_pairs(rows, people).score >= threshold).mean())
    inside = 0
    for seed in range(60):
        interval = ImpostorPairs.of(all_pairs(*people_of(40, each=1, seed=seed))).fmr(threshold)
        inside += interval.low <= truth <= interval.high
    assert inside >= 52


def test_the_calibration_that_is_shipped_supports_a_large_gallery() -> None:
    known = shipped(FaceEmbedder(threads=1).embedding_spec)
    assert known is not None
    assert known.people == 3000
    again = Calibration.from_dict(known.to_dict())
    assert again.at(1e-5).fmr.high == pytest.approx(known.at(1e-5).fmr.high, rel=1e-4)
    limit = GalleryThreshold.of(known, 0.01, 1299)
    assert limit.supported
    # a stranger's best score among LFW's is 0.92; at the threshold a name is right more often than not
    assert limit.probability(np.array([0.92, 0.85], np.float32)) < 0.05
    assert limit.probability(np.array([limit.comparison.value, 0.85], np.float32)) > 0.5


def test_likelihood_ratios_are_counted_where_impostors_are_rare(calibration: Calibration) -> None:
    scores = np.linspace(-1, 1, 400)
    ratios = calibration.log_ratio(scores)
    assert (np.diff(ratios) >= 0).all()
    curve = calibration.slope * scores + calibration.intercept
    assert (ratios >= curve - 1e-12).all()
    below = scores < calibration.thresholds[0].value
    np.testing.assert_allclose(ratios[below], curve[below])
    unknown = replace(calibration.thresholds[0], fnmr=Interval(math.nan, math.nan, math.nan))
    lone = replace(calibration, thresholds=(unknown, *calibration.thresholds[1:]))
    np.testing.assert_allclose(lone.log_ratio(scores), curve)
