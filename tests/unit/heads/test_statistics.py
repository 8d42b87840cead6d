from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.errors import DataError
from rehead.heads.mahalanobis import fit_distance
from rehead.heads.model_selection import balanced_weights
from rehead.heads.pca import fit_pca
from rehead.heads.ridge import fit_ridge
from rehead.heads.statistics import STEP, Statistics

BLOCKS = [slice(0, 9), slice(9, 14)]


def rows(
    n: int = 120, d: int = 14, classes: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % classes).astype(np.intp)
    return (rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d)) + 0.5).astype(np.float32), y


def same(one: Statistics, other: Statistics) -> bool:
    pairs = zip(one.to_arrays().values(), other.to_arrays().values(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), by_class=st.booleans())
def test_rows_that_come_and_go_in_any_order_leave_the_same_bits(data: st.DataObject, by_class: bool) -> None:
    X, y = rows(40)
    moves = data.draw(
        st.lists(st.lists(st.integers(0, 39), min_size=1, max_size=9, unique=True), max_size=12)
    )
    total, there = Statistics.empty(4, 14, by_class=by_class), np.zeros(40, bool)
    for move in map(np.array, moves):
        come, go = move[~there[move]], move[there[move]]
        total = total + Statistics.from_rows(X[come], y[come], 4, by_class=by_class)
        total = total - Statistics.from_rows(X[go], y[go], 4, by_class=by_class)
        there[move] = ~there[move]
    assert total.exact
    assert same(total, Statistics.from_rows(X[there], y[there], 4, by_class=by_class))


def test_blocks_of_any_size_leave_the_same_bits() -> None:
    X, y = rows(700, 600)  # so wide that BLAS fills one triangle only
    blocks = ((X[start : start + 100], y[start : start + 100]) for start in range(0, 700, 100))
    assert same(Statistics.from_blocks(blocks, 4, 600), Statistics.from_rows(X, y, 4))
    exact = np.rint(X / np.float64(STEP)) * STEP
    np.testing.assert_array_equal(Statistics.from_rows(X, y, 4).gram[0], exact.T @ exact)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_head_is_that_of_the_rows(balanced: bool) -> None:
    X, y = rows()
    X, y = X[y < np.arange(len(y)) % 7], y[y < np.arange(len(y)) % 7]  # classes of different sizes
    pca = fit_pca(X, BLOCKS)
    weight = balanced_weights(y) if balanced else np.ones(len(y))
    theta = fit_ridge(pca.z, y, weight, 1e-3)
    expected = pca.weights(theta[:-1], theta[-1])
    found = Statistics.from_rows(X, y, 4, by_class=balanced).solve(1e-3, BLOCKS, balanced=balanced)
    np.testing.assert_allclose(X @ found[0] + found[1], X @ expected[0] + expected[1], atol=2e-4)


@pytest.mark.parametrize("n", [9, 120])
def test_the_outlier_score_is_that_of_the_rows(n: int) -> None:
    X, y = rows(n)
    odd = rows(50, seed=1)[0] * 1.5
    expected = fit_distance(X, y, BLOCKS).scores(odd)
    found = Statistics.from_rows(X, y, 4).distance(BLOCKS).scores(odd)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_a_class_that_is_taken_out_was_never_there() -> None:
    X, y = rows()
    total = Statistics.from_rows(X, y, 4, by_class=True)
    rest = (total - total.of_class(2)).with_classes(np.array([0, 1, -1, 2]), 3)
    left = y != 2
    assert same(rest, Statistics.from_rows(X[left], np.searchsorted([0, 1, 3], y[left]), 3, by_class=True))
    in_all = replace(rest, gram=rest.gram.sum(axis=0, keepdims=True))
    assert same(in_all, Statistics.from_rows(X[left], np.searchsorted([0, 1, 3], y[left]), 3))


def test_arrays_give_the_statistics_back() -> None:
    X, y = rows()
    for by_class in (False, True):
        total = Statistics.from_rows(X, y, 4, by_class=by_class)
        again = Statistics.from_arrays(total.to_arrays())
        assert same(again, total)
        np.testing.assert_array_equal(again.gram, total.gram)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("counts", np.array([1.0, 2])),
        ("counts", np.array([-1, 2, 3, 4])),
        ("sums", np.zeros((3, 14))),
        ("gram", np.zeros((1, 9))),
        ("gram", np.full((1, 105), np.nan)),
        ("gram", np.array([[None]])),
    ],
)
def test_arrays_that_are_no_statistics_are_refused(name: str, value: NDArray[np.float64]) -> None:
    arrays = Statistics.from_rows(*rows(), 4).to_arrays()
    with pytest.raises(DataError):
        Statistics.from_arrays({**arrays, name: value})


def test_what_does_not_fit_is_refused() -> None:
    X, y = rows()
    total = Statistics.from_rows(X, y, 4)
    with pytest.raises(DataError, match="not finite"):
        Statistics.from_rows(np.full((2, 14), np.inf), y[:2], 4)
    with pytest.raises(DataError, match="more rows"):
        Statistics.from_rows(X[:4], y[:4], 4) - total
    with pytest.raises(DataError, match="same classes"):
        total + Statistics.from_rows(X, y, 5)
    with pytest.raises(DataError, match="balanced"):
        total.solve(1e-3, BLOCKS, balanced=True)
    with pytest.raises(DataError, match="one Gram matrix"):
        total.of_class(0)
    with pytest.raises(DataError, match="has rows"):
        total.with_classes(np.array([0, 1, -1, 2]), 3)
