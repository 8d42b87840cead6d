from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.heads import FittedHead, fit_pca, model_selection, select_head
from rehead.heads.logistic import fit_logistic
from rehead.heads.model_selection import balanced_weights
from rehead.heads.ridge import fit_ridge
from rehead.heads.temperature import fit_temperature, log_loss

Matrix = NDArray[np.float32]
Numbers = NDArray[np.intp]


def problem(
    per_class: int, classes: int, d: int, noise: float = 1.5, seed: int = 0
) -> tuple[Matrix, Numbers, Numbers]:
    """Features, classes, and folds that hold out one photo in five or fewer of each class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), per_class)
    X = rng.normal(size=(classes, d))[y] + noise * rng.normal(size=(len(y), d)) + 4
    fold = np.tile(np.arange(per_class) % min(5, per_class), classes)
    return X.astype(np.float32), y.astype(np.intp), fold.astype(np.intp)


def accuracy(selection: FittedHead, X: Matrix, y: Numbers) -> float:
    return float(((X @ selection.weight + selection.bias).argmax(axis=1) == y).mean())


def check(selection: FittedHead, X: Matrix, y: Numbers, fold: Numbers) -> None:
    """What holds for every selection."""
    classes = int(y.max()) + 1
    assert selection.weight.shape[1] == len(selection.bias) == classes
    assert selection.weight.dtype == selection.bias.dtype == np.float32
    assert np.isfinite(selection.weight).all()
    assert np.isfinite(selection.bias).all()
    assert selection.chosen in selection.path
    assert selection.chosen.log_loss <= min(point.log_loss for point in selection.path) + 1e-6
    assert selection.held_out.shape == (len(X), classes)
    assert np.isnan(selection.held_out[fold == -1]).all()
    judged = selection.held_out[fold >= 0]
    assert np.isfinite(judged).all()
    loss = log_loss(judged / fit_temperature(judged, y[fold >= 0]), y[fold >= 0])
    assert np.isfinite(loss)


@pytest.mark.parametrize(
    ("per_class", "classes", "d", "noise"),
    [
        (12, 3, 100, 1.5),
        (60, 3, 20, 1.5),
        (20, 2, 30, 0.1),
        (2, 2, 50, 1.0),
        (2, 5, 8, 1.0),
        (4, 60, 48, 1.0),
    ],
)
def test_weights_on_raw_features_are_the_chosen_point_on_coordinates(
    per_class: int, classes: int, d: int, noise: float
) -> None:
    X, y, fold = problem(per_class, classes, d, noise)
    selection = select_head(X, y, fold, [slice(0, d)])
    check(selection, X, y, fold)
    pca = fit_pca(X, [slice(0, d)])
    chosen = selection.chosen
    if chosen.loss == "ridge":
        theta = fit_ridge(pca.z, y, np.ones(len(y)), chosen.l2)
    else:
        theta = fit_logistic(pca.z, y, np.ones(len(y)), classes, chosen.l2)
    expected = pca.z @ theta[:-1] + theta[-1]
    logits = X @ selection.weight + selection.bias
    difference = np.abs(logits - expected).max()
    assert difference <= 0.01 * max(1.0, np.abs(expected).max())
    assert accuracy(selection, X, y) >= 0.75


def test_both_losses_are_searched_and_the_strength_is_not_at_the_end_of_the_path() -> None:
    X, y, fold = problem(40, 4, 30, noise=2.0)
    selection = select_head(X, y, fold, [slice(0, 30)])
    assert {point.loss for point in selection.path} == {"logistic", "ridge"}
    strengths = sorted(p.l2 for p in selection.path if p.loss == selection.chosen.loss)
    assert strengths[0] < selection.chosen.l2 < strengths[-1]


def test_where_every_strength_is_right_the_strongest_is_taken() -> None:
    X, y, fold = problem(6, 2, 20, noise=0.01)
    selection = select_head(X, y, fold, [slice(0, 20)])
    perfect = [point for point in selection.path if point.log_loss < 1e-7]
    assert len(perfect) > 1
    assert selection.chosen.l2 == max(point.l2 for point in perfect)


def test_photos_at_minus_one_are_always_trained_on_and_never_judged() -> None:
    X, y, fold = problem(10, 3, 40)
    X, y = np.concatenate([X, X[:1] + 50]), np.r_[y, 3]
    fold = np.r_[fold, -1]  # a class of one photo: known only if it is trained on in every fold
    selection = select_head(X, y, fold, [slice(0, 40)])
    check(selection, X, y, fold)
    assert int((X[-1] @ selection.weight + selection.bias).argmax()) == 3
    everywhere = selection.held_out[fold >= 0]
    assert everywhere[:, 3].max() < everywhere.max()


def test_the_held_out_logits_do_not_depend_on_the_labels_of_the_held_out_photos() -> None:
    X, y, fold = problem(10, 3, 40)
    first = select_head(X, y, fold, [slice(0, 40)])
    point = first.chosen
    assert point.loss in ("logistic", "ridge")
    out = fold == 0
    pca = fit_pca(X, [slice(0, 40)])
    fit: Any = fit_ridge if point.loss == "ridge" else lambda z, y, w, s: fit_logistic(z, y, w, 3, s)
    theta = fit(pca.z[~out], y[~out], np.ones(int((~out).sum())), point.l2)
    np.testing.assert_allclose(
        first.held_out[out], pca.z[out] @ theta[:-1] + theta[-1], atol=0.02 * np.abs(first.held_out).max()
    )


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_of_many_photos_some_folds_are_searched_and_all_are_held_out(
    noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, fold = problem(40, 4, 30, noise)
    everywhere = select_head(X, y, fold, [slice(0, 30)])
    monkeypatch.setattr(model_selection, "_ENOUGH", 60)
    fitted: list[float] = []

    def fit(z: Matrix, y: Numbers, w: NDArray[np.float64], classes: int, l2: float, *a: Any, **k: Any) -> Any:
        fitted.append(l2)
        return fit_logistic(z, y, w, classes, l2, *a, **k)

    monkeypatch.setattr(model_selection, "fit_logistic", fit)
    selection = select_head(X, y, fold, [slice(0, 30)])
    assert selection.chosen in selection.path
    assert np.isfinite(selection.held_out).all()
    T = fit_temperature(selection.held_out, y)
    assert log_loss(selection.held_out / T, y) == pytest.approx(selection.chosen.log_loss)
    assert selection.chosen.log_loss <= 1.02 * everywhere.chosen.log_loss
    points = sum(point.loss == "logistic" for point in selection.path)
    assert len(fitted) <= 2 * points + 4  # two folds of five are searched; then three, and all rows


def test_balanced_weights_give_every_class_the_same_mass() -> None:
    y = np.r_[np.zeros(30), np.ones(3), np.full(7, 2)].astype(np.intp)
    weight = balanced_weights(y)
    np.testing.assert_allclose(np.bincount(y, weights=weight), 40 / 3)


def test_balanced_finds_more_of_the_rare_class() -> None:
    rng = np.random.default_rng(1)
    y = np.r_[np.zeros(200), np.ones(20)].astype(np.intp)
    X = (rng.normal(size=(220, 5)) + 1.2 * y[:, None] * np.eye(5)[0]).astype(np.float32)
    fold = (np.arange(220) % 5).astype(np.intp)
    found = [
        float((X[y == 1] @ s.weight + s.bias).argmax(axis=1).mean())
        for s in (select_head(X, y, fold, [slice(0, 5)], balanced=b) for b in (False, True))
    ]
    assert found[1] > found[0] + 0.3


def test_mirrored_photos_are_kept_where_they_help() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat(np.arange(2), 20).astype(np.intp)
    fold = np.tile(np.arange(20) % 5, 2).astype(np.intp)
    signal = (2 * y[:, None] - 1) * 1.0 + rng.normal(size=(40, 3))
    side = 3 * rng.normal(size=(40, 30))
    X = np.hstack([signal, side]).astype(np.float32)
    mirrored = np.hstack([signal, -side]).astype(np.float32)  # tells that the sides say nothing
    noise = rng.normal(size=X.shape).astype(np.float32) * 5
    helped = select_head(X, y, fold, [slice(0, 33)], mirrored=mirrored)
    hindered = select_head(X, y, fold, [slice(0, 33)], mirrored=noise)
    alone = select_head(X, y, fold, [slice(0, 33)])
    assert not hindered.chosen.mirrored
    assert hindered.chosen.log_loss == pytest.approx(alone.chosen.log_loss)
    assert helped.chosen.mirrored
    assert helped.chosen.log_loss < alone.chosen.log_loss
    assert helped.held_out.shape == (40, 2)


@pytest.mark.parametrize("informative", ["first", "last"])
def test_the_depth_that_tells_the_classes_apart_is_chosen(informative: str) -> None:
    X, y, fold = problem(20, 3, 20, noise=0.5)
    noise = np.random.default_rng(9).normal(size=X.shape).astype(np.float32)
    both = np.hstack([X, noise] if informative == "first" else [noise, X])
    selection = select_head(both, y, fold, [slice(0, 20), slice(20, 40)], n_levels=[1, 2])
    assert selection.chosen.n_levels == (2 if informative == "first" else 1)
    assert selection.weight.shape == (20 * selection.chosen.n_levels, 3)
    used = both[:, 40 - 20 * selection.chosen.n_levels :]
    assert accuracy(selection, used, y) == 1.0


@pytest.mark.parametrize("d", [4, 40])
def test_constant_features_give_the_share_of_each_class(d: int) -> None:
    X = np.full((20, d), 2, np.float32)
    y = np.r_[np.zeros(15), np.ones(5)].astype(np.intp)
    fold = (np.arange(20) % 5).astype(np.intp)
    selection = select_head(X, y, fold, [slice(0, d)])
    check(selection, X, y, fold)
    assert not selection.weight.any()
    assert selection.bias[0] > selection.bias[1]


def test_identical_photos_of_two_classes_promise_nothing() -> None:
    rng = np.random.default_rng(0)
    X = np.tile(rng.normal(size=(5, 30)), (4, 1)).astype(np.float32)  # each photo in both classes
    y, fold = np.repeat([0, 1], 10).astype(np.intp), np.tile(np.arange(5), 4).astype(np.intp)
    selection = select_head(X, y, fold, [slice(0, 30)])
    check(selection, X, y, fold)
    assert selection.chosen.log_loss == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.slow
def test_a_thousand_classes_of_two_photos() -> None:
    X, y, fold = problem(2, 1000, 32, noise=0.15)
    selection = select_head(X, y, fold, [slice(0, 32)])
    check(selection, X, y, fold)
    assert (selection.held_out.argmax(axis=1) == y).mean() > 0.5


def test_the_same_photos_give_the_same_head_bit_for_bit() -> None:
    X, y, fold = problem(15, 4, 60)
    first, second = (select_head(X, y, fold, [slice(0, 60)]) for _ in range(2))
    assert first.path == second.path
    assert first.weight.tobytes() == second.weight.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()


def test_memory_grows_with_the_photos_by_the_coordinates_of_one_candidate() -> None:
    """Not by copies of the features, or of the coordinates of a fold."""

    def peak(per_class: int) -> int:
        X, y, fold = problem(per_class, 5, 600)
        tracemalloc.start()
        select_head(X, y, fold, [slice(0, 200), slice(200, 400), slice(400, 600)], n_levels=[1, 2, 3])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert (peak(1200) - peak(600)) / 3000 < 600 * 4  # bytes a photo
