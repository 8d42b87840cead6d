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
from .linear_algebra import add_gram, solve_centred
from .pca import Rows, row_chunks
from .temperature import fit_temperature, log_loss

__all__ = ["HeldOut", "fit_ridge", "linear_logits", "ridge_path"]


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
    """Weighted sums over rows: z'z (r, r), its lower triangle alone, z'y (r, K), z (r,), y (K,) and 1."""

    square: NDArray[Any]
    cross: NDArray[Any]
    first: NDArray[Any]
    label: NDArray[Any]
    mass: Any

    @classmethod
    def of(
        cls,
        z: NDArray[np.float32],
        y: NDArray[np.intp],
        classes: int,
        weight: NDArray[np.float64],
        rows: Rows = None,
    ) -> _Sums:
        r = z.shape[1]
        kind = np.float64 if r <= _DOUBLE_UP_TO else np.float32
        square, cross = np.zeros((r, r), kind, order="F"), np.zeros((r, classes), kind)
        first, label = np.zeros(r), np.zeros(classes)
        one_hot = np.eye(classes)
        for part, of, w in zip(*(row_chunks(each, rows) for each in (z, y, weight)), strict=True):
            root = part * np.sqrt(w)[:, None].astype(np.float32)
            if kind is np.float64:
                square += (root.T @ root).T
            else:
                square = add_gram(square, root)
            targets = one_hot[of] * w[:, None]
            cross += part.T.astype(kind, copy=False) @ targets.astype(kind)
            first += w @ part.astype(np.float64)
            label += targets.sum(axis=0)
        return cls(square, cross, first, label, label.sum())

    def without(self, other: _Sums) -> _Sums:
        """The sums over the other rows, in place of those of `other`."""
        np.subtract(self.square, other.square, out=other.square)
        rest = (a - b for a, b in zip(self[1:], other[1:], strict=True))
        return _Sums(other.square, *rest)

    def solve(self, l2: float, *, last: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A (r, K) and b (K,); the `last` time in place."""
        mean, prior = self.first / self.mass, self.label / self.mass
        if not len(mean):
            return self.cross, prior
        # one triangle of one copy, in place all along: these matrices are most of the memory
        system = self.square if last else self.square.copy(order="F")
        system[np.diag_indices_from(system)] += l2 * self.mass
        A = solve_centred(system, mean, self.mass, self.cross - np.outer(self.first, prior))
        return A, prior - mean @ A


def linear_logits(
    z: NDArray[np.float32], A: NDArray[Any], b: NDArray[Any], rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """z A + b, float64 (m, K), of some rows of z (n, r), which are not copied as a whole."""
    logits = np.empty((len(rows), A.shape[1]))
    for out, part in zip(row_chunks(logits), row_chunks(z, rows), strict=True):
        out[:] = part @ A + b
    return logits


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
    classes = int(y.max()) + 1
    numbers = np.unique(fold[fold >= 0])
    rows = {number: np.flatnonzero(fold == number) for number in numbers}
    total = _Sums.of(z, y, classes, weight)

    def sums(out: NDArray[np.intp]) -> _Sums:
        return total.without(_Sums.of(z, y, classes, weight, out))

    l2_grid = tuple(l2_grid)
    once = len(l2_grid) == 1  # then no fold's sums are kept
    training = {} if once else dict(zip(numbers, map_in_order(sums, rows.values()), strict=True))

    def scores(task: tuple[float, int]) -> NDArray[np.float64]:
        l2, out = task[0], rows[task[1]]
        A, b = sums(out).solve(l2, last=True) if once else training[task[1]].solve(l2)
        return linear_logits(z, A, b, out[out < photos])

    solved = map_in_order(scores, [(l2, number) for l2 in l2_grid for number in numbers])
    for l2 in l2_grid:
        logits = np.full((photos, classes), np.nan)
        for number in numbers:
            logits[rows[number][rows[number] < photos]] = next(solved)
        yield l2, HeldOut.of(logits, y, fold, weight)


def fit_ridge(
    z: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], l2: float
) -> NDArray[np.float64]:
    """A, and b in the last row, float64 (r + 1, K), of rows z (n, r) of classes y (n,)."""
    A, b = _Sums.of(z, y, int(y.max()) + 1, weight).solve(l2, last=True)
    return np.vstack([A, b]).astype(np.float64)
