"""Features in the span of the data.

A linear head with an L2 penalty never leaves the span of its training rows (the representer
theorem), so it is fitted on coordinates in that span: at most as many as there are rows, however
many features there are, and uncorrelated, which is what makes the solvers fast.

Features of one depth ("block") share one scale, their root mean square deviation, and blocks weigh
the same: with X_b centred, X = [X_1 / (s_1 sqrt(B d_1)) ... X_B / (s_B sqrt(B d_B))]. The mean
squared norm of a row is then 1, and one grid of strengths serves every backbone.
Scaling each feature by itself was worse on three data sets of four (benchmarks/head_candidates.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "Span", "span_of"]

Block = slice
"""Columns of one depth."""

_ROWS = 1024  # rows centred and scaled at a time, so that no second copy of the features is made
_CUT = 1e-7  # eigenvalues below this share of the largest are rounding errors of float32 products


@dataclass(frozen=True)
class Span:
    """Coordinates of rows in the span of the data, and the way back.

    z = ((x - mean) * scale) @ basis

    Parameters
    ----------
    mean, scale : float32 ndarray (d,)
    basis : float32 ndarray (d, r)
        Orthonormal columns.
    z : float32 ndarray (n, r)
        The rows it was made from, uncorrelated in the first `fitted` of them.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]
    z: NDArray[np.float32]

    def coordinates(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates (m, r) of rows (m, d)."""
        return np.concatenate([((part - self.mean) * self.scale) @ self.basis for part in _parts(X)])

    def weights(self, A: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Turn a linear map of coordinates, A (r, K) and b (K,), into one of features, (d, K) and (K,)."""
        W = (self.basis.astype(np.float64) @ A) * self.scale[:, None]
        return W.astype(np.float32), (b - self.mean @ W).astype(np.float32)


def _parts(X: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [X[i : i + _ROWS] for i in range(0, len(X), _ROWS)]


def _moments(X: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = X.mean(axis=0, dtype=np.float64)
    square = np.zeros(X.shape[1])
    for part in _parts(X):
        square += ((part - mean) ** 2).sum(axis=0)
    return mean, square / len(X)


def span_of(X: NDArray[np.float32], blocks: Sequence[Block]) -> Span:
    """Coordinates of the rows of X in their own span.

    Parameters
    ----------
    X : float32 ndarray of shape (n, d)
    blocks : sequence of slice
        The columns of each depth; together they cover all d.

    Returns
    -------
    Span
        With r <= min(n, d) coordinates.
    """
    import scipy.linalg

    n, d = X.shape
    mean, variance = _moments(X)
    scale = np.zeros(d)
    for block in blocks:
        width = block.stop - block.start
        spread = float(np.sqrt(variance[block].mean()))
        # a block that never varies says nothing
        scale[block] = 1 / (spread * np.sqrt(width * len(blocks))) if spread > 1e-6 else 0.0
    mean32, scale32 = mean.astype(np.float32), scale.astype(np.float32)
    scaled = [(part - mean32) * scale32 for part in _parts(X)] if n <= d else []
    if n <= d:
        rows = np.concatenate(scaled)
        gram = rows @ rows.T
    else:
        gram = np.zeros((d, d), np.float32)
        for part in _parts(X):
            centred = (part - mean32) * scale32
            gram += centred.T @ centred
    energy, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
    keep = energy > max(float(energy[-1]), 0.0) * _CUT
    energy, vectors = energy[keep][::-1], vectors[:, keep][:, ::-1]
    basis = rows.T @ (vectors / np.sqrt(energy)) if n <= d else vectors
    basis = np.ascontiguousarray(basis, dtype=np.float32)
    z = np.concatenate([((part - mean32) * scale32) @ basis for part in _parts(X)])
    return Span(mean32, scale32, basis, z)
