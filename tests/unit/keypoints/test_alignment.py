"""Views bring shapes to where they belong, and points go there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.geometry import similarity
from rehead.keypoints.alignment import (
    IDENTITY,
    align_to,
    alignment_error,
    jitter,
    mirrored_views,
    photo_points,
    view_points,
)


def faces(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = np.array([(0.3, 0.3), (0.6, 0.3), (0.45, 0.5), (0.35, 0.6), (0.55, 0.62)])
    return base + rng.normal(scale=0.02, size=(n, 5, 2)) + rng.uniform(-0.1, 0.1, (n, 1, 2))


def test_an_alignment_is_the_similarity_that_fits_best() -> None:
    points = faces(6)
    alignment = align_to(points)
    for view, shape in zip(alignment.views(points), points, strict=True):
        np.testing.assert_allclose(view, similarity(alignment.shape, shape), atol=1e-12)
    assert np.ptp(alignment.shape, axis=0).max() == pytest.approx(0.7)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_there_and_back(seed: int) -> None:
    points = faces(3, seed)
    views = jitter(
        align_to(points).views(points),
        alignment_error(*[align_to(points).views(points)] * 2),
        np.random.default_rng(seed),
    )
    np.testing.assert_allclose(photo_points(views, view_points(views, points)), points, atol=1e-10)


def test_a_mirrored_view_sees_x_from_the_other_side() -> None:
    points = faces(2)
    views = np.stack([IDENTITY, IDENTITY])
    seen = view_points(mirrored_views(views), points)
    np.testing.assert_allclose(seen, np.stack([1 - points[..., 0], points[..., 1]], axis=-1))


def test_misalignment_measures_what_shaking_does() -> None:
    points = faces(400)
    right = align_to(points).views(points)
    spread = alignment_error(
        jitter(right, type(alignment_error(right, right))(0.1, 0.2, 0.05), np.random.default_rng(0)), right
    )
    assert spread.scale == pytest.approx(0.1, rel=0.15)
    assert spread.turn == pytest.approx(0.2, rel=0.15)
    assert spread.shift == pytest.approx(0.05, rel=0.25)


def test_a_single_point_is_not_aligned() -> None:
    alignment = align_to(faces(4)[:, :1])
    assert not alignment.moves
    np.testing.assert_array_equal(alignment.views(faces(4)[:, :1])[0], IDENTITY)
