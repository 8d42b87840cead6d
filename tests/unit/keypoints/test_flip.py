"""Mirroring twice is doing nothing; partners are found where there are any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rehead.errors import DataError
from rehead.keypoints.flip import MULTI_PIE_68, REGIONS_68, check_flip_idx, find_flip_idx, flip_points


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (3, 68, 2), elements=st.floats(-2, 3, width=32)))
def test_mirroring_twice_is_the_identity(points: np.ndarray) -> None:
    np.testing.assert_allclose(
        flip_points(flip_points(points, MULTI_PIE_68), MULTI_PIE_68), points, atol=1e-12
    )


def test_the_68_points_are_partners_within_their_region() -> None:
    assert check_flip_idx(MULTI_PIE_68, 68) == MULTI_PIE_68
    for part in REGIONS_68.values():
        region = set(range(68)[part])
        assert {MULTI_PIE_68[point] for point in region} == region


def shapes(base: list[tuple[float, float]]) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = np.array(base)
    return shape + rng.normal(scale=0.01, size=(50, len(base), 2)) + rng.uniform(-0.1, 0.1, (50, 1, 2))


def test_partners_are_inferred_from_the_mean_shape() -> None:
    face = shapes([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.4, 0.7), (0.6, 0.7)])
    face[::4, 1] = np.nan
    assert find_flip_idx(face) == (1, 0, 2, 4, 3)


def test_names_say_it_better() -> None:
    face = shapes([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5)])
    assert find_flip_idx(face, ["Left_Eye", "right_eye", "nose"]) == (1, 0, 2)
    odd = shapes([(0.3, 0.3), (0.9, 0.1), (0.2, 0.8)])
    assert find_flip_idx(odd, ["left_a", "right_a", "tip"]) == (1, 0, 2)


def test_no_symmetry_is_none() -> None:
    assert find_flip_idx(shapes([(0.1, 0.1), (0.9, 0.2), (0.2, 0.9), (0.3, 0.35)])) is None


@pytest.mark.parametrize("table", [[1, 2, 0], [0, 0, 1], [0, 1], [0.0, 1.0, 2.0], [0, 1, 3]])
def test_a_table_that_is_none_is_refused(table: list[float]) -> None:
    with pytest.raises(DataError, match="mirror table must hold each of 0 to 2 once"):
        check_flip_idx(table, 3)
