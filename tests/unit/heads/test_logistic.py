from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from rehead.heads import logistic
from rehead.heads.logistic import few_weights, fit_logistic
from rehead.heads.pca import fit_pca


def problem(n: int, d: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Coordinates of overlapping classes, as `fit_pca` gives them."""
    rng = np.random.default_rng(11)
    y = rng.permutation(np.arange(n) % classes).astype(np.intp)
    X = (rng.normal(size=(classes, d))[y] + 2 * rng.normal(size=(n, d))).astype(np.float32)
    return fit_pca(X, [slice(0, d)]).z, y


def reference(
    z: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], l2: float
) -> NDArray[np.float64]:
    """Minimum of sum_i w_i loss_i + |A|^2 / (2 C): ours times the sum of the weights.

    Two classes are the softmax form's too: its columns are half the binary form's, of opposite sign,
    and the penalty on them half of that on the binary one's.
    """
    binary = y.max() == 1
    C = 1 / (l2 * weight.sum()) * (2 if binary else 1)
    model = LogisticRegression(C=C, tol=1e-10, max_iter=20000).fit(
        z.astype(np.float64), y, sample_weight=weight
    )
    theta = np.vstack([model.coef_.T, model.intercept_])
    return np.hstack([-theta, theta]) / 2 if binary else theta


@pytest.mark.parametrize(("n", "d", "classes"), [(120, 20, 4), (40, 90, 3), (60, 12, 2)])
@pytest.mark.parametrize("l2", [1e-3, 1e-2, 0.3])
def test_agrees_with_scikit_learn(n: int, d: int, classes: int, l2: float) -> None:
    z, y = problem(n, d, classes)
    weight = np.ones(n)
    theta, expected = fit_logistic(z, y, weight, classes, l2), reference(z, y, weight, l2)
    logits, wanted = (z @ t[:-1] + t[-1] for t in (theta, expected))
    # softmax does not see what is added to all classes
    np.testing.assert_allclose(
        logits - logits.mean(axis=1, keepdims=True), wanted - wanted.mean(axis=1, keepdims=True), atol=5e-3
    )


def test_many_weights_reach_scikit_learns_minimum_in_few_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    z, y = problem(450, 200, 150)
    assert not few_weights(z.shape[1], 150)
    evaluations, minimise = [0], logistic._minimise

    def counted(objective: logistic._Objective, x: logistic.Vector, gain: float) -> logistic.Vector:
        def one(at: logistic.Vector) -> tuple[float, logistic.Vector]:
            evaluations[0] += 1
            return objective(at)

        return minimise(one, x, gain)

    monkeypatch.setattr(logistic, "_minimise", counted)
    weight = np.ones(450)
    theta, expected = fit_logistic(z, y, weight, 150, 1e-3), reference(z, y, weight, 1e-3)
    np.testing.assert_allclose(theta[:-1], expected[:-1], atol=2e-2)
    assert evaluations[0] < 60


def test_weights_count_as_in_scikit_learn() -> None:
    z, y = problem(80, 15, 3)
    weight = np.linspace(0.1, 4, 80)
    theta, expected = fit_logistic(z, y, weight, 3, 0.01), reference(z, y, weight, 0.01)
    np.testing.assert_allclose(theta[:-1], expected[:-1], atol=5e-3)


def test_the_scale_of_the_weights_does_not_matter() -> None:
    z, y = problem(80, 15, 3)
    weight = np.linspace(0.1, 4, 80)
    np.testing.assert_allclose(
        fit_logistic(z, y, weight, 3, 0.01), fit_logistic(z, y, 1000 * weight, 3, 0.01), atol=1e-6
    )


def test_the_intercept_is_not_penalised() -> None:
    z = np.zeros((100, 0), np.float32)
    y = (np.arange(100) < 7).astype(np.intp)
    (bias,) = fit_logistic(z, y, np.ones(100), 2, 1e6)
    assert bias[1] - bias[0] == pytest.approx(np.log(7 / 93), abs=1e-3)


def test_no_penalty_leaks_into_the_intercept_where_the_coordinates_say_nothing() -> None:
    rng = np.random.default_rng(0)
    z = (1e-3 * rng.normal(size=(200, 5))).astype(np.float32)
    y = np.r_[np.zeros(150), np.ones(50)].astype(np.intp)
    theta = fit_logistic(z, y, np.ones(200), 2, 100.0)
    assert np.abs(theta[:-1]).max() < 1e-3
    assert theta[-1, 1] - theta[-1, 0] == pytest.approx(np.log(50 / 150), abs=1e-3)


def test_the_start_changes_the_path_and_not_the_answer() -> None:
    z, y = problem(120, 20, 4)
    cold = fit_logistic(z, y, np.ones(120), 4, 0.01)
    near = fit_logistic(z, y, np.ones(120), 4, 0.03)
    warm = fit_logistic(z, y, np.ones(120), 4, 0.01, near)
    np.testing.assert_allclose(z @ warm[:-1], z @ cold[:-1], atol=1e-2)


def test_classes_that_are_separable_stay_finite() -> None:
    z = np.array([[-1.0], [-1.0], [1.0], [1.0]], np.float32)
    theta = fit_logistic(z, np.array([0, 0, 1, 1], np.intp), np.ones(4), 2, 1e-7)
    assert np.isfinite(theta).all()
    assert ((z @ theta[:-1] + theta[-1]).argmax(axis=1) == [0, 0, 1, 1]).all()


@pytest.mark.parametrize("copied_up_to", [0, 10**9])
def test_a_fit_to_some_rows_is_that_to_a_copy_of_them(
    copied_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y = problem(700, 30, 3)
    weight = np.linspace(0.5, 2, 700)
    some = np.flatnonzero(np.arange(700) % 3)
    expected = fit_logistic(z[some], y[some], weight[some], 3, 0.01)
    monkeypatch.setattr(logistic, "_COPIED_UP_TO", copied_up_to)
    np.testing.assert_allclose(fit_logistic(z, y, weight, 3, 0.01, rows=some), expected, atol=1e-6)
