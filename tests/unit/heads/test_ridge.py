from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from rehead.heads.ridge import fit_ridge, ridge_path

STRENGTHS = (1e-4, 1e-2, 1.0)


def problem(n: int = 90, r: int = 14, classes: int = 4) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    rng = np.random.default_rng(3)
    y = np.arange(n) % classes
    centres = rng.normal(size=(classes, r))
    z = (centres[y] + rng.normal(size=(n, r)) * 1.5) / np.sqrt(3.25 * r)
    return z.astype(np.float32), y.astype(np.intp)


def refit(z: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], l2: float) -> Ridge:
    """The same minimum found by scikit-learn, whose penalty is on the sum of the losses."""
    model = Ridge(alpha=l2 * weight.sum(), solver="cholesky")
    return model.fit(z.astype(np.float64), np.eye(int(y.max()) + 1)[y], sample_weight=weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_held_out_scores_are_those_of_a_refit_of_every_fold(weighted: bool) -> None:
    z, y = problem()
    rng = np.random.default_rng(5)
    fold = rng.permutation(np.arange(len(y)) % 5)
    fold[:4] = -1  # one of each class, always trained on
    weight = rng.uniform(0.2, 3, len(y)) if weighted else np.ones(len(y))
    path = dict(ridge_path(z, y, fold, weight, STRENGTHS, photos=len(y)))
    assert tuple(path) == STRENGTHS
    for l2, held in path.items():
        assert np.isnan(held.logits[fold == -1]).all()
        for number in range(5):
            out = fold == number
            model = refit(z[~out], y[~out], weight[~out], l2)
            np.testing.assert_allclose(held.logits[out], model.predict(z[out]), atol=1e-4)


def test_a_heavy_photo_counts_like_as_many_copies() -> None:
    z, y = problem(30)
    weight = np.ones(30)
    weight[:10] = 3
    copied = np.concatenate([np.arange(30), np.arange(10), np.arange(10)])
    np.testing.assert_allclose(
        fit_ridge(z, y, weight, 0.01), fit_ridge(z[copied], y[copied], np.ones(50), 0.01), atol=1e-5
    )


@pytest.mark.parametrize("l2", STRENGTHS)
def test_the_fit_on_all_rows_is_scikit_learns(l2: float) -> None:
    z, y = problem()
    weight = np.linspace(0.5, 2, len(y))
    theta = fit_ridge(z, y, weight, l2)
    expected = refit(z, y, weight, l2)
    np.testing.assert_allclose(theta[:-1], expected.coef_.T, atol=1e-4)
    np.testing.assert_allclose(theta[-1], expected.intercept_, atol=1e-4)


def test_mirrored_rows_are_trained_on_in_their_photos_fold_and_never_judged() -> None:
    z, y = problem(40)
    twice, labels = np.concatenate([z, z[:, ::-1]]), np.tile(y, 2)
    fold = np.tile(np.arange(40) // 4 % 4, 2)
    ((_, held),) = ridge_path(twice, labels, fold, np.ones(80), [0.01], photos=40)
    assert held.logits.shape == (40, 4)
    out = fold == 2
    model = refit(twice[~out], labels[~out], np.ones(int((~out).sum())), 0.01)
    np.testing.assert_allclose(held.logits[out[:40]], model.predict(z[out[:40]]), atol=1e-4)


def test_the_loss_is_that_of_one_temperature() -> None:
    z, y = problem()
    ((_, held),) = ridge_path(z, y, np.arange(len(y)) // 4 % 5, np.ones(len(y)), [0.01], photos=len(y))

    def loss(temperature: float) -> float:
        logits = held.logits / temperature
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))

    best = min(loss(t) for t in np.exp(np.linspace(-5, 3, 400)))
    assert held.loss == pytest.approx(best, abs=1e-4)


def test_more_coordinates_than_double_precision_is_kept_for_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(60, 2100)) / np.sqrt(2100)).astype(np.float32)
    y = (np.arange(60) % 2).astype(np.intp)
    theta = fit_ridge(z, y, np.ones(60), 0.1)
    expected = Ridge(alpha=6.0, solver="svd").fit(z.astype(np.float64), np.eye(2)[y])
    np.testing.assert_allclose(z @ theta[:-1] + theta[-1], expected.predict(z), atol=1e-4)


def test_no_coordinates_at_all_gives_the_share_of_each_class() -> None:
    y = np.array([0, 0, 0, 1, 1, 1, 0, 0], np.intp)
    z = np.zeros((8, 0), np.float32)
    np.testing.assert_allclose(fit_ridge(z, y, np.ones(8), 0.1), [[5 / 8, 3 / 8]])
    ((_, held),) = ridge_path(z, y, np.arange(8) % 2, np.ones(8), [0.1], photos=8)
    np.testing.assert_allclose(held.logits.sum(axis=1), 1)
