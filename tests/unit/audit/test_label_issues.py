"""Confident learning: probabilities of photos that the head did not see, and labels that they contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.audit.label_issues import (
    calibrated,
    find_label_issues,
    held_out_probabilities,
    label_quality,
)
from rehead.data import cv_folds


def test_a_label_is_in_doubt_where_another_class_reaches_its_threshold() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.05, 0.95]])
    y = np.array([0, 0, 1, 1, 1, 0])
    # thresholds: (0.9 + 0.8 + 0.05) / 3 = 0.583 and (0.8 + 0.9 + 0.7) / 3 = 0.8
    (doubt,) = find_label_issues(p, y)
    assert (doubt.row, doubt.suggested) == (5, 1)
    assert doubt.score == pytest.approx(0.95)


def test_a_class_below_its_threshold_is_not_suggested() -> None:
    p = np.array([[0.45, 0.55], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    assert find_label_issues(p, np.array([0, 0, 1, 1])) == []


def test_photos_that_were_not_judged_and_their_class_are_left_alone() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [np.nan] * 3])
    assert find_label_issues(p, np.array([0, 1, 2])) == []
    assert find_label_issues(np.full((2, 2), np.nan), np.array([0, 1])) == []


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_quality_is_a_share_and_doubts_are_sorted(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), 40)
    y = rng.integers(0, classes, 40)
    quality = label_quality(p, y)
    assert np.all((quality >= 0) & (quality <= 1))
    doubts = find_label_issues(p, y)
    scores = [doubt.score for doubt in doubts]
    assert scores == sorted(scores, reverse=True)
    assert all(doubt.suggested != y[doubt.row] for doubt in doubts)
    np.testing.assert_allclose(scores, [1 - quality[doubt.row] for doubt in doubts])


def test_swapped_labels_come_first_and_are_told_what_they_were() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 60)
    z = (np.eye(3)[truth] * 6 + rng.normal(size=(180, 3))).astype(np.float32)
    y = truth.copy()
    swapped = rng.choice(180, 9, replace=False)
    y[swapped] = (y[swapped] + 1) % 3
    fold = cv_folds(y, np.arange(180), count=5)
    p = held_out_probabilities(z, y, fold)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    doubts = find_label_issues(p, y)
    assert set(np.argsort(label_quality(p, y))[:9]) == set(swapped.tolist())
    assert {doubt.row for doubt in doubts} <= set(swapped.tolist())
    assert len(doubts) >= 5
    assert all(doubt.suggested == truth[doubt.row] for doubt in doubts)


def test_calibration_keeps_what_was_not_judged() -> None:
    logits = np.array([[9.0, 0.0], [0.0, 9.0], [np.nan, np.nan], [9.0, 0.0]])
    p = calibrated(logits, np.array([0, 1, 1, 1]))
    assert np.isnan(p[2]).all()
    assert p[0, 0] < 0.99, "one of three was wrong, so none is certain"
