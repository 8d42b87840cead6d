"""Kernel ridge is scikit-learn's ridge of each column, with missing targets left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from rehead.heads.kernel_ridge import fit_kernel_ridge, kernel_ridge_path


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, more numbers than rows; their kernel; and targets."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(60, 4))
    X = (hidden @ rng.normal(size=(4, 90)) + 0.3 * rng.normal(size=(60, 90))) / np.sqrt(4 * 90)
    X -= X.mean(axis=0)
    return X, (X @ X.T).astype(np.float32), 0.5 + 0.1 * hidden @ rng.normal(size=(4, 6))


def test_it_is_the_ridge_of_each_column_on_what_is_known(
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, kernel, targets = world
    targets[::3, 2:4] = np.nan
    alpha, mean = fit_kernel_ridge(kernel, targets, 0.1)
    assert (alpha[::3, 2:4] == 0).all()
    for column in range(6):
        known = ~np.isnan(targets[:, column])
        # the mean is taken off, not fitted: X is centred over all rows only
        expected = Ridge(alpha=0.1, fit_intercept=False).fit(
            X[known], targets[known, column] - targets[known, column].mean()
        )
        np.testing.assert_allclose(
            kernel @ alpha[:, column] + mean[column],
            X @ expected.coef_ + targets[known, column].mean(),
            atol=1e-5,
        )


def test_a_missing_target_changes_nothing_for_the_others(
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    _, kernel, targets = world
    missing = targets.copy()
    missing[5:20, :2] = np.nan
    np.testing.assert_allclose(
        fit_kernel_ridge(kernel, missing, 0.1)[0][:, 2:],
        fit_kernel_ridge(kernel, targets, 0.1)[0][:, 2:],
        atol=1e-5,
    )


def test_the_path_is_a_fit_for_each_fold(world: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, kernel, targets = world
    fold = np.tile(np.arange(30) % 4 - 1, 2)  # rows 30.. are further views of photos 0..29
    path = kernel_ridge_path(kernel, targets, fold, (0.1, 1.0), photos=30)
    assert path.shape == (2, 30, 6)
    assert np.isnan(path[:, fold[:30] == -1]).all()
    for place, l2 in enumerate((0.1, 1.0)):
        for number in range(3):
            train, test = fold != number, np.flatnonzero(fold[:30] == number)
            alpha, mean = fit_kernel_ridge(kernel[np.ix_(train, train)], targets[train], l2)
            np.testing.assert_allclose(path[place, test], kernel[test][:, train] @ alpha + mean, atol=1e-6)
