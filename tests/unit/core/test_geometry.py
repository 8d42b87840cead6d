"""Boxes, points and the maps between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.geometry import area, centre, clipped, composed, invert, iou, similarity, transformed
from rehead.errors import DataError

FEW = settings(max_examples=40, deadline=None)


def map_of(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


MAPS = st.builds(
    map_of,
    st.floats(0.05, 20),
    st.floats(-3.1, 3.1),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)


class TestBoxes:
    def test_area_and_centre(self) -> None:
        boxes = np.array([[1.0, 2, 4, 6], [5, 5, 5, 9], [3, 3, 1, 9]])
        np.testing.assert_array_equal(area(boxes), [12, 0, 0])
        np.testing.assert_array_equal(centre(boxes[0]), [2.5, 4])

    def test_clipped_at_width_and_height(self) -> None:
        box = np.array([-3.0, 4, 30, 40])
        np.testing.assert_array_equal(clipped(box, (20, 10)), [0, 4, 20, 10])

    def test_iou_by_hand(self) -> None:
        a = np.array([[0.0, 0, 2, 2], [5, 5, 5, 5]])
        b = np.array([[0.0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [5, 5, 5, 5]])
        np.testing.assert_allclose(iou(a, b), np.array([[1, 1 / 7, 0, 0], [0, 0, 0, 0]]))
        assert iou(a[:0], b).shape == (0, 4)


class TestSimilarity:
    @FEW
    @given(MAPS, st.integers(2, 8), st.integers(0, 1000))
    def test_finds_the_map_that_moved_the_points(self, matrix: np.ndarray, count: int, seed: int) -> None:
        points = np.random.default_rng(seed).uniform(-50, 50, (count, 2))
        found = similarity(points, transformed(points, matrix))
        np.testing.assert_allclose(found, matrix, rtol=1e-6, atol=1e-6)

    def test_is_the_best_of_its_neighbours(self) -> None:
        rng = np.random.default_rng(3)
        source, target = rng.normal(size=(2, 5, 2))
        best = similarity(source, target)
        a, b = best[0, 0], best[1, 0]

        def error(a: float, b: float, shift: np.ndarray) -> float:
            matrix = np.column_stack([[[a, -b], [b, a]], shift])
            return float(((transformed(source, matrix) - target) ** 2).sum())

        least = error(a, b, best[:, 2])
        for nudge in rng.normal(scale=1e-3, size=(50, 4)):
            assert error(a + nudge[0], b + nudge[1], best[:, 2] + nudge[2:]) > least

    def test_never_mirrors(self) -> None:
        square = np.array([[0.0, 0], [1, 0], [1, 1]])
        assert np.linalg.det(similarity(square, square * [-1, 1])[:, :2]) >= 0

    @pytest.mark.parametrize(
        ("source", "target", "words"),
        [
            ([[0, 0]], [[1, 1]], "2 or more"),
            ([[0, 0], [1, 1]], [[1, 1]], r"found \(2, 2\) and \(1, 2\)"),
            ([[2, 2], [2, 2]], [[0, 0], [1, 1]], "coincide"),
            ([[0, 0], [np.nan, 1]], [[0, 0], [1, 1]], "finite"),
        ],
    )
    def test_refuses(self, source: list[list[float]], target: list[list[float]], words: str) -> None:
        with pytest.raises(DataError, match=words):
            similarity(source, target)


class TestMaps:
    @FEW
    @given(MAPS, MAPS)
    def test_composed_and_inverted(self, outer: np.ndarray, inner: np.ndarray) -> None:
        points = np.array([[0.0, 0], [3, -2], [100, 40]])
        both = transformed(transformed(points, inner), outer)
        np.testing.assert_allclose(transformed(points, composed(outer, inner)), both, rtol=1e-6, atol=1e-6)
        back = transformed(transformed(points, outer), invert(outer))
        np.testing.assert_allclose(back, points, rtol=1e-6, atol=1e-6)

    def test_a_flat_map_has_no_inverse(self) -> None:
        with pytest.raises(DataError, match="flattens"):
            invert(np.array([[1.0, 2, 0], [2, 4, 0]]))
