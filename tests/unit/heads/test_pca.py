from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.heads import linear_algebra
from rehead.heads.pca import (
    Block,
    fit_pca,
    fit_scaling,
    gram_matrix,
    last_levels,
    principal_components,
    row_chunks,
)


def rows(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * rng.uniform(0.1, 9, size=d) + 3).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(12, 40), (40, 12), (20, 20), (2500, 7)])
def test_coordinates_keep_every_product_and_are_uncorrelated(n: int, d: int) -> None:
    X = rows(n, d)
    blocks = [slice(0, d // 3), slice(d // 3, d)]
    pca = fit_pca(X, blocks)
    scaled = (X - pca.mean) * pca.scale
    np.testing.assert_allclose(pca.z[:50] @ pca.z[:50].T, (scaled @ scaled.T)[:50, :50], atol=2e-5)
    products = pca.z.T @ pca.z
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-4 * n)
    r = pca.basis.shape[1]
    np.testing.assert_allclose(
        pca.basis.T @ pca.basis, np.eye(r), atol=1e-3
    )  # float32, in the weakest direction
    assert r <= min(n, d)
    assert pca.z.dtype == pca.basis.dtype == np.float32


@pytest.mark.parametrize(("n", "d"), [(12, 40), (40, 12)])
def test_weights_turn_coordinates_back_into_features(n: int, d: int) -> None:
    X = rows(n, d)
    pca = fit_pca(X, [slice(0, d)])
    rng = np.random.default_rng(1)
    A, b = rng.normal(size=(pca.basis.shape[1], 3)), rng.normal(size=3)
    W, c = pca.weights(A, b)
    assert (W.shape, c.shape) == ((d, 3), (3,))
    assert W.dtype == c.dtype == np.float32
    np.testing.assert_allclose(X @ W + c, pca.z @ A + b, atol=1e-4)


def test_blocks_weigh_the_same_and_rows_have_unit_norm_on_average() -> None:
    X = rows(300, 30)
    X[:, 10:] *= 1000
    blocks = [slice(0, 10), slice(10, 30)]
    mean, scale = fit_scaling(X, blocks)
    scaled = (X - mean) * scale
    np.testing.assert_allclose([(scaled[:, b] ** 2).sum(axis=1).mean() for b in blocks], 0.5, rtol=1e-4)


def test_a_block_that_never_varies_is_left_out_of_the_span() -> None:
    X = rows(20, 8)
    X[:, 4:] = 7
    pca = fit_pca(X, [slice(0, 4), slice(4, 8)])
    assert not pca.scale[4:].any()
    assert pca.z.shape == (20, 4)
    assert not pca.basis[4:].any()


@pytest.mark.parametrize(("n", "d"), [(5, 9), (9, 5)])
def test_constant_features_span_nothing(n: int, d: int) -> None:
    pca = fit_pca(np.full((n, d), 3, np.float32), [slice(0, d)])
    assert pca.z.shape == (n, 0)
    W, b = pca.weights(np.zeros((0, 2)), np.array([1.0, -1.0]))
    assert not W.any()
    np.testing.assert_allclose(b, [1, -1])


def test_a_row_given_twice_adds_no_coordinate() -> None:
    X = rows(6, 30)
    assert fit_pca(np.concatenate([X, X]), [slice(0, 30)]).z.shape == (12, 5)


@pytest.mark.parametrize(("n", "d"), [(2100, 6), (40, 600), (300, 300)])
@pytest.mark.parametrize("every", [1, 3])
def test_gram_is_that_of_the_centred_columns_or_rows_in_parts(n: int, d: int, every: int) -> None:
    X = rows(n, d)
    some = None if every == 1 else np.arange(0, n, every)
    blocks: list[Block] = [slice(0, d)]
    mean, scale = fit_scaling(X, blocks, some)
    scaled = ((X[::every] - mean) * scale).astype(np.float64)
    expected = scaled.T @ scaled if len(scaled) > d else scaled @ scaled.T
    gram = gram_matrix(X, mean, scale, some)
    np.testing.assert_allclose(
        np.tril(gram), np.tril(expected), rtol=1e-3, atol=1e-2 * np.abs(expected).max()
    )


def test_fits_to_some_rows_are_those_to_a_copy_of_them() -> None:
    X = rows(700, 40)
    some = np.flatnonzero(np.arange(700) % 4)
    for found, expected in zip(
        fit_scaling(X, [slice(0, 40)], some), fit_scaling(X[some], [slice(0, 40)]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.concatenate([*row_chunks(X, some)]), X[some])
    assert sum(len(part) for part in row_chunks(X)) == 700
    assert not [*row_chunks(X[:0])]


def test_coordinates_that_were_let_go_come_again() -> None:
    X = rows(300, 20)
    pca = fit_pca(X, [slice(0, 20)])
    assert len(pca.let_go().z) == 0
    np.testing.assert_array_equal(pca.let_go().of(X).z, pca.z)


def test_last_levels_are_the_last_columns() -> None:
    X = np.arange(12, dtype=np.float32).reshape(2, 6)
    view, blocks = last_levels(X, [slice(0, 1), slice(1, 3), slice(3, 6)], 2)
    np.testing.assert_array_equal(view, X[:, 1:])
    assert blocks == [slice(0, 2), slice(2, 5)]
    assert view.base is not None


@pytest.mark.parametrize(("n", "d"), [(500, 400), (400, 700)])
def test_the_first_components_of_large_matrices_are_the_exact_ones(
    n: int, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are found without the decomposition of the whole matrix."""
    monkeypatch.setattr(linear_algebra, "_SMALL", 10)
    monkeypatch.setattr(linear_algebra, "_WHOLE", 300)
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.8).astype(np.float32)
    mean, scale = fit_scaling(X, [slice(0, d)])
    found = principal_components(X, mean, scale, 20)
    z = (X - mean) * scale
    exact = np.linalg.svd(z.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.einsum("ij,ji->i", exact[2][:10], found[:, :10])), 1, atol=1e-3)
    assert ((z @ found) ** 2).sum() >= 0.9999 * (exact[1][:20] ** 2).sum()
    np.testing.assert_allclose(found.T @ found, np.eye(20), atol=1e-4)
