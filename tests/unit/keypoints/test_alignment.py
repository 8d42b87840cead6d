"""Crops bring shapes to where they belong, and points go there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.geometry import similarity
from rehead.keypoints.alignment import (
    IDENTITY,
    alignment_error,
    fit_alignment,
    flip_crops,
    jitter,
    points_in_crops,
    points_in_photos,
)


def faces(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = np.array([(0.3, 0.3), (0.6, 0.3), (0.45, 0.5), (0.35, 0.6), (0.55, 0.62)])
    return base + rng.normal(scale=0.02, size=(n, 5, 2)) + rng.uniform(-0.1, 0.1, (n, 1, 2))


def test_an_alignment_is_the_similarity_that_fits_best() -> None:
    points = faces(6)
    alignment = fit_alignment(points)
    for transform, shape in zip(alignment.crop_transforms(points), points, strict=True):
        np.testing.assert_allclose(transform, similarity(alignment.shape, shape), atol=1e-12)
    assert np.ptp(alignment.shape, axis=0).max() == pytest.approx(0.7)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_there_and_back(seed: int) -> None:
    points = faces(3, seed)
    crops = jitter(
        fit_alignment(points).crop_transforms(points),
        alignment_error(*[fit_alignment(points).crop_transforms(points)] * 2),
        np.random.default_rng(seed),
    )
    np.testing.assert_allclose(points_in_photos(crops, points_in_crops(crops, points)), points, atol=1e-10)


def test_a_mirrored_crop_has_x_from_the_other_side() -> None:
    points = faces(2)
    crops = np.stack([IDENTITY, IDENTITY])
    in_crops = points_in_crops(flip_crops(crops), points)
    np.testing.assert_allclose(in_crops, np.stack([1 - points[..., 0], points[..., 1]], axis=-1))


def test_alignment_error_measures_what_jitter_does() -> None:
    points = faces(400)
    true = fit_alignment(points).crop_transforms(points)
    std = alignment_error(
        jitter(true, type(alignment_error(true, true))(0.1, 0.2, 0.05), np.random.default_rng(0)), true
    )
    assert std.scale == pytest.approx(0.1, rel=0.15)
    assert std.rotation == pytest.approx(0.2, rel=0.15)
    assert std.shift == pytest.approx(0.05, rel=0.25)


def test_a_single_point_is_not_aligned() -> None:
    alignment = fit_alignment(faces(4)[:, :1])
    assert not alignment.crops
    np.testing.assert_array_equal(alignment.crop_transforms(faces(4)[:, :1])[0], IDENTITY)
