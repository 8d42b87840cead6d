"""Multinomial logistic regression with an L2 penalty, on PCA coordinates.

For coordinates z_i, weights w_i and classes y_i it minimises, over A (r, K) and b (K,),

    sum_i w_i * -log softmax(z_i A + b)[y_i] / sum_i w_i  +  l2 / 2 * |A|^2

by L-BFGS (Nocedal and Wright 2006, algorithm 7.5). The coordinates are uncorrelated, so the Hessian
is close to a diagonal matrix: h * e_j + l2 for coordinate j, with e_j its mean square and
h = (1 - 1/K) / K, the curvature where all classes are equally likely, and h for the intercept.
Solving in A_j * sqrt(h e_j + l2) and b * sqrt(h) makes all directions about equally curved and saves
most iterations. Products are float32, sums and the solver float64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from .pca import MOST, Rows, main_directions, row_chunks
from .statistics import Statistics

__all__ = ["FINE", "ROUGH", "Labelled", "Passes", "few_weights", "fit_logistic", "fit_streamed"]

Vector = NDArray[np.float64]
Labelled: TypeAlias = tuple[NDArray[np.float32], NDArray[np.intp]]
"""Rows (m, d), and their classes (m,)."""

_Objective = Callable[[Vector], tuple[float, Vector]]

_COPIED_UP_TO = 2**22  # numbers, 16 MB, of rows of a fold that are copied once, instead of by each evaluation
_FEW = 20_000  # weights; above, a fit to the end takes most of a search (benchmarks/RESULTS.md)
_GRADIENT = 1e-5  # largest gradient entry, and
_GAIN = 1e-7  # gain of a step, relative if the loss is above 1, at which to stop (benchmarks/RESULTS.md)
_ITERATIONS = 500
_DECREASE = 1e-4  # share of the slope's promise that a step must keep (Nocedal and Wright 2006, 3.1)
_SHORTEST = 1e-8  # step lengths at which rounding has the say
_BEND = 2.2e-16  # pairs of less curvature are left out, as in L-BFGS-B (Byrd et al. 1995)
ROUGH = 1e-4  # gain of the loss at which fits of many weights stop while searching, and
FINE = 1e-5  # the fit on all rows; both cost 0 to 0.24 % of the loss (benchmarks/RESULTS.md, "Many classes")
_MEMORY = 10  # steps that L-BFGS remembers; 20 took as many iterations


def few_weights(coordinates: int, classes: int) -> bool:
    """Whether fits of so many coordinates and classes are quick enough to go to the end each time."""
    return (coordinates + 1) * classes <= _FEW


def fit_logistic(
    z: NDArray[np.float32],
    y: NDArray[np.intp],
    weight: NDArray[np.float64],
    classes: int,
    l2: float,
    init: NDArray[np.float64] | None = None,
    *,
    rows: Rows = None,
    gain: float = _GAIN,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Fit one logistic regression.

    Parameters
    ----------
    z : float32 ndarray of shape (n, r)
    y : int ndarray of shape (n,)
        Classes, 0..K-1.
    weight : float64 ndarray of shape (n,)
    classes : int
        K, 2 or more.
    l2 : float
        Strength of the penalty, per unit of mean loss; positive.
    init : float64 ndarray of shape (r + 1, K), optional
        Initial value, such as the solution of a similar problem.
    rows : int ndarray of shape (m,), optional
        The rows to fit to, all by default.
    gain : float
        Stop at a step that lowers the mean loss, nats, by less, relative if the loss is above 1.
    threads : int
        That share the rows of an evaluation, if there are more than 16 MB of them.

    Returns
    -------
    float64 ndarray of shape (r + 1, K)
        A, and b in the last row.
    """
    r = z.shape[1]
    if (len(z) if rows is None else len(rows)) * r <= _COPIED_UP_TO:
        threads = 1
        if rows is not None:
            z, y, weight, rows = z[rows], y[rows], weight[rows], None
    weight = weight / (weight if rows is None else weight[rows]).sum()
    energy = np.zeros(r)
    for part, w in zip(row_chunks(z, rows), row_chunks(weight, rows), strict=True):
        energy += np.einsum("ij,ij,i->j", part, part, w, dtype=np.float64)
    curvature = (1 - 1 / classes) / classes
    metric = 1 / np.sqrt(np.append(curvature * energy + l2, curvature))[:, None]
    shares: list[Rows] = [rows]
    if threads > 1:
        shares = [*np.array_split(np.arange(len(z)) if rows is None else rows, threads)]

    def objective(flat: Vector) -> tuple[float, Vector]:
        theta = flat.reshape(r + 1, classes) * metric
        coefficients = theta.astype(np.float32)

        def of(share: Rows) -> tuple[float, Vector]:
            return _loss_and_gradient(coefficients, z, y, weight, share)

        loss, gradient = l2 / 2 * float((theta[:r] ** 2).sum()), l2 * theta
        gradient[r] = 0
        for part, slope in map_in_order(of, shares) if threads > 1 else map(of, shares):
            loss += part
            gradient += slope
        return loss, (gradient * metric).ravel()

    first = np.zeros((r + 1, classes)) if init is None else init / metric
    found = _minimise(objective, first.ravel(), gain).reshape(r + 1, classes)
    solution: NDArray[np.float64] = found * metric
    return solution


def _loss_and_gradient(
    theta: NDArray[np.float32],
    z: NDArray[np.float32],
    y: NDArray[np.intp],
    weight: NDArray[np.float64],
    rows: Rows,
) -> tuple[float, Vector]:
    """Weighted log loss of rows, and its gradient (r + 1, K), without the penalty."""
    loss, gradient = 0.0, np.zeros(theta.shape)
    for part, of, w in zip(*(row_chunks(each, rows) for each in (z, y, weight)), strict=True):
        residual: NDArray[Any] = part @ theta[:-1] + theta[-1]
        residual -= residual.max(axis=1, keepdims=True)
        here = np.arange(len(part)), of
        right = residual[here]
        np.exp(residual, out=residual)
        mass = residual.sum(axis=1)
        loss += float(w @ (np.log(mass) - right))
        residual /= mass[:, None]
        residual[here] -= 1
        residual *= w[:, None].astype(np.float32)
        gradient[:-1] += part.T @ residual
        gradient[-1] += residual.sum(axis=0, dtype=np.float64)
    return loss, gradient


def _minimise(objective: _Objective, x: Vector, gain: float) -> Vector:
    """L-BFGS with a backtracking line search, from x (m,)."""
    value, gradient = objective(x)
    pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=_MEMORY)
    for _ in range(_ITERATIONS):
        if np.abs(gradient).max() <= _GRADIENT:
            break
        direction = _direction(gradient, pairs)
        slope = float(gradient @ direction)
        length = 1.0 if pairs else min(1.0, 1 / float(np.linalg.norm(gradient)))
        tried, changed = objective(x + length * direction)
        while tried > value + _DECREASE * length * slope and length > _SHORTEST:
            # the minimum of the parabola through both values and the slope, between a tenth and a half
            least = -slope * length**2 / (2 * (tried - value - length * slope))
            length = min(max(least, 0.1 * length), 0.5 * length)
            tried, changed = objective(x + length * direction)
        if tried >= value:
            break
        step, turn = length * direction, changed - gradient
        bend, gained = float(step @ turn), value - tried
        x, value, gradient = x + step, tried, changed
        if bend > _BEND * float(turn @ turn):
            pairs.append((step, turn, bend))
        if gained <= gain * max(abs(value), 1.0):
            break
    return x


def _direction(gradient: Vector, pairs: deque[tuple[Vector, Vector, float]]) -> Vector:
    """Minus the gradient times the inverse Hessian that the pairs (step, change of gradient) imply."""
    direction, shares = -gradient, list[float]()
    for step, turn, bend in reversed(pairs):
        shares.append(float(step @ direction) / bend)
        direction -= shares[-1] * turn
    if pairs:
        _, turn, bend = pairs[-1]
        direction *= bend / float(turn @ turn)
    for step, turn, bend in pairs:
        direction += (shares.pop() - float(turn @ direction) / bend) * step
    return direction


@dataclass(frozen=True, eq=False)
class Passes:
    """Rows that are read once an evaluation, and the coordinates in which they are fitted.

    A row x has the coordinates z = ((x - mean) * scale) @ basis, which are never made: coefficients are
    turned into those of x instead, and gradients back.

    Parameters
    ----------
    chunks : callable
        Returns functions that each read some rows: X float32 (m, d) and classes (m,).
    mean, scale : float64 ndarray (d,)
    basis : float64 ndarray (d, r)
        Principal components.
    energy : float64 ndarray (r,)
        Mean square of each coordinate.
    rows, classes : int
    """

    chunks: Callable[[], Iterable[Callable[[], Labelled]]]
    mean: Vector
    scale: Vector
    basis: Vector
    energy: Vector
    rows: int
    classes: int

    @classmethod
    def of(
        cls,
        chunks: Callable[[], Iterable[Callable[[], Labelled]]],
        sums: Statistics,
        blocks: Sequence[slice],
    ) -> Passes:
        """Of rows whose sums are known."""
        mean, scale = sums.scaling(blocks)
        covariance = sums.gram.sum(axis=0) / len(sums) - np.outer(mean, mean)
        covariance *= scale
        covariance *= scale[:, None]
        found, vectors = main_directions(np.asfortranarray(covariance, np.float32), MOST)
        energy, basis = found.astype(np.float64), vectors.astype(np.float64, order="F")
        return cls(chunks, mean, scale, basis, energy, len(sums), len(sums.counts))

    def head(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight (d, K) and bias (K,) on features, of A, and b in the last row, on coordinates (r + 1, K)."""
        weight = self.scale[:, None] * (self.basis @ theta[:-1])
        return weight, theta[-1] - self.mean @ weight

    def loss_and_gradient(self, theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean log loss, and its gradient (r + 1, K), without the penalty."""
        weight, bias = self.head(theta)
        coefficients = np.vstack([weight, bias]).astype(np.float32)

        def part(chunk: Callable[[], Labelled]) -> tuple[float, NDArray[np.float64]]:
            X, y = chunk()
            return _loss_and_gradient(coefficients, X, y, np.ones(len(y)), None)

        loss, of_weight = 0.0, np.zeros(coefficients.shape)
        for value, slope in map_in_order(part, self.chunks()):
            loss += value
            of_weight += slope
        turned = self.basis.T @ (self.scale[:, None] * (of_weight[:-1] - np.outer(self.mean, of_weight[-1])))
        return loss / self.rows, np.vstack([turned, of_weight[-1]]) / self.rows


def fit_streamed(
    passes: Passes, l2: float, init: NDArray[np.float64] | None = None, *, final: bool
) -> NDArray[np.float64]:
    """Fit one logistic regression to rows that are read once an evaluation; A and b, float64 (r + 1, K).

    `final` fits to the end; else it stops where a search can tell.
    """
    r, classes = len(passes.energy), passes.classes
    curvature = (1 - 1 / classes) / classes
    metric = 1 / np.sqrt(np.append(curvature * passes.energy + l2, curvature))[:, None]

    def objective(flat: Vector) -> tuple[float, Vector]:
        theta = flat.reshape(r + 1, classes) * metric
        loss, gradient = passes.loss_and_gradient(theta)
        gradient[:r] += l2 * theta[:r]
        return loss + l2 / 2 * float((theta[:r] ** 2).sum()), (gradient * metric).ravel()

    first = np.zeros((r + 1, classes)) if init is None else init / metric
    found = _minimise(objective, first.ravel(), FINE if final else ROUGH).reshape(r + 1, classes)
    solution: NDArray[np.float64] = found * metric
    return solution
