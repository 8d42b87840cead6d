"""Multinomial logistic regression with an L2 penalty, on PCA coordinates.

For coordinates z_i, weights w_i and classes y_i it minimises, over A (r, K) and b (K,),

    sum_i w_i * -log softmax(z_i A + b)[y_i] / sum_i w_i  +  l2 / 2 * |A|^2

by L-BFGS. The coordinates are uncorrelated, so the Hessian is bounded by a diagonal matrix
(Boehning 1992): h * e_j + l2 for coordinate j, with e_j its mean square and
h = (1 - 1/K) / K. Solving in A_j * sqrt(h e_j + l2) makes all directions equally curved and
saves most iterations. Products are float32, sums and the solver float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_logistic"]

_GRADIENT = 1e-5  # largest gradient entry, and
_GAIN = 1e-8  # relative gain of a step, at which to stop: where float32 products end
_ITERATIONS = 500


def fit_logistic(
    z: NDArray[np.float32],
    y: NDArray[np.intp],
    weight: NDArray[np.float64],
    classes: int,
    l2: float,
    init: NDArray[np.float64] | None = None,
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

    Returns
    -------
    float64 ndarray of shape (r + 1, K)
        A, and b in the last row.
    """
    import scipy.optimize

    n, r = z.shape
    w64 = weight / weight.sum()
    w = w64.astype(np.float32)
    curvature = (1 - 1 / classes) / classes
    energy = np.einsum("ij,ij,i->j", z, z, w, dtype=np.float64)
    metric = np.ones((r + 1, 1))
    metric[:r, 0] = 1 / np.sqrt(curvature * energy + l2)
    rows = np.arange(n)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = flat.reshape(r + 1, classes) * metric
        logits: NDArray[Any] = z @ theta[:r].astype(np.float32)
        logits += theta[r].astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[rows, y]
        np.exp(logits, out=logits)
        mass = logits.sum(axis=1)
        loss = float(w64 @ (np.log(mass) - right)) + l2 / 2 * float((theta[:r] ** 2).sum())
        logits /= mass[:, None]
        logits[rows, y] -= 1
        logits *= w[:, None]
        gradient = np.empty_like(theta)
        gradient[:r] = (z.T @ logits) + l2 * theta[:r]
        gradient[r] = logits.sum(axis=0, dtype=np.float64)
        return loss, (gradient * metric).ravel()

    first = np.zeros((r + 1, classes)) if init is None else init / metric
    found = scipy.optimize.minimize(
        objective,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "gtol": _GRADIENT, "ftol": _GAIN, "maxcor": 20},
    )
    solution: NDArray[np.float64] = found.x.reshape(r + 1, classes) * metric
    return solution
