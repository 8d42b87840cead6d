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
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pca import Rows, row_chunks

__all__ = ["few_weights", "fit_logistic"]

Vector = NDArray[np.float64]
_Objective = Callable[[Vector], tuple[float, Vector]]

_COPIED_UP_TO = 2**22  # numbers, 16 MB, of rows of a fold that are copied once, instead of by each evaluation
_FEW = 20_000  # weights; above, a fit to the end takes most of a search (benchmarks/RESULTS.md)
_GRADIENT = 1e-5  # largest gradient entry, and
_GAIN = 1e-7  # gain of a step, relative if the loss is above 1, at which to stop (benchmarks/RESULTS.md)
_ITERATIONS = 500
_DECREASE = 1e-4  # share of the slope's promise that a step must keep (Nocedal and Wright 2006, 3.1)
_SHORTEST = 1e-8  # step lengths at which rounding has the say
_BEND = 2.2e-16  # pairs of less curvature are left out, as in L-BFGS-B (Byrd et al. 1995)
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

    Returns
    -------
    float64 ndarray of shape (r + 1, K)
        A, and b in the last row.
    """
    r = z.shape[1]
    if rows is not None and len(rows) * r <= _COPIED_UP_TO:
        z, y, weight, rows = z[rows], y[rows], weight[rows], None
    weight = weight / (weight if rows is None else weight[rows]).sum()
    energy = np.zeros(r)
    for part, w in zip(row_chunks(z, rows), row_chunks(weight, rows), strict=True):
        energy += np.einsum("ij,ij,i->j", part, part, w, dtype=np.float64)
    curvature = (1 - 1 / classes) / classes
    metric = 1 / np.sqrt(np.append(curvature * energy + l2, curvature))[:, None]

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = flat.reshape(r + 1, classes) * metric
        A, b = theta[:r].astype(np.float32), theta[r].astype(np.float32)
        loss, gradient = l2 / 2 * float((theta[:r] ** 2).sum()), l2 * theta
        gradient[r] = 0
        for part, of, w in zip(*(row_chunks(each, rows) for each in (z, y, weight)), strict=True):
            residual: NDArray[Any] = part @ A + b
            residual -= residual.max(axis=1, keepdims=True)
            here = np.arange(len(part)), of
            right = residual[here]
            np.exp(residual, out=residual)
            mass = residual.sum(axis=1)
            loss += float(w @ (np.log(mass) - right))
            residual /= mass[:, None]
            residual[here] -= 1
            residual *= w[:, None].astype(np.float32)
            gradient[:r] += part.T @ residual
            gradient[r] += residual.sum(axis=0, dtype=np.float64)
        return loss, (gradient * metric).ravel()

    first = np.zeros((r + 1, classes)) if init is None else init / metric
    found = _minimise(objective, first.ravel(), gain).reshape(r + 1, classes)
    solution: NDArray[np.float64] = found * metric
    return solution


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
