"""How unlike the training photos a photo is.

The score is the squared distance of its features from the space that the main directions of the
training photos span (the residual of Wang et al. 2022, ViM), on all depths, centred and scaled as
in `span`. It needs no labels, one matrix of D x 64 numbers, and was as good as relative
Mahalanobis distance with shrinkage and better than nearest neighbours, energy and confidence
(benchmarks/outliers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine import processors
from .span import Block, gram_of, parts_of, scaling_of

__all__ = ["Subspace", "fit_subspace", "held_out_scores"]

_DIRECTIONS = 64  # benchmarks/outliers.py
_ROWS_EACH = 4  # training photos for each direction: fewer would span the photos themselves


@dataclass(frozen=True)
class Subspace:
    """Main directions of the training photos.

    Parameters
    ----------
    mean, scale : float32 ndarray (D,)
    basis : float32 ndarray (D, k)
        Orthonormal columns.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outlier score of each row of X (n, D): float32 (n,), 0 or more, seldom above 1."""
        out = []
        for part in parts_of(X):
            centred = (part - self.mean) * self.scale
            inside = centred @ self.basis
            out.append(np.maximum((centred**2).sum(axis=1) - (inside**2).sum(axis=1), 0))
        return np.concatenate(out) if out else np.zeros(0, np.float32)


def fit_subspace(X: NDArray[np.float32], blocks: Sequence[Block]) -> Subspace:
    """Main directions of rows X (n, D) with one block of columns for each depth."""
    import scipy.linalg

    n, d = X.shape
    # at most half of all directions (as in Wang et al.'s code), or next to nothing would be left outside
    count = max(1, min(_DIRECTIONS, n // _ROWS_EACH, d // 2))
    mean, scale = scaling_of(X, blocks)
    if n <= d:
        rows = (X - mean) * scale
        last = (n - count, n - 1)
        energy, vectors = scipy.linalg.eigh(rows @ rows.T, subset_by_index=last, check_finite=False)
        basis = rows.T @ (vectors / np.sqrt(np.maximum(energy, 1e-12)))
        basis[:, energy <= energy[-1] * 1e-7] = 0
    else:
        last = (d - count, d - 1)
        _, basis = scipy.linalg.eigh(gram_of(X, mean, scale), subset_by_index=last, check_finite=False)
    return Subspace(mean, scale, np.ascontiguousarray(basis[:, ::-1], dtype=np.float32))


def held_out_scores(
    X: NDArray[np.float32], blocks: Sequence[Block], fold: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Outlier score of each row from the fold that did not see it, float32 (n,); NaN where `fold` is -1."""
    import threadpoolctl

    scores = np.full(len(X), np.nan, np.float32)

    def run(number: int) -> None:
        out = fold == number
        scores[out] = fit_subspace(X[~out], blocks).scores(X[out])

    with threadpoolctl.threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(processors()) as pool:
        list(pool.map(run, range(int(fold.max()) + 1)))
    return scores
