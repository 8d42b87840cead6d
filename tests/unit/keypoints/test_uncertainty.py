"""Ellipses hold what they say, odd photos score high, and drawing stays within the photo."""

from __future__ import annotations

import numpy as np
import pytest

from rehead.keypoints.drawing import draw_keypoints
from rehead.keypoints.uncertainty import CHI2_95, ellipse_distance, fit_uncertainty


def test_ellipses_hold_95_percent_and_follow_the_photo() -> None:
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(600, 8)).astype(np.float32)
    hard = np.exp(rng.normal(scale=0.5, size=600))  # shows in how far the second stage moves the points
    shape = np.array([[1.0, 0.3], [0.0, 0.6]])
    errors = hard[:, None, None] * (rng.normal(size=(600, 7, 2)) @ shape) * 0.01
    moves = hard[:, None, None] * rng.normal(size=(600, 7, 2)) * 0.05
    uncertainty, expected = fit_uncertainty(errors, moves, pooled, np.arange(600) % 5, coverage=0.95)
    covariance = np.exp(2 * expected)[:, None, None, None] * uncertainty.covariance.astype(np.float64)
    assert (ellipse_distance(errors, covariance) <= CHI2_95).mean() == pytest.approx(0.95, abs=0.002)
    assert np.corrcoef(expected, np.log(hard))[0, 1] > 0.9
    np.testing.assert_allclose(
        uncertainty.covariance[:, 0, 0] / uncertainty.covariance[:, 1, 1], 1 / 0.45, rtol=0.3
    )


def test_ellipse_distance_is_mahalanobis() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(2, 2))
    covariance, error = root @ root.T, rng.normal(size=2)
    assert ellipse_distance(error, covariance) == pytest.approx(error @ np.linalg.inv(covariance) @ error)


def test_unlike_photos_are_outliers() -> None:
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(300, 8)).astype(np.float32)
    errors = rng.normal(size=(300, 3, 2))
    uncertainty, _ = fit_uncertainty(errors, None, pooled, np.arange(300) % 5, coverage=0.9)

    def score(rows: np.ndarray) -> np.ndarray:
        return np.asarray((((rows - uncertainty.mean) @ uncertainty.whitening) ** 2).sum(axis=1))

    assert (score(pooled) > uncertainty.outlier_limit).mean() == pytest.approx(0.1, abs=0.04)
    assert (score(pooled + 6) > uncertainty.outlier_limit).all()


def test_drawing_changes_only_what_lies_under_points() -> None:
    pixels = np.full((60, 80, 3), 100, np.uint8)
    points = np.array([[20.0, 30.0], [-50.0, 5.0], [79.0, 59.0], [np.nan, np.nan]])
    covariance = np.stack([np.eye(2) * 4.0] * 4)
    covariance[3] = 0
    out = draw_keypoints(pixels, points, covariance)
    assert out.shape == pixels.shape
    assert (out[30, 20] != 100).any()
    assert (out[:10, 40:60] == 100).all()
    assert (pixels == 100).all(), "the photo itself is left alone"
