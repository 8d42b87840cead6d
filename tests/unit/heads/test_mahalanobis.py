from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from numpy.typing import NDArray

from rehead.core.rejection import order_statistic
from rehead.heads import held_out as held_out_room
from rehead.heads.held_out import fit_held_out, fit_split, held_out_scores
from rehead.heads.mahalanobis import RelativeMahalanobis, StyleViews, fit_distance
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


# styles


def views_of(
    X: NDArray[np.float32], shifts: NDArray[np.float32], each: int = 12, spread: float = 0.05
) -> StyleViews:
    """Views of the first photos, in styles that shift all alike but for a little."""
    rng = np.random.default_rng(11)
    style = np.repeat(np.arange(len(shifts)), each)
    photo = np.tile(np.arange(each), len(shifts))
    rows = X[photo] + shifts[style] + rng.normal(scale=spread, size=(len(photo), X.shape[1]))
    change = rows - X[photo]
    means = np.stack([change[style == k].mean(axis=0) for k in range(len(shifts))])
    names = tuple(f"style {k}" for k in range(len(shifts)))
    return StyleViews(names, photo, style, rows.astype(np.float32), means.astype(np.float32))


@pytest.fixture(scope="module")
def shifts() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(scale=2.0, size=(2, 40)).astype(np.float32)


BLOCKS = [slice(0, 40)]


def fitted_with(
    views: StyleViews | None, X: NDArray[np.float32], y: NDArray[np.intp]
) -> tuple[RelativeMahalanobis, float]:
    """The model, and a limit that accepts 97.5 % of its held-out photos."""
    fold = (np.arange(len(X)) // 3 % 5).astype(np.intp)
    model, scores = fit_held_out(X, y, BLOCKS, fold, views, 0.975)
    return model, order_statistic(scores, 0.975)


def test_photos_that_are_odd_in_their_style_only_are_accepted(shifts: NDArray[np.float32]) -> None:
    X, y = photos(150, 40)
    new = photos(90, 40, seed=1)[0]
    without, old_limit = fitted_with(None, X, y)
    model, limit = fitted_with(views_of(X, shifts), X, y)
    assert model.styles is not None
    for k, shift in enumerate(shifts):
        assert (without.scores(new + shift) > old_limit).mean() > 0.9, "or there is nothing to mend"
        assert (model.scores(new + shift) <= limit).mean() >= 0.85
        assert (model.styles.of(new + shift) == k).mean() > 0.95
    assert (model.scores(new) <= limit).mean() > 0.9
    assert (model.styles.of(new) == -1).mean() > 0.9


def test_photos_of_no_class_are_odd_in_any_style(shifts: NDArray[np.float32]) -> None:
    X, y = photos(150, 40)
    model, limit = fitted_with(views_of(X, shifts), X, y)
    odd = photos(90, 40, seed=2)[0] + 2 * np.random.default_rng(0).normal(size=(90, 40)).astype(np.float32)
    for shift in (0, *shifts):
        assert (model.scores(odd + shift) > limit).mean() > 0.95


def test_photos_without_a_style_have_the_score_that_they_had(shifts: NDArray[np.float32]) -> None:
    X, y = photos(150, 40)
    views = views_of(X, shifts)
    plain, styled = fit_distance(X, y, BLOCKS), fit_distance(X, y, BLOCKS, views)
    new = photos(60, 40, seed=1)[0]
    parts = styled.parts(new)
    np.testing.assert_array_equal(parts.plain, plain.scores(new))
    usual = parts.margin <= 0
    assert usual.mean() > 0.5
    np.testing.assert_array_equal(styled.scores(new)[usual], plain.scores(new)[usual])
    assert (styled.scores(new) <= plain.scores(new)).all()


def test_the_margin_is_what_the_distance_from_all_photos_loses(shifts: NDArray[np.float32]) -> None:
    X, y = photos(100, 40)
    views = views_of(X, shifts)
    model = fit_distance(X, y, BLOCKS, views)
    z = ((X - model.mean) * model.scale).astype(np.float64)
    spread = float((z**2).sum(axis=1).mean())
    main = model.basis.astype(np.float64)

    def away(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        u = rows @ main
        rest = (rows**2).sum(axis=1) - (u**2).sum(axis=1)
        squares: NDArray[np.float64] = ((u @ model.total) ** 2).sum(axis=1) + rest / (0.5 * spread)
        return squares

    assert model.styles is not None
    for k, shift in enumerate(views.shifts):
        expected = away(z) - away(z - shift * model.scale)
        np.testing.assert_allclose(model.styles.margins(X)[:, k], expected, atol=1e-3, rtol=1e-3)


def test_a_style_whose_views_are_odder_gets_an_allowance(shifts: NDArray[np.float32]) -> None:
    X, y = photos(150, 40)
    near, _ = fitted_with(views_of(X, shifts, spread=0.05), X, y)
    far, limit = fitted_with(views_of(X, shifts, each=30, spread=1.0), X, y)
    assert (near.allowances < 0.3 * far.allowances).all()
    rng = np.random.default_rng(5)
    new = photos(90, 40, seed=1)[0] + shifts[0] + rng.normal(size=(90, 40)).astype(np.float32)
    assert (far.scores(new) <= limit).mean() >= 0.75
    none = replace(far, allowances=np.zeros(2, np.float32))
    assert (none.scores(new) <= limit).mean() < 0.2


def test_views_that_change_nothing_change_nothing() -> None:
    X, y = photos(60, 40)
    none = views_of(X, np.zeros((2, 40), np.float32), spread=0.0)
    model, limit = fitted_with(none, X, y)
    without, old_limit = fitted_with(None, X, y)
    np.testing.assert_allclose(model.scores(X), without.scores(X), atol=1e-6)
    assert limit == pytest.approx(old_limit, abs=1e-6)
    assert model.styles is not None
    assert (model.styles.of(X) == -1).all()


def test_views_of_some_photos_keep_to_their_photos(shifts: NDArray[np.float32]) -> None:
    X, _ = photos(30, 40)
    views = views_of(X, shifts, spread=0.0)
    kept = np.arange(30) % 3 != 1
    some = views.take(kept)
    assert len(some.rows) == 2 * 8
    np.testing.assert_allclose(some.rows, X[kept][some.photo] + shifts[some.style], atol=1e-5)
    np.testing.assert_array_equal(some.shifts, views.shifts)


def test_a_split_calibrates_styles_by_what_is_held_out(shifts: NDArray[np.float32]) -> None:
    X, y = photos(150, 40)
    views = views_of(X, shifts, each=30)
    held_out = np.arange(150) % 5 == 0
    model = fit_split(X, y, BLOCKS, held_out, views, 0.975)
    limit = order_statistic(model.scores(X[held_out]), 0.975)
    new = photos(90, 40, seed=1)[0]
    assert (model.scores(new + shifts[0]) <= limit).mean() >= 0.85
    without = fit_split(X, y, BLOCKS, held_out, None, 0.975)
    np.testing.assert_array_equal(
        without.scores(X), fit_distance(X[~held_out], y[~held_out], BLOCKS).scores(X)
    )


def test_a_small_fit_keeps_blas_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def fit(*given: Any) -> RelativeMahalanobis:
        seen.append({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if is_blas(pool)})
        return fit_distance(*given)

    def is_blas(pool: dict[str, Any]) -> bool:
        return bool(pool["user_api"] == "blas")

    X, y = photos(60, 40)
    monkeypatch.setattr(held_out_room, "fit_distance", fit)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        fit_held_out(X, y, [slice(0, 40)], np.arange(60) % 3, None, 0.975)
    assert seen == [{1}] * 4


def test_held_out_scores_take_no_copy_of_the_features() -> None:
    X, y = photos(2000, 400)
    held_out_scores(X[:60], y[:60], [slice(0, 400)], np.arange(60) % 2)  # imports
    tracemalloc.start()
    held_out_scores(X, y, [slice(0, 400)], np.arange(2000) % 2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrices = 2 * (2 * 400 * 400 * 4 + 1000 * 128 * 3 * 8)  # of two folds side by side: Gram, coordinates
    assert most < matrices + 256 * 400 * 40
