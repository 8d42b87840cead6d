"""Outlier scores of photos by fits that did not see them, which also set what the score makes of styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order, one_blas_thread
from .mahalanobis import Parts, RelativeMahalanobis, StyleViews, fit_distance
from .pca import Block

__all__ = ["fit_held_out", "fit_split", "held_out_scores"]


def held_out_scores(
    X: NDArray[np.float32], y: NDArray[np.intp], blocks: Sequence[Block], fold: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Cross-validated outlier scores of the rows of X, float32 (n,); NaN where `fold` is -1."""
    photos, others = Parts.empty(len(X)), Parts.empty(0)
    with one_blas_thread:
        list(_fit_folds(range(fold.max() + 1), X, y, blocks, fold, None, photos, others))
    return photos.plain


def fit_held_out(
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    blocks: Sequence[Block],
    fold: NDArray[np.intp],
    views: StyleViews | None,
    accepted: float,
) -> tuple[RelativeMahalanobis, NDArray[np.float32]]:
    """The score fitted to all rows, its styles calibrated by held-out ones; and `held_out_scores` by it.

    `accepted` is the fraction of photos that the limit of the score will accept.
    """
    photos, others = Parts.empty(len(X)), Parts.empty(0 if views is None else len(views.photo))
    # with BLAS on one thread: two that wait for each other took four times the processor time of a fit to 262
    # photos on a busy machine, 1.27 s instead of 0.30, and of one to 6,381, 15 s instead of 2.1
    with one_blas_thread:
        model, *_ = _fit_folds(range(-1, fold.max() + 1), X, y, blocks, fold, views, photos, others)
    if views is not None:
        held_out = fold[views.photo] >= 0
        model = model.calibrate_styles(
            photos.take(fold >= 0),
            others.take(held_out),
            views.style[held_out],
            accepted,
        )
    return model, model.combine(photos)


def fit_split(
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    blocks: Sequence[Block],
    held_out: NDArray[np.bool_],
    views: StyleViews | None,
    accepted: float,
) -> RelativeMahalanobis:
    """The score fitted to the rows that are not held out (n,), its styles calibrated by those that are."""
    model = fit_distance(X, y, blocks, views, np.flatnonzero(~held_out))
    if views is None:
        return model
    new = held_out[views.photo]
    photos, others = model.parts(X, np.flatnonzero(held_out)), model.parts(views.rows[new])
    return model.calibrate_styles(photos, others, views.style[new], accepted)


def _fit_folds(
    numbers: Sequence[int],
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    blocks: Sequence[Block],
    fold: NDArray[np.intp],
    views: StyleViews | None,
    photos: Parts,
    others: Parts,
) -> Iterator[RelativeMahalanobis]:
    """Fit without each of the folds, -1 for none, side by side.

    Parts of each row and each view are filled in by the fit that did not see the photo.
    """

    def run(number: int) -> RelativeMahalanobis:
        if number < 0:
            return fit_distance(X, y, blocks, views)
        out = fold == number
        model = fit_distance(X, y, blocks, views, np.flatnonzero(~out))
        photos.put(out, model.parts(X, np.flatnonzero(out)))
        if views is not None:
            of_these = out[views.photo]
            others.put(of_these, model.parts(views.rows[of_these]))
        return model

    return map_in_order(run, numbers)
