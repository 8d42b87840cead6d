"""Fitting the two looks: where the points are, and where they are in the square around them.

The second look learns from squares that were cut out by predictions of folds which had not seen the
person, so that it meets the same misalignment in training as later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..core.progress import Progress
from .alignment import IDENTITY, Alignment, align_to, alignment_error, jitter, photo_points, view_points
from .feature_maps import candidate_sites, extract_maps
from .flip import mirrored
from .ridge import LinearStage, SearchPoint, fit_stage, held_out_path, make_design
from .uncertainty import UncertaintyModel, fit_trust

__all__ = ["Cascade", "Options", "Step", "fit_cascade", "spread_in_photos"]


@dataclass(frozen=True)
class Options:
    """What may be chosen; see `KeypointRegressor`."""

    permutation: tuple[int, ...] | None
    cascade: Literal["auto"] | bool
    n_jitter: int
    coverage: float
    seed: int
    threads: int | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Step:
    """A candidate of the search: in which look, and whether it was taken."""

    look: int
    point: SearchPoint
    chosen: bool


@dataclass(frozen=True)
class Cascade:
    """What was fitted.

    Parameters
    ----------
    stages : tuple of LinearStage
        One or two.
    alignment : Alignment
    trust : UncertaintyModel
    path : tuple of Step
    first, held_out : float64 ndarray (n, K, 2)
        Held-out predictions of the first look and of the last, in units of the photo's sides; NaN where a
        photo was in no fold.
    spread : float64 ndarray (n, K, 2, 2)
        Covariance of the last, in the same units.
    """

    stages: tuple[LinearStage, ...]
    alignment: Alignment
    trust: UncertaintyModel
    path: tuple[Step, ...]
    first: NDArray[np.float64]
    held_out: NDArray[np.float64]
    spread: NDArray[np.float64]


@dataclass(frozen=True)
class _Look:
    stage: LinearStage
    path: list[SearchPoint]
    chosen: SearchPoint
    held_out: NDArray[np.float64]  # (n, K, 2), as the first view sees them
    pooled: NDArray[np.float32]  # (n, C), of the first view

    def steps(self, number: int) -> list[Step]:
        """What was tried."""
        return [Step(number, point, point == self.chosen) for point in self.path]


def fit_cascade(
    paths: Sequence[Path],
    points: NDArray[np.float64],
    fold: NDArray[np.intp],
    backbone: Backbone,
    options: Options,
) -> Cascade:
    """Fit on photos.

    Parameters
    ----------
    paths : sequence of Path
        n readable photos.
    points : float64 ndarray (n, K, 2)
        In units of the photo's sides; NaN where missing.
    fold : int ndarray (n,)
        -1: always trained on.
    backbone : Backbone
    options : Options
    """
    whole = np.broadcast_to(IDENTITY, (len(paths), 2, 3))
    alignment = align_to(points)
    one = _look(paths, None, _targets([whole], points, options), fold, backbone, options)
    first = _filled(one.held_out, points)
    looked = alignment.views(first)
    steps = []
    if alignment.moves and options.cascade is not False and _sound(looked):
        views = _second_views(points, first, alignment, looked, options)
        targets = _targets(views, points, options)
        two = _look(paths, np.stack(views), targets, fold, backbone, options)
        second = photo_points(looked, two.held_out)
        if options.cascade is True or _error(second, points) < _error(one.held_out, points):
            moves = two.held_out - view_points(looked, first)
            errors = two.held_out - view_points(looked, points)
            trust, expected = fit_trust(errors, moves, two.pooled, fold, coverage=options.coverage)
            steps = [*one.steps(1), *two.steps(2)]
            stages, spread = (one.stage, two.stage), spread_in_photos(trust, expected, looked)
            return Cascade(stages, alignment, trust, tuple(steps), one.held_out, second, spread)
        steps = [replace(step, chosen=False) for step in two.steps(2)]
    upright = looked if _sound(looked) else whole
    errors = view_points(upright, one.held_out) - view_points(upright, points)
    trust, expected = fit_trust(errors, None, one.pooled, fold, coverage=options.coverage)
    spread = spread_in_photos(trust, expected, upright)
    path = (*one.steps(1), *steps)
    return Cascade((one.stage,), alignment, trust, path, one.held_out, one.held_out, spread)


def spread_in_photos(
    trust: UncertaintyModel, expected: NDArray[np.float64], views: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariances (n, K, 2, 2) in the photos of points whose log error is `expected` (n,)."""
    turn = views[:, None, :, :2]
    spread: NDArray[np.float64] = turn @ trust.covariance.astype(np.float64) @ turn.transpose(0, 1, 3, 2)
    return spread * np.exp(2 * expected)[:, None, None, None]


def _filled(predicted: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predictions, the mean shape for photos that are in no fold."""
    return np.where(np.isnan(predicted), np.nanmean(points, axis=0, keepdims=True), predicted)


def _error(predicted: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    return float(np.nanmean(np.abs(predicted - points)))


def _sound(views: NDArray[np.float64]) -> bool:
    """Whether no view has shrunken to a point, or cannot be turned back."""
    return bool(np.all(np.abs(np.linalg.det(views[:, :, :2])) > 1e-8))


def _second_views(
    points: NDArray[np.float64],
    first: NDArray[np.float64],
    alignment: Alignment,
    looked: NDArray[np.float64],
    options: Options,
) -> list[NDArray[np.float64]]:
    """The squares that held-out predictions cut out, and true ones shaken as much as those are off."""
    right = alignment.views(np.where(np.isnan(points), first, points))
    spread = alignment_error(looked, right)
    rng = np.random.default_rng(options.seed)
    return [looked, *(jitter(right, spread, rng) for _ in range(options.n_jitter))]


def _targets(
    views: Sequence[NDArray[np.float64]], points: NDArray[np.float64], options: Options
) -> NDArray[np.float64]:
    """The points as each view sees them, followed by the same mirrored: (V or 2V, n, 2K)."""
    targets = []
    for view in views:
        targets.append(view_points(view, points))
        if options.permutation is not None:
            targets.append(mirrored(targets[-1], options.permutation))
    return np.stack(targets).reshape(len(targets), len(points), -1)


def _look(
    paths: Sequence[Path],
    views: NDArray[np.float64] | None,
    targets: NDArray[np.float64],
    fold: NDArray[np.intp],
    backbone: Backbone,
    options: Options,
) -> _Look:
    """Choose depths with two views of each photo, then the number of views, and fit on all photos."""
    sets = candidate_sites(backbone)
    sites = tuple(dict.fromkeys(site for chosen in sets for site in chosen))
    maps = extract_maps(
        paths,
        views,
        backbone,
        sites,
        mirror=options.permutation is not None,
        threads=options.threads,
        progress=options.progress,
    )
    design = make_design(maps)
    tried = min(2, len(targets))
    found = held_out_path(design, targets, fold, [(chosen, tried) for chosen in sets])
    best = min(found, key=lambda item: item[0].error)[0].sites
    counts = sorted({1, len(targets)} - {tried})
    found += held_out_path(design, targets, fold, [(best, count) for count in counts])
    chosen, predicted = min(found, key=lambda item: item[0].error)
    deepest = maps.rows[maps.sites.index(chosen.sites[-1])][0]
    pooled = deepest.astype(np.float32).mean(axis=(2, 3))
    stage = fit_stage(design, targets, chosen)
    held_out = predicted.reshape(len(paths), -1, 2)
    return _Look(stage, [point for point, _ in found], chosen, held_out, pooled)
