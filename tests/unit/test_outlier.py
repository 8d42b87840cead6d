from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.heads.outlier import fit_subspace, held_out_scores
from rehead.heads.span import scaling_of


def photos(n: int, d: int, rank: int = 3, seed: int = 0) -> NDArray[np.float32]:
    """Rows near a subspace of a few directions."""
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(rank, d))
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, rank)) @ directions * 3 + 0.1 * rng.normal(size=(n, d)) + 1).astype(
        np.float32
    )


@pytest.mark.parametrize(("n", "d"), [(40, 100), (400, 50)])
def test_what_lies_off_the_directions_of_the_photos_scores_higher(n: int, d: int) -> None:
    subspace = fit_subspace(photos(n, d), [slice(0, d)])
    usual = subspace.scores(photos(100, d, seed=1))
    odd = photos(100, d, seed=2) + np.random.default_rng(0).normal(size=(100, d)).astype(np.float32)
    assert subspace.scores(odd.astype(np.float32)).min() > usual.max()
    assert usual.dtype == np.float32
    assert (usual >= 0).all()


@pytest.mark.parametrize(("n", "d"), [(40, 100), (400, 50)])
def test_the_score_is_the_squared_distance_from_the_main_directions(n: int, d: int) -> None:
    X = photos(n, d)
    blocks = [slice(0, d // 2), slice(d // 2, d)]
    subspace = fit_subspace(X, blocks)
    mean, scale = scaling_of(X, blocks)
    centred = ((X - mean) * scale).astype(np.float64)
    count = min(64, n // 4, d // 2)
    main = np.linalg.svd(centred, full_matrices=False)[2][:count]
    residual = centred - centred @ main.T @ main
    np.testing.assert_allclose(subspace.scores(X), (residual**2).sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(subspace.basis.T @ subspace.basis, np.eye(count), atol=5e-3)


def test_held_out_scores_are_those_of_the_fold_that_did_not_see_the_photo() -> None:
    X = photos(30, 60)
    fold = (np.arange(30) % 4 - 1).astype(np.intp)  # -1, 0, 1, 2
    scores = held_out_scores(X, [slice(0, 60)], fold)
    assert (np.isnan(scores) == (fold == -1)).all()
    for number in range(3):
        out = fold == number
        expected = fit_subspace(X[~out], [slice(0, 60)]).scores(X[out])
        np.testing.assert_allclose(scores[out], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(2, 30), (3, 1), (9, 2), (4, 4)])
def test_very_few_photos_or_features_stay_finite(n: int, d: int) -> None:
    X = photos(n, d)
    subspace = fit_subspace(X, [slice(0, d)])
    assert np.isfinite(subspace.scores(X)).all()
    assert np.isfinite(subspace.scores(X + 100)).all()


@pytest.mark.parametrize(("n", "d"), [(6, 20), (20, 6)])
def test_photos_that_are_all_the_same_stay_finite(n: int, d: int) -> None:
    X = np.full((n, d), 5, np.float32)
    scores = fit_subspace(X, [slice(0, d)]).scores(np.concatenate([X, X + 1]))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[:n], 0, atol=1e-6)


def test_no_photo_has_no_score() -> None:
    X = photos(8, 5)
    assert fit_subspace(X, [slice(0, 5)]).scores(X[:0]).shape == (0,)
