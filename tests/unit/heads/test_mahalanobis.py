from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.heads.mahalanobis import fit_distance, held_out_scores
from rehead.heads.pca import fit_scaling


def photos(n: int, d: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Rows of three classes, near a subspace of a few directions."""
    rng = np.random.default_rng(7)
    directions, means = rng.normal(size=(4, d)), 2 * rng.normal(size=(3, d))
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 3).astype(np.intp)
    rows = means[y] + rng.normal(size=(n, 4)) @ directions + 0.1 * rng.normal(size=(n, d)) + 1
    return rows.astype(np.float32), y


@pytest.mark.parametrize(("n", "d"), [(60, 100), (400, 50)])
def test_photos_of_no_class_score_higher(n: int, d: int) -> None:
    distance = fit_distance(*photos(n, d), [slice(0, d)])
    usual = distance.scores(photos(100, d, seed=1)[0])
    odd = photos(100, d, seed=2)[0] + 2 * np.random.default_rng(0).normal(size=(100, d)).astype(np.float32)
    assert distance.scores(odd.astype(np.float32)).min() > np.quantile(usual, 0.95)
    assert usual.dtype == np.float32


@pytest.mark.parametrize(("n", "d"), [(60, 100), (400, 50), (300, 200), (150, 300)])
def test_the_score_is_the_relative_mahalanobis_distance(n: int, d: int) -> None:
    """With both shrunken covariances in full, of the rows' main directions."""
    X, y = photos(n, d)
    blocks = [slice(0, d // 2), slice(d // 2, d)]
    distance = fit_distance(X, y, blocks)
    mean, scale = fit_scaling(X, blocks)
    z = ((X - mean) * scale).astype(np.float64)
    main = np.linalg.svd(z, full_matrices=False)[2][: min(128, n - 1, d)]
    centres = np.stack([z[y == c].mean(axis=0) for c in range(3)])

    def squared(rows: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
        covariance = main.T @ (main @ (rows.T @ rows / len(rows)) @ main.T) @ main
        shrunk = 0.5 * covariance + 0.5 * (rows**2).sum() / len(rows) / d * np.eye(d)
        away = z - (centre @ main.T) @ main
        squares: NDArray[np.float64] = np.einsum("ij,jk,ik->i", away, np.linalg.inv(shrunk), away) / d
        return squares

    near = np.min([squared(z - centres[y], centre) for centre in centres], axis=0)
    np.testing.assert_allclose(distance.scores(X), near - squared(z, np.zeros(d)), atol=2e-3, rtol=2e-3)


def test_held_out_scores_are_those_of_the_fold_that_did_not_see_the_photo() -> None:
    X, y = photos(30, 60)
    fold = (np.arange(30) // 3 % 4 - 1).astype(np.intp)  # -1, 0, 1, 2
    scores = held_out_scores(X, y, [slice(0, 60)], fold)
    assert (np.isnan(scores) == (fold == -1)).all()
    for number in range(3):
        out = fold == number
        expected = fit_distance(X[~out], y[~out], [slice(0, 60)]).scores(X[out])
        np.testing.assert_allclose(scores[out], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(2, 30), (3, 1), (9, 2), (4, 4)])
def test_very_few_photos_or_features_stay_finite(n: int, d: int) -> None:
    X, y = photos(n, d)
    distance = fit_distance(X, y, [slice(0, d)])
    assert np.isfinite(distance.scores(X)).all()
    assert np.isfinite(distance.scores(X + 100)).all()


@pytest.mark.parametrize(("n", "d"), [(6, 20), (20, 6)])
def test_photos_that_are_all_the_same_stay_finite(n: int, d: int) -> None:
    X = np.full((n, d), 5, np.float32)
    y = (np.arange(n) % 2).astype(np.intp)
    scores = fit_distance(X, y, [slice(0, d)]).scores(np.concatenate([X, X + 1]))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[:n], 0, atol=1e-6)


def test_no_photo_has_no_score() -> None:
    X, y = photos(8, 5)
    assert fit_distance(X, y, [slice(0, 5)]).scores(X[:0]).shape == (0,)
