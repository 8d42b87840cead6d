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
photo that shows a style more than 97.5 % of the training photos do is also scored without the shift, and less
what held-out views of the style need to be accepted, so that one that is odd in its style only is not odd
(benchmarks/camera.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.rejection import PhotoStyles, order_statistic
from .pca import Block, Rows, fit_scaling, principal_components, row_chunks

__all__ = [
    "COMPONENTS",
    "Parts",
    "RelativeMahalanobis",
    "StyleViews",
    "distance_of",
    "fit_distance",
    "fit_styles",
    "whitening_matrix",
]

COMPONENTS = 128
"""Main directions in which covariances are exact; and"""
_SHRINKAGE = 0.5  # both by benchmarks/outliers.py
_USUAL = 0.975  # share of the photos that no style is seen in: as many as the limit of the score accepts
_VIEWS_ACCEPTED = 0.95  # share of held-out views of a style that its allowance accepts
_LEAST = 1e-6  # floor of the variance, which is 1 on average: identical photos have none


@dataclass(frozen=True, eq=False)
class StyleViews:
    """Views of some of the photos that a score is fitted to, as another camera would have taken them.

    Parameters
    ----------
    names : tuple of str
        Of the S styles, such as "grey".
    photo, style : int ndarray (m,)
        Row of the photo, and style, 0..S-1, of each view.
    rows : float32 ndarray (m, D)
        Features of the views.
    shifts : float32 ndarray (S, D)
        Mean change from a photo to its view.
    """

    names: tuple[str, ...]
    photo: NDArray[np.intp]
    style: NDArray[np.intp]
    rows: NDArray[np.float32]
    shifts: NDArray[np.float32]

    def take(self, photos: NDArray[np.bool_]) -> StyleViews:
        """The views of some of the photos, bool (n,), whose rows are then counted anew; the shifts stay."""
        kept = photos[self.photo]
        place = np.cumsum(photos) - 1
        return replace(self, photo=place[self.photo[kept]], style=self.style[kept], rows=self.rows[kept])


class Parts(NamedTuple):
    """What an outlier score is made of, (n,) each."""

    plain: NDArray[np.float32]
    """Score of a photo as it is."""
    styled: NDArray[np.float32]
    """Its score without the style that it shows most."""
    margin: NDArray[np.float32]
    """How much it shows that."""
    style: NDArray[np.intp]
    """Which that is."""

    @staticmethod
    def empty(n: int) -> Parts:
        """All NaN, for n photos."""
        plain, styled, margin = np.full((3, n), np.nan, np.float32)
        return Parts(plain, styled, margin, np.zeros(n, np.intp))

    def take(self, rows: NDArray[np.bool_]) -> Parts:
        """Those of some photos."""
        return Parts(self.plain[rows], self.styled[rows], self.margin[rows], self.style[rows])

    def put(self, rows: NDArray[np.bool_], parts: Parts) -> None:
        """Fill in those of some photos."""
        self.plain[rows], self.styled[rows] = parts.plain, parts.styled
        self.margin[rows], self.style[rows] = parts.margin, parts.style


@dataclass(frozen=True)
class RelativeMahalanobis:
    """Parameters of the score of features x (D,).

    With z = (x - mean) * scale and u = z @ basis, a photo as it is has the score
    s(x) = min_c |u @ within - centres_c|^2 - |u @ total|^2 + outside * (|z|^2 - |u|^2).
    The outlier score is s(x) or, where `styles` sees style k in x, min(s(x), s(x - shifts_k) - allowances_k).

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
    allowances : float32 ndarray (S,)
        By how much views of each style are odder than photos; below 0 where they are less odd.
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
    allowances: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outlier score of each row of X (n, D): float32 (n,), higher for more unusual; may be negative."""
        return self.combine(self.parts(X))

    def parts(self, X: NDArray[np.float32], rows: Rows = None) -> Parts:
        """What the outlier scores of rows of X (n, D), all by default, are made of."""
        out = [Parts.empty(0)]
        for part in row_chunks(X, rows):
            score = self._as_it_is(part)
            if self.styles is None:
                never = np.full(len(part), -np.inf, np.float32)
                out.append(Parts(score, score, never, np.zeros(len(part), np.intp)))
                continue
            margins = self.styles.margins(part)
            style = margins.argmax(axis=1)
            styled = self._as_it_is(part - self.shifts[style])
            out.append(Parts(score, styled, margins.max(axis=1), style))
        return Parts(*(np.concatenate(arrays) for arrays in zip(*out, strict=True)))

    def combine(self, parts: Parts) -> NDArray[np.float32]:
        """Outlier scores (n,) of their parts."""
        if self.styles is None:
            return parts.plain
        allowed = np.minimum(parts.plain, parts.styled - self.allowances[parts.style])
        return np.where(parts.margin > self.styles.limit, allowed, parts.plain)

    def calibrate_styles(
        self, photos: Parts, views: Parts, style: NDArray[np.intp], accepted: float
    ) -> RelativeMahalanobis:
        """The same, with limit and allowances of styles set by held-out photos and views.

        Parameters
        ----------
        photos, views : Parts
            Held-out, (n,) and (m,).
        style : int ndarray (m,)
            That each view is made in.
        accepted : float
            Fraction of the photos that the limit of the score will accept.
        """
        if self.styles is None:
            return self
        limit = max(0.0, order_statistic(photos.margin, _USUAL))
        most = order_statistic(photos.plain, accepted)
        scores = np.minimum(views.plain, views.styled)
        needed = [
            order_statistic(scores[style == k], _VIEWS_ACCEPTED) if (style == k).any() else most
            for k in range(len(self.shifts))
        ]
        allowances = np.array(needed, np.float32) - np.float32(most)
        return self.with_styles_at(limit, allowances)

    def calibrated_as(self, other: RelativeMahalanobis) -> RelativeMahalanobis:
        """The same, with limit and allowances of the styles of another, which must be as many."""
        return self if other.styles is None else self.with_styles_at(other.styles.limit, other.allowances)

    def with_styles_at(self, limit: float, allowances: NDArray[np.float32]) -> RelativeMahalanobis:
        """The same, with this limit and these allowances (S,) of its styles, where it has any."""
        if self.styles is None:
            return self
        return replace(self, styles=replace(self.styles, limit=limit), allowances=allowances)

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
    views: StyleViews | None = None,
    rows: Rows = None,
) -> RelativeMahalanobis:
    """Fit the score to rows X (n, D) of classes y (n,), with one block of columns for each feature level.

    `rows` are indices of those to fit to, all by default.
    """
    d = X.shape[1]
    classes, y = np.unique(y if rows is None else y[rows], return_inverse=True)
    n, counts = len(y), np.bincount(y)
    mean, scale = fit_scaling(X, blocks, rows)
    basis = np.zeros((d, max(1, min(COMPONENTS, n - 1, d))), np.float32)
    found = principal_components(X, mean, scale, basis.shape[1], rows)
    basis[:, : found.shape[1]] = found
    u, one_hot = np.empty((n, basis.shape[1])), np.eye(len(classes), dtype=np.float32)
    means, energy = np.zeros((len(classes), d)), 0.0
    for out, of, part in zip(row_chunks(u), row_chunks(y), row_chunks(X, rows), strict=True):
        z = (part - mean) * scale
        out[:] = z @ basis
        means += one_hot[of].T @ z
        energy += float((z**2).sum(dtype=np.float64)) / n
    means /= counts[:, None]
    scatter, centres = u.T @ u, means @ basis
    for part, of in zip(row_chunks(u), row_chunks(y), strict=True):
        part -= centres[of]
    model = distance_of(mean, scale, basis, means, counts, energy, scatter, u.T @ u)
    return model if views is None else fit_styles(model, views.names, views.shifts, energy)


def distance_of(
    mean: NDArray[np.floating],
    scale: NDArray[np.floating],
    basis: NDArray[np.float32],
    means: NDArray[np.float64],
    counts: NDArray[np.int64],
    energy: float,
    scatter: NDArray[np.float64],
    inside: NDArray[np.float64],
) -> RelativeMahalanobis:
    """The score by what it takes to know of the rows.

    Parameters
    ----------
    mean, scale : ndarray (d,)
    basis : float32 ndarray (d, k)
    means : float64 ndarray (K, d)
        Of each class, centred and scaled.
    counts : int ndarray (K,)
        Rows of each class, 1 or more.
    energy : float
        Mean of |z|^2 over the rows z, centred and scaled.
    scatter, inside : float64 ndarray (k, k)
        Sum of u u' over the coordinates u of the rows, centred; and of those from the mean of their class.
    """
    n, d = int(counts.sum()), len(mean)
    spread = max(energy, _LEAST)
    inner = max(energy - float(counts @ (means**2).sum(axis=1)) / n, _LEAST)
    within = _whitening(inside, n, inner, d)
    return RelativeMahalanobis(
        mean.astype(np.float32),
        scale.astype(np.float32),
        basis,
        within.astype(np.float32),
        _whitening(scatter, n, spread, d).astype(np.float32),
        (means @ basis @ within).astype(np.float32),
        max(0.0, (1 / inner - 1 / spread) / _SHRINKAGE),
    )


def fit_styles(
    model: RelativeMahalanobis, names: tuple[str, ...], shifts: NDArray[np.float32], spread: float
) -> RelativeMahalanobis:
    """The same with styles of these shifts (S, D), which have limit and allowances of 0 yet.

    `spread` is the mean of |z|^2 over the rows z that it was fitted to, centred and scaled.
    """
    none = np.zeros(len(names), np.float32)
    styles = _fit_styles(model, names, shifts, max(spread, _LEAST))
    return replace(model, styles=styles, shifts=shifts, allowances=none)


def _fit_styles(
    model: RelativeMahalanobis, names: tuple[str, ...], shifts: NDArray[np.float32], spread: float
) -> PhotoStyles:
    """See a style in a photo x that is nearer to the mean of all photos without it.

    With B the squared distance from that mean by the shrunken covariance, B(x) - B(x - shift) is linear in x.
    """
    z = shifts.astype(np.float64) * model.scale
    u = z @ model.basis
    rest = z - u @ model.basis.T
    weight = 1 / (_SHRINKAGE * spread)
    whitened = u @ model.total
    W = 2 * model.scale[:, None] * (model.basis @ (model.total @ whitened.T) + weight * rest.T)
    b = -(whitened**2).sum(axis=1) - weight * (rest**2).sum(axis=1) - model.mean @ W
    return PhotoStyles(names, W.astype(np.float32), b.astype(np.float32), 0.0)


def whitening_matrix(rows: NDArray[np.float64], variance: float, d: int) -> NDArray[np.float64]:
    """W (k, k) with W W' the inverse of the shrunken covariance, over d.

    `rows` (n, k) are centred, and the first k of d coordinates; `variance` is the sum over all d.
    """
    return _whitening(rows.T @ rows, len(rows), variance, d)


def _whitening(scatter: NDArray[np.float64], n: int, variance: float, d: int) -> NDArray[np.float64]:
    """`whitening_matrix` by the sum of r r' over the n rows r, (k, k)."""
    covariance = (1 - _SHRINKAGE) / n * scatter
    covariance[np.diag_indices_from(covariance)] += _SHRINKAGE * variance / d
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = vectors / np.sqrt(values * d)
    return root
