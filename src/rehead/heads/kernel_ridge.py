"""Ridge regression in the dual: a precomputed kernel, targets of which some are missing.

For rows with kernel matrix K (a Gram matrix) and targets Y, with the mean taken off,

    alpha = (K + l2 I)^-1 Y,    prediction of a new row = k' alpha

A target that is missing in some rows is fitted on the others: columns of Y that are known in the same rows
share a factorisation. `ridge` is the primal, for weighted rows whose targets are all known.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import blas_threads, map_in_order

__all__ = ["fit_kernel_ridge", "kernel_ridge_path"]


def fit_kernel_ridge(
    kernel: NDArray[np.float32], targets: NDArray[np.float64], l2: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Fit the dual weights.

    Parameters
    ----------
    kernel : float32 ndarray (m, m)
        Symmetric, positive semi-definite.
    targets : float64 ndarray (m, q)
        NaN where missing.
    l2 : float
        Positive.

    Returns
    -------
    alpha : float32 ndarray (m, q)
        0 where the target is missing.
    mean : float64 ndarray (q,)
        Of the known targets: predictions are kernel rows @ alpha + mean.
    """
    from scipy.linalg import cho_factor, cho_solve

    known = ~np.isnan(targets)
    count = known.sum(axis=0)
    mean = np.where(known, targets, 0).sum(axis=0) / np.maximum(count, 1)
    alpha = np.zeros(targets.shape, np.float32)
    patterns: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(count).tolist():
        patterns.setdefault(np.packbits(known[:, column]).tobytes(), []).append(column)
    for same in patterns.values():
        columns = np.array(same)
        rows = np.flatnonzero(known[:, columns[0]])
        system = kernel[np.ix_(rows, rows)]
        system[np.diag_indices_from(system)] += np.float32(l2)
        centred = (targets[np.ix_(rows, columns)] - mean[columns]).astype(np.float32)
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        alpha[np.ix_(rows, columns)] = cho_solve(factor, centred, check_finite=False)
    return alpha, mean


def kernel_ridge_path(
    kernel: NDArray[np.float32],
    targets: NDArray[np.float64],
    fold: NDArray[np.intp],
    l2_grid: Sequence[float],
    *,
    photos: int,
) -> NDArray[np.float64]:
    """Held-out predictions at each l2.

    Parameters
    ----------
    kernel : float32 ndarray (m, m)
    targets : float64 ndarray (m, q)
        NaN where missing; the first `photos` rows are the photos, the others are further views of them.
    fold : int ndarray (m,)
        -1: in the training set of every fold.
    l2_grid : sequence of float

    Returns
    -------
    float64 ndarray (len(l2_grid), photos, q)
        NaN where `fold` is -1.
    """
    held_out = np.full((len(l2_grid), photos, targets.shape[1]), np.nan)

    def run(job: tuple[int, int]) -> None:
        number, k = job
        test, train = np.flatnonzero(fold[:photos] == number), np.flatnonzero(fold != number)
        alpha, mean = fit_kernel_ridge(kernel[np.ix_(train, train)], targets[train], l2_grid[k])
        held_out[k, test] = kernel[np.ix_(test, train)] @ alpha + mean

    # BLAS on one thread: the products of several folds at once would wait for each other (ADR 3)
    with blas_threads(1):
        list(map_in_order(run, product(range(int(fold.max()) + 1), range(len(l2_grid)))))
    return held_out
