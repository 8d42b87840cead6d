"""Ridge regression of coordinates on feature maps, in the dual (`heads.kernel_ridge`).

With rows x of d standardised numbers for every view and B levels, the Gram matrix of a level is X X' / d, and
that of several is their mean: its diagonal is 1 on average, so one grid of l2 serves every network. The
held-out error of an l2 is that on folds that keep the photos of a person together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import blas_threads, map_in_order
from ..heads.kernel_ridge import fit_kernel_ridge, kernel_ridge_path
from .feature_maps import ExtractedMaps, FeatureMap

__all__ = [
    "L2_GRID",
    "DesignMatrix",
    "LinearStage",
    "SearchPoint",
    "fit_stage",
    "held_out_path",
    "make_design",
]

L2_GRID = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Tried in cross-validation. The best was 0.03 to 0.3 on the 68 points (benchmarks/keypoints.py)."""

_COLUMNS = 4096  # numbers of a map standardised at a time: 30 MB for 1,800 views
_FLOOR = 0.1
"""Of the median standard deviation of a map's numbers: those that vary less are not scaled up further, as a
new photo in which they do vary would move the points far off."""
_MARGIN = 0.1  # of the range of the training photos: how far beyond it a coefficient of the shape may be
_MAX_RESIDUE = 0.25  # of the held-out error: what the low rank of the weights may change, root mean square.
# On unseen people the error falls a little by it, 1.019 to 1.012 % of the side (benchmarks/keypoints.py)


@dataclass(frozen=True)
class DesignMatrix:
    """Views, ready for regression: mean, scale and Gram matrix of each feature map, rows view after view."""

    maps: ExtractedMaps
    mean: tuple[NDArray[np.float32], ...]
    scale: tuple[NDArray[np.float32], ...]
    gram: tuple[NDArray[np.float32], ...]

    def kernel(self, feature_maps: Sequence[FeatureMap], n_views: int) -> NDArray[np.float32]:
        """Mean Gram matrix of these feature maps over the first V = `n_views` views, float32 (V n, V n)."""
        m = n_views * self.maps.values[0].shape[1]
        used = [self.gram[self.maps.feature_maps.index(feature_map)][:m, :m] for feature_map in feature_maps]
        return np.asarray(sum(used) / np.float32(len(used)))


@dataclass(frozen=True)
class SearchPoint:
    """A candidate: feature maps, views of each photo, l2; and its mean absolute error on held-out folds."""

    feature_maps: tuple[FeatureMap, ...]
    n_views: int
    l2: float
    error: float

    @property
    def name(self) -> str:
        """For the report."""
        levels = " + ".join(feature_map.name for feature_map in self.feature_maps)
        return f"{levels}, {self.n_views} view{'s'[: self.n_views != 1]}"


@dataclass(frozen=True)
class LinearStage:
    """Linear regression from feature maps: mean + clip(sum over levels of map @ weights + bias) @ basis.

    The coefficients of the shape are clipped to a little more than their range in the training photos: an
    outlier gets an odd shape, not points at infinity.

    Parameters
    ----------
    levels : tuple of str
    weights : tuple of float32 ndarray (d, r), one a level
    bias, low, high : float32 ndarray (r,)
        Of the coefficients: what is added, and their limits.
    basis : float32 ndarray (r, 2K)
    mean : float32 ndarray (2K,)
    """

    levels: tuple[str, ...]
    weights: tuple[NDArray[np.float32], ...]
    bias: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    basis: NDArray[np.float32]
    mean: NDArray[np.float32]


def make_design(maps: ExtractedMaps) -> DesignMatrix:
    """Standardise every number of the maps over all views, and take the Gram matrices."""
    parts = [_standardise(values.reshape(values.shape[0] * values.shape[1], -1)) for values in maps.values]
    mean, scale, gram = zip(*parts, strict=True)
    return DesignMatrix(maps, mean, scale, gram)


def _standardise(
    rows: NDArray[np.float16],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean (d,) and scale (d,) of rows (m, d), and the Gram matrix (m, m) of the standardised rows."""
    m, d = rows.shape
    mean, std = np.empty(d, np.float32), np.empty(d, np.float32)
    gram = np.zeros((m, m), np.float32)
    parts = [slice(start, start + _COLUMNS) for start in range(0, d, _COLUMNS)]
    for part in parts:
        x = rows[:, part].astype(np.float32)
        mean[part], std[part] = x.mean(axis=0), x.std(axis=0)
    floor = max(_FLOOR * float(np.median(std)), float(np.finfo(np.float32).tiny))
    scale = np.where(std > 0, 1 / np.maximum(std, floor), 0).astype(np.float32)

    def product(part: slice) -> NDArray[np.float32]:
        x = (rows[:, part].astype(np.float32) - mean[part]) * scale[part]
        return x @ x.T

    # BLAS on one thread: several products at once would wait for each other (ADR 3)
    with blas_threads(1):
        for part_of_gram in map_in_order(product, parts):
            gram += part_of_gram
    return mean, scale, gram / np.float32(d)


def held_out_path(
    design: DesignMatrix,
    targets: NDArray[np.float64],
    fold: NDArray[np.intp],
    candidates: Iterable[tuple[tuple[FeatureMap, ...], int]],
    l2_grid: Sequence[float] = L2_GRID,
) -> list[tuple[SearchPoint, NDArray[np.float64]]]:
    """Held-out errors of candidates at each l2.

    Parameters
    ----------
    design : DesignMatrix
        V views of n photos.
    targets : float64 ndarray (V, n, 2K)
        NaN where not known.
    fold : int ndarray (n,)
        -1: in the training set of every fold.
    candidates : iterable of (feature_maps, n_views)

    Returns
    -------
    list of (SearchPoint, float64 ndarray (n, 2K))
        Predictions of the first view are NaN where `fold` is -1; the error is their mean absolute one.
    """
    found = []
    for feature_maps, n_views in candidates:
        kernel, rows = design.kernel(feature_maps, n_views), targets[:n_views]
        held_out = kernel_ridge_path(
            kernel, rows.reshape(len(kernel), -1), np.tile(fold, n_views), l2_grid, photos=len(fold)
        )
        for l2, predicted in zip(l2_grid, held_out, strict=True):
            error = float(np.nanmean(np.abs(predicted - targets[0])))
            found.append((SearchPoint(tuple(feature_maps), n_views, l2, error), predicted))
    return found


def fit_stage(design: DesignMatrix, targets: NDArray[np.float64], chosen: SearchPoint) -> LinearStage:
    """Fit the chosen candidate on all photos; targets (V, n, 2K).

    Shapes vary in far fewer directions than there are coordinates, so the weights are kept at the lowest rank
    that changes the predictions by less than a quarter of the held-out error: for 68 points the rank is about
    20, and a file of 38 MB becomes one of 14 MB.
    """
    n_views, n = chosen.n_views, targets.shape[1]
    m = n_views * n
    kernel = design.kernel(chosen.feature_maps, n_views)
    alpha, mean = fit_kernel_ridge(kernel, targets[:n_views].reshape(m, -1), chosen.l2)
    fitted = (kernel @ alpha).astype(np.float64)
    _, energy, basis = np.linalg.svd(fitted, full_matrices=False)
    tail = np.sqrt(np.append(np.cumsum((energy**2)[::-1])[::-1], 0) / (m * alpha.shape[1]))
    rank = max(1, int(np.argmax(tail <= _MAX_RESIDUE * chosen.error)))
    dual = alpha @ basis[:rank].T.astype(np.float32)
    coefficients = fitted @ basis[:rank].T
    low, high = coefficients.min(axis=0), coefficients.max(axis=0)
    margin = _MARGIN * (high - low)
    weights, bias = [], np.zeros(rank)
    for feature_map in chosen.feature_maps:
        size, k = feature_map.size, design.maps.feature_maps.index(feature_map)
        rows = design.maps.values[k].reshape(-1, size)[:m]
        weight = np.empty((size, rank), np.float32)
        for start in range(0, size, _COLUMNS):
            part = slice(start, start + _COLUMNS)
            x = (rows[:, part].astype(np.float32) - design.mean[k][part]) * design.scale[k][part]
            weight[part] = (x.T @ dual) * (design.scale[k][part, None] / (size * len(chosen.feature_maps)))
        bias -= design.mean[k].astype(np.float64) @ weight
        weights.append(weight)
    return LinearStage(
        tuple(feature_map.name for feature_map in chosen.feature_maps),
        tuple(weights),
        bias.astype(np.float32),
        (low - margin).astype(np.float32),
        (high + margin).astype(np.float32),
        basis[:rank].astype(np.float32),
        mean.astype(np.float32),
    )
