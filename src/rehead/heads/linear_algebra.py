"""Symmetric matrices by BLAS and LAPACK: numpy's for small ones, scipy's for large ones, in place.

scipy's import takes 0.2 to 0.3 s of processor time, more than all that it saves on a few hundred photos;
beyond, its Cholesky factorisation takes a third of the time of numpy's, and nothing is copied. Matrices are
in the order of Fortran, and of those that scipy fills only the lower triangle holds.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import one_blas_thread

__all__ = ["add_gram", "largest_eigenvectors", "solve_centred"]

_SMALL = (
    512  # rows; the head of 262 photos takes 0.3 s with either, of 1,000 scipy's is quicker by its import
)


@cache
def _scipy() -> Any:
    import scipy.linalg

    one_blas_thread.renew()
    return scipy.linalg


def add_gram(gram: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """A matrix (r, r) plus `rows.T @ rows`, of rows (n, r) of the same type, in its place."""
    if len(gram) <= _SMALL:
        gram += rows.T @ rows
        return gram
    # in place, where numpy's product would be as large as the matrix; rows or rows.T are in Fortran's order
    turned = bool(rows.flags.f_contiguous)
    some = rows if turned else rows.T
    product = _scipy().get_blas_funcs("syrk", (gram,))
    found: NDArray[Any] = product(1.0, some, 1.0, gram, trans=turned, lower=True, overwrite_c=True)
    return found


def largest_eigenvectors(gram: NDArray[np.float32], most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The largest eigenvalues (k,) of a matrix, falling, and their vectors (r, k); `gram` is overwritten."""
    size = len(gram)
    if size <= _SMALL:
        values, vectors = np.linalg.eigh(gram)
    elif size > max(_WHOLE, (most + _EXTRA) * _STEPS):
        values, vectors = _block_krylov(gram, most)
    elif size <= min(_WHOLE, _PART * most):
        values, vectors = _scipy().eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
    else:
        values, vectors = _scipy().eigh(
            gram,
            overwrite_a=True,
            check_finite=False,
            driver="evr",
            subset_by_index=(max(0, size - most), size - 1),
        )
    return values[::-1][:most], vectors[:, ::-1][:, :most]


# a matrix of up to 2,048 rows, of which a quarter is wanted, is decomposed whole, in 0.4 of the time (1,600:
# 0.30 s, 0.68); beyond, the wanted part takes no longer, and half of the memory
_WHOLE, _PART = 2048, 4
# of the block Krylov method: eigenvalues 4e-5 from the exact ones, in 0.45 of the time
_EXTRA, _STEPS = 32, 4


def _block_krylov(gram: NDArray[np.float32], most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The largest eigenvalues, rising, and their vectors (Musco and Musco 2015, algorithm 2)."""
    linalg = _scipy()
    # numpy's QR would copy it in double precision
    qr = partial(linalg.qr, mode="economic", overwrite_a=True, check_finite=False)
    width = most + _EXTRA
    basis = np.empty((len(gram), _STEPS * width), np.float32, order="F")
    block = np.random.default_rng(0).standard_normal((len(gram), width), np.float32)
    for start in range(0, basis.shape[1], width):
        block = qr(linalg.blas.ssymm(1.0, gram, block, lower=True))[0]
        basis[:, start : start + width] = block
    basis = qr(basis)[0]
    values, vectors = linalg.eigh(basis.T @ linalg.blas.ssymm(1.0, gram, basis, lower=True), driver="evd")
    return values[-most:], basis @ vectors[:, -most:]


def solve_centred(
    system: NDArray[Any], mean: NDArray[np.float64], mass: float, right: NDArray[Any]
) -> NDArray[Any]:
    """A (r, K) of (system - mass mean mean') A = right; `system` (r, r) and `right` (r, K) are lost."""
    if len(system) <= _SMALL:
        return np.linalg.solve(system - mass * np.outer(mean, mean), right)
    linalg = _scipy()
    centre = linalg.get_blas_funcs("syr", (system,))
    system = centre(-mass, mean.astype(system.dtype), a=system, lower=1, overwrite_a=1)
    factor = linalg.cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    solution: NDArray[Any] = linalg.cho_solve(factor, right, overwrite_b=True, check_finite=False)
    return solution
