"""Ridge regression of class indicators, in closed form.

For PCA coordinates z_i, weights w_i and one-hot targets y_i it minimises, over A and b,

    sum_i w_i |z_i A + b - y_i|^2 / sum_i w_i  +  l2 * |A|^2

The normal equations of a fold's training rows are those of all rows minus those of its held-out
rows, so one product Z' W Z serves every fold and every l2, each of which then costs one Cholesky
factorisation. One temperature, fitted on the held-out scores, turns scores into probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from .pca import row_chunks
from .temperature import fit_temperature, log_loss

__all__ = ["HeldOut", "fit_ridge", "ridge_path"]


_DOUBLE_UP_TO = 1280  # coordinates; beyond, float32 halves the memory and the matrix is never near singular


class HeldOut(NamedTuple):
    """Held-out logits (n, K) of photos, and their log loss after temperature scaling."""

    logits: NDArray[np.float64]
    loss: float

    @classmethod
    def of(
        cls,
        logits: NDArray[np.float64],
        y: NDArray[np.intp],
        fold: NDArray[np.intp],
        weight: NDArray[np.float64],
    ) -> HeldOut:
        """The loss of logits (n, K), by the first n entries of the others; those of fold -1 do not count."""
        scored = np.flatnonzero(fold[: len(logits)] >= 0)
        known = logits if len(scored) == len(logits) else logits[scored]
        y, weight = y[scored], weight[scored]
        return cls(logits, log_loss(known / fit_temperature(known, y, weight), y, weight))


class _Sums(NamedTuple):
    """Weighted sums over rows: z'z (r, r), z'y (r, K), z (r,), y (K,) and 1."""

    square: NDArray[Any]
    cross: NDArray[Any]
    first: NDArray[Any]
    label: NDArray[Any]
    mass: Any

    @classmethod
    def of(cls, z: NDArray[np.float32], targets: NDArray[np.float64], weight: NDArray[np.float64]) -> _Sums:
        r, k = z.shape[1], targets.shape[1]
        kind = np.float64 if r <= _DOUBLE_UP_TO else np.float32
        square, cross, first = np.zeros((r, r), kind), np.zeros((r, k), kind), np.zeros(r)
        done = 0
        for part in row_chunks(z):
            rows = slice(done, done := done + len(part))
            weighted = part * weight[rows, None].astype(np.float32)
            square += weighted.T @ part
            cross += weighted.T.astype(kind, copy=False) @ targets[rows].astype(kind)
            first += weighted.sum(axis=0, dtype=np.float64)
        return cls(square, cross, first, weight @ targets, weight.sum())

    def solve(self, l2: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A (r, K) and b (K,)."""
        import scipy.linalg

        mean, prior = self.first / self.mass, self.label / self.mass
        if not len(mean):
            return self.cross, prior
        # one triangle of one copy, in place all along: these matrices are most of the memory
        system = self.square.copy().T
        system[np.diag_indices_from(system)] += l2 * self.mass
        centre = scipy.linalg.get_blas_funcs("syr", (system,))
        system = centre(-self.mass, mean.astype(system.dtype), a=system, lower=1, overwrite_a=1)
        factor = scipy.linalg.cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        cross = self.cross - np.outer(self.first, prior)
        A = scipy.linalg.cho_solve(factor, cross, overwrite_b=True, check_finite=False)
        return A, prior - mean @ A


def ridge_path(
    z: NDArray[np.float32],
    y: NDArray[np.intp],
    fold: NDArray[np.intp],
    weight: NDArray[np.float64],
    l2_grid: Iterable[float],
    *,
    photos: int,
) -> Iterator[tuple[float, HeldOut]]:
    """Cross-validated logits at each strength of the penalty, one after the other.

    Parameters
    ----------
    z : float32 ndarray of shape (n, r)
        Coordinates; the first `photos` rows are the photos, the others are mirrored.
    y, fold : int ndarrays of shape (n,)
        Class and fold of each row; rows of fold -1 are always trained on.
    weight : float64 ndarray of shape (n,)
    l2_grid : iterable of float

    Yields
    ------
    l2 : float
    held_out : HeldOut
        Logits are NaN where `fold` is -1.
    """
    targets = np.eye(int(y.max()) + 1)[y]
    numbers = np.unique(fold[fold >= 0])
    rows = {number: np.flatnonzero(fold == number) for number in numbers}
    total = _Sums.of(z, targets, weight)

    def sums(out: NDArray[np.intp]) -> _Sums:
        return _Sums(
            *(a - b for a, b in zip(total, _Sums.of(z[out], targets[out], weight[out]), strict=True))
        )

    training = dict(zip(numbers, map_in_order(sums, rows.values()), strict=True))

    def scores(task: tuple[float, int]) -> NDArray[np.float64]:
        A, b = training[task[1]].solve(task[0])
        out = rows[task[1]]
        logits: NDArray[np.float64] = z[out[out < photos]] @ A + b
        return logits

    l2_grid = tuple(l2_grid)
    solved = map_in_order(scores, [(l2, number) for l2 in l2_grid for number in numbers])
    for l2 in l2_grid:
        logits = np.full((photos, targets.shape[1]), np.nan)
        for number in numbers:
            logits[rows[number][rows[number] < photos]] = next(solved)
        yield l2, HeldOut.of(logits, y, fold, weight)


def fit_ridge(
    z: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], l2: float
) -> NDArray[np.float64]:
    """A, and b in the last row, float64 (r + 1, K), of rows z (n, r) of classes y (n,)."""
    A, b = _Sums.of(z, np.eye(int(y.max()) + 1)[y], weight).solve(l2)
    return np.vstack([A, b]).astype(np.float64)
