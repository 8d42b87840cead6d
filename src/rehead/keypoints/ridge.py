"""Ridge regression of coordinates on maps, solved in the span of the views.

With rows x of d standardised numbers for every view and B depths, the Gram matrix of a depth is
X X' / d, and that of several is their mean: its diagonal is 1 on average, so that one grid of strengths
serves every network. For targets Y, with the mean taken off,

    alpha = (K + strength I)^-1 Y,    prediction of a new row = k' alpha

A point that is missing in some views is fitted on the others: columns of Y that are known in the same
views share a factorisation. The held-out error of a strength is that on folds which no photo of the
same person stands outside of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.runtime import cpu_count
from .feature_maps import FeatureMap, Maps

__all__ = [
    "STRENGTHS",
    "DesignMatrix",
    "LinearStage",
    "SearchPoint",
    "fit_stage",
    "held_out_path",
    "make_design",
]

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Tried by the folds. The best was 0.03 to 0.3 on the 68 points (benchmarks/keypoints.py)."""

_COLUMNS = 4096  # numbers of a map standardised at a time: 30 MB for 1,800 views
_FLOOR = 0.1
"""Of the median standard deviation of a map's numbers: those that vary less are not blown up, or a new photo
in which they do vary would throw the points far off."""
_MARGIN = 0.1  # of the range of the training photos: how far beyond it a coordinate of the shape may go
_RESIDUE = 0.25  # of the held-out error: what the low rank of the weights may change, root mean square.
# On unseen people the error falls a little by it, 1.019 to 1.012 % of the side (benchmarks/keypoints.py)

Halves = NDArray[np.float16]


@dataclass(frozen=True)
class DesignMatrix:
    """Views, ready for regression: `rows` view after view, `mean`, `scale` and `gram` for each site."""

    maps: Maps
    mean: tuple[NDArray[np.float32], ...]
    scale: tuple[NDArray[np.float32], ...]
    gram: tuple[NDArray[np.float32], ...]

    def kernel(self, sites: Sequence[FeatureMap], views: int) -> NDArray[np.float32]:
        """Mean Gram matrix of these sites over the first `views` views, float32 (views n, views n)."""
        m = views * self.maps.rows[0].shape[1]
        used = [self.gram[self.maps.sites.index(site)][:m, :m] for site in sites]
        return np.asarray(sum(used) / np.float32(len(used)))


@dataclass(frozen=True)
class SearchPoint:
    """One candidate: depths, how many views of each photo, strength; and its error on held-out folds."""

    sites: tuple[FeatureMap, ...]
    views: int
    l2: float
    error: float

    @property
    def name(self) -> str:
        """How the report calls it."""
        return f"{' + '.join(site.name for site in self.sites)}, {self.views} view{'s'[: self.views != 1]}"


@dataclass(frozen=True)
class LinearStage:
    """A fitted map from maps to points: mean + clip(sum over taps of map @ weights + bias) @ basis.

    What is clipped are coordinates of the shape, to a little more than the training photos show: a photo of
    another kind gets an odd shape, not points at infinity.

    Parameters
    ----------
    levels : tuple of str
    weights : tuple of float32 ndarray (d, r), one a tap
    bias, low, high : float32 ndarray (r,)
        What is added, and the limits.
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


def make_design(maps: Maps) -> DesignMatrix:
    """Standardise every number of the maps over all views, and take the Gram matrices."""
    parts = [_site_design(rows.reshape(rows.shape[0] * rows.shape[1], -1)) for rows in maps.rows]
    mean, scale, gram = zip(*parts, strict=True)
    return DesignMatrix(maps, mean, scale, gram)


def _site_design(rows: Halves) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    m, d = rows.shape
    mean, spread = np.empty(d, np.float32), np.empty(d, np.float32)
    gram = np.zeros((m, m), np.float32)
    parts = [slice(start, start + _COLUMNS) for start in range(0, d, _COLUMNS)]
    for part in parts:
        x = rows[:, part].astype(np.float32)
        mean[part], spread[part] = x.mean(axis=0), x.std(axis=0)
    least = max(_FLOOR * float(np.median(spread)), float(np.finfo(np.float32).tiny))
    scale = np.where(spread > 0, 1 / np.maximum(spread, least), 0).astype(np.float32)

    def product(part: slice) -> NDArray[np.float32]:
        x = (rows[:, part].astype(np.float32) - mean[part]) * scale[part]
        return x @ x.T

    with _one_thread_each(), ThreadPoolExecutor(cpu_count()) as pool:
        for part_of_gram in pool.map(product, parts):
            gram += part_of_gram
    return mean, scale, gram / np.float32(d)


def _one_thread_each() -> Any:
    """Matrix products on one thread: several at once would wait for each other (ADR 3)."""
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1, user_api="blas")


def solve_dual(
    kernel: NDArray[np.float32], targets: NDArray[np.float64], l2: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Dual weights alpha (m, q) and mean (q,) of targets (m, q), NaN where not known; alpha is 0 there."""
    from scipy.linalg import cho_factor, cho_solve

    known = ~np.isnan(targets)
    count = known.sum(axis=0)
    mean = np.where(known, targets, 0).sum(axis=0) / np.maximum(count, 1)
    alpha = np.zeros(targets.shape, np.float32)
    patterns: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(count).tolist():
        patterns.setdefault(np.packbits(known[:, column]).tobytes(), []).append(column)
    for same in patterns.values():
        columns = np.array(same)
        rows = np.flatnonzero(known[:, columns[0]])
        system = kernel[np.ix_(rows, rows)]
        system[np.diag_indices_from(system)] += np.float32(l2)
        wanted = (targets[np.ix_(rows, columns)] - mean[columns]).astype(np.float32)
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        alpha[np.ix_(rows, columns)] = cho_solve(factor, wanted, check_finite=False)
    return alpha, mean


def held_out_path(
    design: DesignMatrix,
    targets: NDArray[np.float64],
    fold: NDArray[np.intp],
    candidates: Iterable[tuple[tuple[FeatureMap, ...], int]],
    strengths: Sequence[float] = STRENGTHS,
) -> list[tuple[SearchPoint, NDArray[np.float64]]]:
    """Errors of candidates on folds that did not see the photos.

    Parameters
    ----------
    design : DesignMatrix
        V views of n photos.
    targets : float64 ndarray (V, n, 2K)
        NaN where not known.
    fold : int ndarray (n,)
        -1: always trained on.
    candidates : iterable of (sites, views)

    Returns
    -------
    list of (SearchPoint, float64 ndarray (n, 2K))
        Predictions of the first view are NaN where `fold` is -1; the error is their mean absolute one.
    """
    found = []
    for sites, views in candidates:
        kernel = design.kernel(sites, views)
        held = _held_out(kernel, targets[:views], fold, strengths)
        for l2, predicted in zip(strengths, held, strict=True):
            error = float(np.nanmean(np.abs(predicted - targets[0])))
            found.append((SearchPoint(tuple(sites), views, l2, error), predicted))
    return found


def _held_out(
    kernel: NDArray[np.float32],
    targets: NDArray[np.float64],
    fold: NDArray[np.intp],
    strengths: Sequence[float],
) -> NDArray[np.float64]:
    """Predictions (strengths, n, 2K) of the first view of each photo by the folds that it is not in."""
    views, n, q = targets.shape
    flat = targets.reshape(views * n, q)
    of = np.tile(fold, views)
    out = np.full((len(strengths), n, q), np.nan)

    def run(job: tuple[int, int]) -> None:
        number, place = job
        shown, learnt = np.flatnonzero(fold == number), np.flatnonzero(of != number)
        alpha, mean = solve_dual(kernel[np.ix_(learnt, learnt)], flat[learnt], strengths[place])
        out[place, shown] = kernel[np.ix_(shown, learnt)] @ alpha + mean

    jobs = [(number, place) for number in range(int(fold.max()) + 1) for place in range(len(strengths))]
    with _one_thread_each(), ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(run, jobs))
    return out


def fit_stage(design: DesignMatrix, targets: NDArray[np.float64], chosen: SearchPoint) -> LinearStage:
    """Weights of the chosen candidate, of all photos, (V, n, 2K) targets.

    Shapes have far fewer ways to vary than coordinates, so weights are kept at the lowest rank that changes
    the predictions by less than a quarter of the held-out error: for 68 points the rank is about 20, and a
    file of 38 MB becomes one of 14 MB.
    """
    views, n = chosen.views, targets.shape[1]
    m = views * n
    kernel = design.kernel(chosen.sites, views)
    alpha, mean = solve_dual(kernel, targets[:views].reshape(m, -1), chosen.l2)
    fitted = (kernel @ alpha).astype(np.float64)
    _, energy, basis = np.linalg.svd(fitted, full_matrices=False)
    tail = np.sqrt(np.append(np.cumsum((energy**2)[::-1])[::-1], 0) / (m * alpha.shape[1]))
    rank = max(1, int(np.argmax(tail <= _RESIDUE * chosen.error)))
    dual = alpha @ basis[:rank].T.astype(np.float32)
    shown = fitted @ basis[:rank].T
    low, high = shown.min(axis=0), shown.max(axis=0)
    beyond = _MARGIN * (high - low)
    weights, bias = [], np.zeros(rank)
    for site in chosen.sites:
        place = design.maps.sites.index(site)
        rows = design.maps.rows[place].reshape(-1, site.size)[:m]
        weight = np.empty((site.size, rank), np.float32)
        for start in range(0, site.size, _COLUMNS):
            part = slice(start, start + _COLUMNS)
            x = (rows[:, part].astype(np.float32) - design.mean[place][part]) * design.scale[place][part]
            weight[part] = (x.T @ dual) * (design.scale[place][part, None] / (site.size * len(chosen.sites)))
        bias -= design.mean[place].astype(np.float64) @ weight
        weights.append(weight)
    return LinearStage(
        tuple(site.name for site in chosen.sites),
        tuple(weights),
        bias.astype(np.float32),
        (low - beyond).astype(np.float32),
        (high + beyond).astype(np.float32),
        basis[:rank].astype(np.float32),
        mean.astype(np.float32),
    )
