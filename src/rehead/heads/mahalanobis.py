"""Outlier score of a photo.

The score is the relative Mahalanobis distance (Ren et al. 2021): the squared distance from the
nearest class mean, minus that from the mean of all photos, each measured by its shrunken covariance
(1 - s) S + s tr(S) / d, and divided by the number of features d. Features are those of all levels,
centred and scaled as in `pca`. Covariances are exact in the first principal components and isotropic
outside of them, with the shrunken variance alone: 128 components lose nothing and keep the model file
small. Its AUROC was higher than that of nearest neighbours, energy, confidence and the distance from the
principal subspace (benchmarks/outliers.py).

Another camera moves the features of all photos alike: grey photos differ from coloured ones by much the same
vector, whatever they show. A style is known by that shift, the mean change over views of training photos. A
photo that shows a style more than 97.5 % of the training photos do is also scored without the shift, so that
one that is odd in its style only is not odd (benchmarks/camera.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from ..core.rejection import PhotoStyles, order_statistic
from .pca import Block, fit_scaling, gram_matrix, row_chunks

__all__ = [
    "RelativeMahalanobis",
    "StyleShifts",
    "fit_distance",
    "fit_held_out",
    "held_out_scores",
    "whitening_matrix",
]

_COMPONENTS = 128  # and
_SHRINKAGE = 0.5  # both by benchmarks/outliers.py
_PARALLEL_UP_TO = 2**24  # numbers, 64 MB: each fold copies its rows: those of larger arrays go one by one
_USUAL = 0.975  # share of the photos that no style is seen in: as many as the limit of the score accepts
_LEAST = 1e-6  # floor of the variance, which is 1 on average: identical photos have none


@dataclass(frozen=True, eq=False)
class StyleShifts:
    """What other kinds of photos do to features: the mean change from a photo to its view.

    Parameters
    ----------
    names : tuple of str
        Of the S styles, such as "grey".
    shifts : float32 ndarray (S, D)
    """

    names: tuple[str, ...]
    shifts: NDArray[np.float32]


@dataclass(frozen=True)
class RelativeMahalanobis:
    """Parameters of the score of features x (D,).

    With z = (x - mean) * scale and u = z @ basis, a photo as it is has the score
    s(x) = min_c |u @ within - centres_c|^2 - |u @ total|^2 + outside * (|z|^2 - |u|^2).
    The outlier score is s(x), or, where `styles` sees style k in x, min(s(x), s(x - shifts_k)).

    Parameters
    ----------
    mean, scale : float32 ndarray (D,)
    basis : float32 ndarray (D, k)
        Orthonormal columns, the first principal components.
    within, total : float32 ndarray (k, k)
        Square roots of the inverse covariances, within classes and of all photos.
    centres : float32 ndarray (K, k)
        Class means, in the coordinates of `within`.
    outside : float
        Weight of the squared distance outside of the first principal components, 0 or more.
    styles : PhotoStyles or None
        Sees other kinds of photos; None where none is known.
    shifts : float32 ndarray (S, D)
        What each style adds to x.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]
    within: NDArray[np.float32]
    total: NDArray[np.float32]
    centres: NDArray[np.float32]
    outside: float
    styles: PhotoStyles | None = None
    shifts: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outlier score of each row of X (n, D): float32 (n,), higher for more unusual; may be negative."""
        return self.less_style(*self.parts(X))

    def parts(
        self, X: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores (n,) of rows as they are, and without the style that they show most; how much they do."""
        out = [(np.zeros(0, np.float32),) * 3]
        for part in row_chunks(X):
            score = self._as_it_is(part)
            if self.styles is None:
                out.append((score, score, np.full(len(part), -np.inf, np.float32)))
                continue
            margins = self.styles.margins(part)
            moved = part - self.shifts[margins.argmax(axis=1)]
            out.append((score, self._as_it_is(moved), margins.max(axis=1)))
        plain, styled, margin = (np.concatenate(arrays) for arrays in zip(*out, strict=True))
        return plain, styled, margin

    def less_style(
        self, plain: NDArray[np.float32], styled: NDArray[np.float32], margin: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Outlier scores (n,) of what `parts` gives."""
        limit = np.inf if self.styles is None else self.styles.limit
        return np.where(margin > limit, np.minimum(plain, styled), plain)

    def with_style_limit(self, margin: NDArray[np.float32]) -> RelativeMahalanobis:
        """The same, seeing a style where the margin is above that of 97.5 % of held-out photos, (n,)."""
        if self.styles is None:
            return self
        limit = max(0.0, order_statistic(margin, _USUAL))
        return replace(self, styles=replace(self.styles, limit=limit))

    def _as_it_is(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        z = (X - self.mean) * self.scale
        u = z @ self.basis
        v = u @ self.within
        apart = (self.centres**2).sum(axis=1) - 2 * v @ self.centres.T
        near = (v**2).sum(axis=1) + apart.min(axis=1)
        rest = (z**2).sum(axis=1) - (u**2).sum(axis=1)
        near -= ((u @ self.total) ** 2).sum(axis=1)
        score: NDArray[np.float32] = near + np.float32(self.outside) * rest
        return score


def fit_distance(
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    blocks: Sequence[Block],
    shifts: StyleShifts | None = None,
) -> RelativeMahalanobis:
    """Fit the score to rows X (n, D) of classes y (n,), with one block of columns for each feature level."""
    d = X.shape[1]
    mean, scale = fit_scaling(X, blocks)
    basis = _principal_components(X, mean, scale)
    u = np.concatenate([((part - mean) * scale) @ basis for part in row_chunks(X)]).astype(np.float64)
    classes, y = np.unique(y, return_inverse=True)
    counts = np.bincount(y)
    means = np.zeros((len(classes), d))
    energy = 0.0
    done = 0
    for part in row_chunks(X):
        z = ((part - mean) * scale).astype(np.float64)
        np.add.at(means, y[done : done + len(part)], z)
        energy += float((z**2).sum()) / len(X)
        done += len(part)
    means /= counts[:, None]
    spread = max(energy, _LEAST)
    inner = max(energy - float(counts @ (means**2).sum(axis=1)) / len(X), _LEAST)
    centres = means @ basis
    within = whitening_matrix(u - centres[y], inner, d)
    model = RelativeMahalanobis(
        mean,
        scale,
        basis,
        within.astype(np.float32),
        whitening_matrix(u, spread, d).astype(np.float32),
        (centres @ within).astype(np.float32),
        max(0.0, (1 / inner - 1 / spread) / _SHRINKAGE),
    )
    if shifts is None:
        return model
    return replace(model, styles=_fit_styles(model, shifts, spread), shifts=shifts.shifts)


def _fit_styles(model: RelativeMahalanobis, shifts: StyleShifts, spread: float) -> PhotoStyles:
    """See a style in a photo x that is nearer to the mean of all photos without it.

    With B the squared distance from that mean by the shrunken covariance, B(x) - B(x - shift) is linear in x.
    """
    z = shifts.shifts.astype(np.float64) * model.scale
    u = z @ model.basis
    rest = z - u @ model.basis.T
    weight = 1 / (_SHRINKAGE * spread)
    whitened = u @ model.total
    W = 2 * model.scale[:, None] * (model.basis @ (model.total @ whitened.T) + weight * rest.T)
    b = -(whitened**2).sum(axis=1) - weight * (rest**2).sum(axis=1) - model.mean @ W
    return PhotoStyles(shifts.names, W.astype(np.float32), b.astype(np.float32), 0.0)


def whitening_matrix(rows: NDArray[np.float64], variance: float, d: int) -> NDArray[np.float64]:
    """W (k, k) with W W' the inverse of the shrunken covariance, over d.

    `rows` (n, k) are centred, and the first k of d coordinates; `variance` is the sum over all d.
    """
    covariance = (1 - _SHRINKAGE) * rows.T @ rows / len(rows)
    covariance[np.diag_indices_from(covariance)] += _SHRINKAGE * variance / d
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = vectors / np.sqrt(values * d)
    return root


def _principal_components(
    X: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Orthonormal columns (D, k); columns of zeros beyond the rank of the data."""
    import scipy.linalg

    n, d = X.shape
    count = max(1, min(_COMPONENTS, n - 1, d))
    if n <= d:
        rows = (X - mean) * scale
        last = (n - count, n - 1)
        energy, vectors = scipy.linalg.eigh(rows @ rows.T, subset_by_index=last, check_finite=False)
        basis = rows.T @ (vectors / np.sqrt(np.maximum(energy, 1e-12)))
        basis[:, energy <= energy[-1] * 1e-7] = 0
    else:
        last = (d - count, d - 1)
        _, basis = scipy.linalg.eigh(gram_matrix(X, mean, scale), subset_by_index=last, check_finite=False)
    return np.ascontiguousarray(basis[:, ::-1], dtype=np.float32)


def held_out_scores(
    X: NDArray[np.float32], y: NDArray[np.intp], blocks: Sequence[Block], fold: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Cross-validated outlier scores of the rows of X, float32 (n,); NaN where `fold` is -1."""
    plain, _, _ = _held_out_parts(X, y, blocks, fold, None)
    return plain


def fit_held_out(
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    blocks: Sequence[Block],
    fold: NDArray[np.intp],
    shifts: StyleShifts | None,
) -> tuple[RelativeMahalanobis, NDArray[np.float32]]:
    """The score fitted to all rows, its limit of styles set by held-out ones; and `held_out_scores` by it."""
    plain, styled, margin = _held_out_parts(X, y, blocks, fold, shifts)
    model = fit_distance(X, y, blocks, shifts).with_style_limit(margin[fold >= 0])
    return model, model.less_style(plain, styled, margin)


def _held_out_parts(
    X: NDArray[np.float32],
    y: NDArray[np.intp],
    blocks: Sequence[Block],
    fold: NDArray[np.intp],
    shifts: StyleShifts | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What `parts` gives for each row by the fold that did not see it; NaN where there is none."""
    import threadpoolctl

    parts = np.full((3, len(X)), np.nan, np.float32)

    def run(number: int) -> None:
        out = fold == number
        parts[:, out] = fit_distance(X[~out], y[~out], blocks, shifts).parts(X[out])

    workers = None if X.size <= _PARALLEL_UP_TO else 1
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        list(map_in_order(run, range(int(fold.max()) + 1), threads=workers))
    plain, styled, margin = parts
    return plain, styled, margin
