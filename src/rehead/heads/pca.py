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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from .linear_algebra import add_gram, largest_eigenvectors

__all__ = [
    "MOST",
    "Block",
    "PCABasis",
    "Rows",
    "block_scale",
    "fit_pca",
    "fit_scaling",
    "gram_matrix",
    "last_levels",
    "main_directions",
    "principal_components",
    "row_chunks",
]

Block = slice
"""Columns of one feature level."""

Rows = NDArray[np.intp] | None
"""Indices of the rows (m,) that are meant, None for all: no copy of those of a fold is made."""

_ROWS = 256  # rows at a time, so that no second copy of the features is made, in the processor's cache:
# 5,120 of 6,400 rows, 101 classes, took 38 ms an evaluation gathered so, 43 by 1,024, 40 copied before
MOST = 1536  # components: of 3,088 these explain 99.6 % of the variance, and the log loss rises by 0 to
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
        Coordinates of the rows it was fitted on, its columns uncorrelated; none where they were let go.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]
    z: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def of(self, X: NDArray[np.float32]) -> PCABasis:
        """The same with the coordinates of rows X (n, d)."""
        z = np.empty((len(X), self.basis.shape[1]), np.float32)

        def project(chunk: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
            np.matmul((chunk[1] - self.mean) * self.scale, self.basis, out=chunk[0])

        for _ in map_in_order(project, zip(row_chunks(z), row_chunks(X), strict=True)):
            pass
        return replace(self, z=z)

    def let_go(self) -> PCABasis:
        """The same without coordinates, which are half as large as the features."""
        return PCABasis(self.mean, self.scale, self.basis)

    def weights(self, A: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and bias on features, (d, K) and (K,), of those on coordinates, A (r, K) and b (K,)."""
        W = np.concatenate([part @ A for part in row_chunks(self.basis)]) * self.scale[:, None]
        return W.astype(np.float32), (b - self.mean @ W).astype(np.float32)


def last_levels(
    X: NDArray[np.float32], blocks: Sequence[Block], n_levels: int
) -> tuple[NDArray[np.float32], list[Block]]:
    """The columns of the last feature levels, a view, and the block of each in it."""
    chosen = blocks[-n_levels:]
    start = chosen[0].start
    return X[:, start:], [slice(block.start - start, block.stop - start) for block in chosen]


def row_chunks(X: NDArray[Any], rows: Rows = None) -> Iterator[NDArray[Any]]:
    """X (n, ...) in views of at most 256 rows, or in copies of as many of the rows that are asked for."""
    for start in range(0, len(X) if rows is None else len(rows), _ROWS):
        yield X[start : start + _ROWS] if rows is None else X[rows[start : start + _ROWS]]


def fit_scaling(
    X: NDArray[np.float32], blocks: Sequence[Block], rows: Rows = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and scale of each column, float32 (d,), such that the mean squared norm of a row is 1."""
    n, d = len(X) if rows is None else len(rows), X.shape[1]
    mean, variance = np.zeros((2, d))
    for part in row_chunks(X, rows):
        mean += part.sum(axis=0, dtype=np.float64) / n
    for part in row_chunks(X, rows):
        variance += ((part - mean) ** 2).sum(axis=0) / n
    return mean.astype(np.float32), block_scale(variance, blocks).astype(np.float32)


def block_scale(variance: NDArray[np.float64], blocks: Sequence[Block]) -> NDArray[np.float64]:
    """The scale of each column (d,) by its variance (d,): one for each block, which all weigh the same."""
    scale = np.zeros(len(variance))
    for block in blocks:
        spread = float(np.sqrt(variance[block].mean()))
        if spread > 1e-6:  # a block that is constant is dropped
            scale[block] = 1 / (spread * np.sqrt((block.stop - block.start) * len(blocks)))
    return scale


def gram_matrix(
    X: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32], rows: Rows = None
) -> NDArray[np.float32]:
    """Gram matrix of the centred and scaled columns of X (n, d), or of its rows where they are no more.

    float32 (d, d) or (n, n), in the order of Fortran; only its lower triangle is filled in.
    """
    n, d = len(X) if rows is None else len(rows), X.shape[1]
    gram = np.zeros((min(n, d), min(n, d)), np.float32, order="F")
    if n > d:
        parts = ((part - mean) * scale for part in row_chunks(X, rows))
    else:
        parts = (part.T for _, part in _column_chunks(X, mean, scale, rows))
    for part in parts:
        gram = add_gram(gram, part)
    return gram


def _column_chunks(
    X: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32], rows: Rows
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Centred and scaled columns of X (n, d), 256 at a time, and which they are."""
    for start in range(0, X.shape[1], _ROWS):
        some = slice(start, start + _ROWS)
        part = X[:, some] if rows is None else X[rows, some]
        yield some, (part - mean[some]) * scale[some]


def main_directions(gram: NDArray[np.float32], most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """`largest_eigenvectors`, but for those that are rounding errors."""
    energy, vectors = largest_eigenvectors(gram, most)
    kept = int((energy > max(float(energy[0]), 0.0) * _CUT).sum())
    return energy[:kept], vectors[:, :kept]


def principal_components(
    X: NDArray[np.float32],
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    most: int,
    rows: Rows = None,
) -> NDArray[np.float32]:
    """Orthonormal columns (d, r), by decreasing variance: at most so many, and none without variance."""
    energy, vectors = main_directions(gram_matrix(X, mean, scale, rows), most)
    if (len(X) if rows is None else len(rows)) > X.shape[1]:
        return np.ascontiguousarray(vectors, np.float32)
    vectors = vectors / np.sqrt(energy)
    basis = np.empty((X.shape[1], len(energy)), np.float32)
    for some, part in _column_chunks(X, mean, scale, rows):
        np.matmul(part.T, vectors, out=basis[some])
    return basis


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
    mean, scale = fit_scaling(X, blocks)
    return PCABasis(mean, scale, principal_components(X, mean, scale, MOST)).of(X)
