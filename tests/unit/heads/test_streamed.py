"""The head from sums is that of the rows in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.heads import streamed
from rehead.heads.model_selection import select_head
from rehead.heads.streamed import Chunk, SomeRows, StreamedSearch, training_sums
from rehead.heads.temperature import calibrated_loss

BLOCKS = [slice(0, 5), slice(5, 17)]


def rows_of(
    n: int, *, curved: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    rng = np.random.default_rng(3)
    y = rng.integers(4, size=n)
    means = rng.normal(size=(4, 17)) * 0.7
    if curved:  # classes in a line: least squares masks the middle ones
        means = np.outer(np.arange(4) - 1.5, np.ones(17)) * 0.6
    X = (means[y] + rng.normal(size=(n, 17))).astype(np.float32)
    return X, y, rng.integers(5, size=n)


def reader(X: NDArray[np.float32]) -> Callable[[NDArray[np.bool_]], list[Callable[[], Chunk]]]:
    def read(wanted: NDArray[np.bool_]) -> list[Callable[[], Chunk]]:
        parts = np.array_split(np.flatnonzero(wanted), 7)
        return [lambda rows=rows: (rows, X[rows]) for rows in parts if len(rows)]  # type: ignore[misc]

    return read


def search(
    X: NDArray[np.float32], y: NDArray[np.intp], fold: NDArray[np.intp], *, logistic: bool, levels: int = 2
) -> StreamedSearch:
    read = reader(X)
    sums = training_sums(read, y, fold, 4, X.shape[1], 5)
    order = np.arange(len(y), dtype=np.uint64)[::-1]
    return StreamedSearch(sums, read, y, fold, order, BLOCKS, range(1, levels + 1), logistic=logistic)


def test_ridge_is_that_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, fold = rows_of(400)
    head, held = search(X, y, fold, logistic=False).run()
    expected = select_head(X, y, fold, BLOCKS, n_levels=(1, 2))
    assert len(held.rows) == 400
    mine = {(p.n_levels, p.l2): p.log_loss for p in head.path}
    assert head.chosen.loss == "ridge"
    theirs = [p for p in expected.path if p.loss == "ridge" and (p.n_levels, p.l2) in mine]
    assert theirs
    # one of five folds is judged by, all of them where rows are in memory
    assert all(abs(mine[p.n_levels, p.l2] - p.log_loss) < 0.1 for p in theirs)
    same = select_head(X, y, fold, BLOCKS, n_levels=(head.chosen.n_levels,))
    if same.chosen.loss == "ridge" and same.chosen.l2 == head.chosen.l2:
        np.testing.assert_allclose(head.held_out, same.held_out, atol=1e-3)


def test_held_out_logits_are_of_the_other_folds() -> None:
    X, y, fold = rows_of(300)
    found = search(X, y, fold, logistic=False)
    head, held = found.run()
    for number in range(5):
        kept = fold != number
        alone = training_sums(reader(X), y, np.where(kept, 0, -1), 4, 17, 1)[0]
        start = BLOCKS[-head.chosen.n_levels].start
        blocks = [slice(b.start - start, b.stop - start) for b in BLOCKS[-head.chosen.n_levels :]]
        weight, bias = alone.last_columns(start).solve(head.chosen.l2, blocks)
        here = fold[held.rows] == number
        np.testing.assert_allclose(head.held_out[here], held.X[here, start:] @ weight + bias, atol=1e-5)


def test_logistic_is_kept_only_where_it_is_better() -> None:
    X, y, fold = rows_of(600, curved=True)
    both, held = search(X, y, fold, logistic=True).run()
    ridge, _ = search(X, y, fold, logistic=False).run()
    losses = {loss: min(p.log_loss for p in both.path if p.loss == loss) for loss in ("ridge", "logistic")}
    assert losses["logistic"] < losses["ridge"]
    assert both.chosen.loss == "logistic"
    assert ridge.chosen.loss == "ridge"
    assert both.chosen.log_loss < ridge.chosen.log_loss
    assert (fold[held.rows] == 0).all()
    assert calibrated_loss(both.held_out, y[held.rows]) == pytest.approx(both.chosen.log_loss, abs=0.02)


def test_streamed_logistic_is_the_logistic_of_the_rows() -> None:
    from rehead.heads.logistic import Passes, fit_logistic, fit_streamed
    from rehead.heads.pca import fit_pca

    X, y, _ = rows_of(500)
    sums = training_sums(reader(X), y, np.zeros(500, np.intp), 4, 17, 1)[0]

    def chunks() -> list[Callable[[], tuple[NDArray[np.float32], NDArray[np.intp]]]]:
        return [lambda k=k: (X[k : k + 90], y[k : k + 90]) for k in range(0, 500, 90)]  # type: ignore[misc]

    passes = Passes.of(chunks, sums, BLOCKS)
    weight, bias = passes.head(fit_streamed(passes, 1e-2, final=True))
    pca = fit_pca(X, BLOCKS)
    theta = fit_logistic(pca.z, y, np.ones(500), 4, 1e-2)
    expected, offset = pca.weights(theta[:-1], theta[-1])
    np.testing.assert_allclose(X @ weight + bias, X @ expected + offset, atol=0.02)
    loss, gradient = passes.loss_and_gradient(np.zeros((len(passes.energy) + 1, 4)))
    assert loss == pytest.approx(np.log(4), rel=1e-5)
    step = np.zeros_like(gradient)
    step[2, 1] = 1e-2
    more, _ = passes.loss_and_gradient(step)
    assert (more - loss) / 1e-2 == pytest.approx(gradient[2, 1], abs=1e-3)


def test_of_many_rows_those_first_in_order_are_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_PHOTOS", 50)
    X, y, fold = rows_of(400)
    found = search(X, y, fold, logistic=False)
    assert np.flatnonzero(found.some(fold >= 0)).tolist() == list(range(350, 400))
    head, held = found.run()
    assert held.rows.tolist() == list(range(350, 400))
    assert head.held_out.shape == (50, 4)


def test_sums_are_the_same_in_any_share() -> None:
    X, y, fold = rows_of(200)
    X = (np.round(X * 64) / 64).astype(np.float32)
    one = training_sums(reader(X), y, fold, 4, 17, 5, shares=1)
    four = training_sums(reader(X), y, fold, 4, 17, 5, shares=4)
    for a, b in zip(one, four, strict=True):
        assert np.array_equal(a.gram, b.gram)
        assert np.array_equal(a.sums, b.sums)


def test_a_class_that_only_one_fold_has_is_not_judged_by() -> None:
    X, y, fold = rows_of(200)
    y = np.where(np.arange(200) < 3, 3, y % 3)
    fold[:3] = 2
    found = search(X, y, fold, logistic=False)
    assert not found.some(fold >= 0)[:3].any()
    head, held = found.run()
    assert np.isfinite(head.held_out).all()
    assert isinstance(held, SomeRows)
