"""Validation photos choose the epoch of a trained network; its reported scores must not profit from that."""

from __future__ import annotations

import numpy as np
import pytest

from rehead.data import cv_folds

pytest.importorskip("torch")

from rehead.evaluation.intervals import Interval
from rehead.finetune.cross_fit import PairedComparison, compare, held_out_logits, score


def logits_of(right: np.ndarray, l2: float = 2.0) -> np.ndarray:
    """Two classes, all photos of class 0; `right` bool (n,)."""
    signed = np.where(right, l2, -l2)
    return np.stack([signed, -signed], axis=1).astype(np.float32)


def test_each_half_is_scored_at_the_epoch_that_the_other_half_chose() -> None:
    n = 40
    y, group, weight = np.zeros(n, np.intp), np.arange(n), np.ones(n)
    # each epoch is right on one half and wrong on the other
    half = cv_folds(y, group, count=2, seed=3) == 1
    each = np.stack([logits_of(half), logits_of(~half)])
    found = held_out_logits(each, y, group, weight, seed=3)
    assert not (found.argmax(axis=1) == y).any()


def test_choosing_among_epochs_of_pure_chance_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    flattered, honest = [], []
    for seed in range(200):
        y = rng.integers(0, 2, 30)
        each = rng.normal(size=(20, 30, 2)).astype(np.float32)
        weight, group = np.ones(30), np.arange(30)
        losses = [-np.log(np.exp(e)[np.arange(30), y] / np.exp(e).sum(1)).mean() for e in each]
        flattered.append((each[int(np.argmin(losses))].argmax(1) == y).mean())
        honest.append((held_out_logits(each, y, group, weight, seed=seed).argmax(1) == y).mean())
    assert np.mean(flattered) > 0.6
    assert np.mean(honest) == pytest.approx(0.5, abs=0.02)


def test_one_photo_or_one_group_is_enough_not_to_fail() -> None:
    each = np.stack([logits_of(np.ones(3, bool)), logits_of(np.zeros(3, bool))])
    for group in (np.zeros(3, np.intp), np.arange(3)):
        found = held_out_logits(each, np.zeros(3, np.intp), group, np.ones(3))
        assert found.shape == (3, 2)
    one_photo = score(each[0][:1], np.zeros(1, np.intp), np.ones(1))
    comparison = compare(one_photo, one_photo, np.zeros(1, np.intp))
    assert comparison.log_loss.value == 0
    assert not comparison.significant
    assert not comparison.better


@pytest.mark.parametrize(
    ("low", "value", "high", "better"), [(-0.05, -0.01, 0.03, False), (-0.06, -0.03, 0.0, True)]
)
def test_the_frozen_network_has_the_benefit_of_the_doubt(
    low: float, value: float, high: float, better: bool
) -> None:
    # half an interval of 95 % is two standard errors: the one is half an error better, the other two
    comparison = PairedComparison(Interval(0.0, 0.0, 0.0), Interval(value, low, high))
    assert comparison.better is better
    assert comparison.to_dict()["better"] is better


def test_a_comparison_is_significant_only_where_its_interval_excludes_zero() -> None:
    n = 100
    y, weight, group = np.zeros(n, np.intp), np.ones(n), np.arange(n)
    good = score(logits_of(np.arange(n) >= 2), y, weight)
    poor = score(logits_of(np.arange(n) >= 40), y, weight)
    near = score(logits_of(np.arange(n) >= 3), y, weight)
    assert compare(good, poor, group).better
    assert compare(good, poor, group).significant
    assert compare(poor, good, group).significant
    assert not compare(poor, good, group).better
    assert not compare(good, near, group).significant
    assert compare(good, poor, group).accuracy.low > 0
    # copies of one photo are no more evidence than the photo
    assert not compare(good, poor, np.zeros(n, np.intp)).significant


def test_classes_can_weigh_the_same() -> None:
    y = np.array([0] * 9 + [1])
    right = np.arange(10) < 9
    logits = np.stack([np.where((y == 0) == right, 2.0, -2.0), np.zeros(10)], axis=1)
    even = score(logits, y, np.ones(10))
    balanced = score(logits, y, np.where(y == 0, 10 / 18, 5.0))
    assert balanced.log_loss > even.log_loss
    assert balanced.accuracy == even.accuracy == 0.9
