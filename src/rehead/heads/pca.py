"""Principal components of features.

A linear head with an L2 penalty lies in the span of its training rows (the representer theorem), so it is
fitted on the rows' principal components: at most as many as there are rows, however many features there
are, and uncorrelated, which makes the solvers fast. Of more than 1,536, those of least variance are left
out.

Features of one level ("block") share one scale, their root mean square deviation, and blocks weigh
the same: with X_b centred, X = [X_1 / (s_1 sqrt(B d_1)) ... X_B / (s_B sqrt(B d_B))]. The mean
squared norm of a row is then 1, and one grid of l2 serves every backbone.
Standardising each feature gave a worse best head on three data sets of three, though on one of
them a better one of all levels (benchmarks/head_candidates.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "PCABasis", "fit_pca", "fit_scaling", "gram_matrix", "last_levels", "row_chunks"]

Block = slice
"""Columns of one feature level."""

_ROWS = 1024  # rows centred and scaled at a time, so that no second copy of the features is made
_MOST = 1536  # components: of 3,088 these explain 99.6 % of the variance, and the log loss rises by 0 to
# 0.7 % in a third of the time (benchmarks/memory.py --coordinates)
_CUT = 1e-7  # eigenvalues below this fraction of the largest are rounding errors of float32 products


@dataclass(frozen=True)
class PCABasis:
    """Principal components, and the coordinates of the rows they were fitted on.

    z = ((x - mean) * scale) @ basis

    Parameters
    ----------
    mean, scale : float32 ndarray (d,)
    basis : float32 ndarray (d, r)
        Orthonormal columns, by decreasing variance.
    z : float32 ndarray (n, r)
        Coordinates of the rows it was fitted on; its columns are uncorrelated.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]
    z: NDArray[np.float32]

    def weights(self, A: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and bias on features, (d, K) and (K,), of those on coordinates, A (r, K) and b (K,)."""
        W = (self.basis.astype(np.float64) @ A) * self.scale[:, None]
        return W.astype(np.float32), (b - self.mean @ W).astype(np.float32)


def last_levels(
    X: NDArray[np.float32], blocks: Sequence[Block], n_levels: int
) -> tuple[NDArray[np.float32], list[Block]]:
    """The columns of the last feature levels, a view, and the block of each in it."""
    chosen = blocks[-n_levels:]
    start = chosen[0].start
    return X[:, start:], [slice(block.start - start, block.stop - start) for block in chosen]


def row_chunks(X: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """X (n, d) in views of at most 1,024 rows."""
    return [X[i : i + _ROWS] for i in range(0, len(X), _ROWS)]


def fit_scaling(
    X: NDArray[np.float32], blocks: Sequence[Block]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and scale of each column, float32 (d,), such that the mean squared norm of a row is 1."""
    mean = X.mean(axis=0, dtype=np.float64)
    variance = np.zeros(X.shape[1])
    for part in row_chunks(X):
        variance += ((part - mean) ** 2).sum(axis=0) / len(X)
    scale = np.zeros(X.shape[1])
    for block in blocks:
        spread = float(np.sqrt(variance[block].mean()))
        if spread > 1e-6:  # a block that is constant is dropped
            scale[block] = 1 / (spread * np.sqrt((block.stop - block.start) * len(blocks)))
    return mean.astype(np.float32), scale.astype(np.float32)


def gram_matrix(
    X: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Gram matrix of the centred and scaled columns of X (n, d): float32 (d, d)."""
    gram = np.zeros((X.shape[1], X.shape[1]), np.float32)
    for part in row_chunks(X):
        centred = (part - mean) * scale
        gram += centred.T @ centred
    return gram


def fit_pca(X: NDArray[np.float32], blocks: Sequence[Block]) -> PCABasis:
    """Fit principal components.

    Parameters
    ----------
    X : float32 ndarray of shape (n, d)
    blocks : sequence of slice
        The columns of each feature level; together they cover all d.

    Returns
    -------
    PCABasis
        With r <= min(n, d, 1536) components.
    """
    import scipy.linalg

    n, d = X.shape
    mean, scale = fit_scaling(X, blocks)
    if n <= d:
        rows = (X - mean) * scale
        gram = rows @ rows.T
    else:
        gram = gram_matrix(X, mean, scale)
    size = len(gram)
    # the few that are wanted of many take a third longer than all, in half of the memory
    few: dict[str, Any] = {"driver": "evr", "subset_by_index": (size - _MOST, size - 1)}
    how = few if size > _MOST else {"driver": "evd"}
    energy, vectors = scipy.linalg.eigh(gram.T, overwrite_a=True, check_finite=False, **how)  # .T: no copy
    keep = energy > max(float(energy[-1]), 0.0) * _CUT
    energy, vectors = energy[keep][::-1], np.ascontiguousarray(vectors[:, keep][:, ::-1], np.float32)
    del gram
    basis = rows.T @ (vectors / np.sqrt(energy)) if n <= d else vectors
    z = np.empty((n, len(energy)), np.float32)
    for start, part in zip(range(0, n, _ROWS), row_chunks(X), strict=True):
        z[start : start + _ROWS] = ((part - mean) * scale) @ basis
    return PCABasis(mean, scale, basis, z)
