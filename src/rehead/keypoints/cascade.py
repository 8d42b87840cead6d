"""Fitting the two stages: points in the photo, then points in the crop around them.

The second stage is trained on crops around held-out predictions, so that its crops are misaligned in training
as they will be in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..core.photos import File
from ..core.progress import Progress
from .alignment import (
    IDENTITY,
    Alignment,
    alignment_error,
    fit_alignment,
    jitter,
    points_in_crops,
    points_in_photos,
)
from .feature_maps import candidate_feature_maps, extract_maps
from .flip import flip_points
from .ridge import LinearStage, SearchPoint, fit_stage, held_out_path, make_design
from .styles import SAMPLE, styled_features
from .uncertainty import UncertaintyModel, fit_uncertainty

__all__ = ["Cascade", "CascadeConfig", "SearchStep", "covariance_in_photos", "fit_cascade"]


@dataclass(frozen=True)
class CascadeConfig:
    """Options of the fit; see `KeypointRegressor`."""

    flip_idx: tuple[int, ...] | None
    cascade: Literal["auto"] | bool
    n_jitter: int
    coverage: float
    seed: int
    threads: int | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class SearchStep:
    """A candidate of the search, its stage (1 or 2), and whether it was chosen."""

    stage: int
    point: SearchPoint
    chosen: bool


@dataclass(frozen=True)
class Cascade:
    """A fitted cascade.

    Parameters
    ----------
    stages : tuple of LinearStage
        One or two.
    alignment : Alignment
    uncertainty : UncertaintyModel
    path : tuple of SearchStep
    first_stage, held_out : float64 ndarray (n, K, 2)
        Held-out predictions of the first stage and of the last, in units of the photo's sides; NaN where a
        photo was in no fold.
    covariance : float64 ndarray (n, K, 2, 2)
        Of the last, in the same units.
    """

    stages: tuple[LinearStage, ...]
    alignment: Alignment
    uncertainty: UncertaintyModel
    path: tuple[SearchStep, ...]
    first_stage: NDArray[np.float64]
    held_out: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class _FittedStage:
    stage: LinearStage
    path: list[SearchPoint]
    chosen: SearchPoint
    held_out: NDArray[np.float64]  # (n, K, 2), in coordinates of the first view
    pooled: NDArray[np.float32]  # (n, C), of the first view

    def steps(self, number: int) -> list[SearchStep]:
        """The search."""
        return [SearchStep(number, point, point == self.chosen) for point in self.path]


def fit_cascade(
    paths: Sequence[File],
    points: NDArray[np.float64],
    fold: NDArray[np.intp],
    backbone: Backbone,
    config: CascadeConfig,
) -> Cascade:
    """Fit on photos.

    Parameters
    ----------
    paths : sequence of path or bytes
        n readable photos.
    points : float64 ndarray (n, K, 2)
        In units of the photo's sides; NaN where missing.
    fold : int ndarray (n,)
        -1: in the training set of every fold.
    backbone : Backbone
    config : CascadeConfig
    """
    whole = np.broadcast_to(IDENTITY, (len(paths), 2, 3))
    alignment = fit_alignment(points)
    one = _fit_one(paths, None, _targets([whole], points, config), fold, backbone, config)
    first = _impute(one.held_out, points)
    predicted_crops = alignment.crop_transforms(first)
    invertible = _invertible(predicted_crops)
    upright = predicted_crops if invertible else whole
    stages, path, held_out, moves = [one], one.steps(1), one.held_out, None
    in_crops = points_in_crops(upright, held_out)
    if alignment.crops and config.cascade is not False and invertible:
        crops = _training_crops(points, first, alignment, predicted_crops, config)
        targets = _targets(crops, points, config)
        two = _fit_one(paths, np.stack(crops), targets, fold, backbone, config)
        second = points_in_photos(predicted_crops, two.held_out)
        better = config.cascade is True or _error(second, points) < _error(held_out, points)
        path += [replace(step, chosen=step.chosen and better) for step in two.steps(2)]
        if better:
            stages, held_out, in_crops = [one, two], second, two.held_out
            moves = in_crops - points_in_crops(predicted_crops, first)
    errors = in_crops - points_in_crops(upright, points)
    rows = np.sort(np.random.default_rng(config.seed).permutation(len(paths))[:SAMPLE])
    features = styled_features(
        [paths[n] for n in rows],
        predicted_crops[rows] if len(stages) == 2 else None,
        backbone,
        stages[-1].chosen.feature_maps[-1],
        threads=config.threads,
    )
    uncertainty, log_error = fit_uncertainty(
        errors, moves, stages[-1].pooled, fold, coverage=config.coverage, styled=(rows, features)
    )
    covariance = covariance_in_photos(uncertainty, log_error, upright)
    fitted = tuple(each.stage for each in stages)
    return Cascade(fitted, alignment, uncertainty, tuple(path), one.held_out, held_out, covariance)


def covariance_in_photos(
    uncertainty: UncertaintyModel, log_error: NDArray[np.float64], crop_transforms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariances (n, K, 2, 2) in the photos, by the log (n,) of each photo's expected error in the crop."""
    linear = crop_transforms[:, None, :, :2]
    unit = uncertainty.covariance.astype(np.float64)
    covariance: NDArray[np.float64] = linear @ unit @ linear.transpose(0, 1, 3, 2)
    return covariance * np.exp(2 * log_error)[:, None, None, None]


def _impute(predicted: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predictions, the mean shape for photos that are in no fold."""
    return np.where(np.isnan(predicted), np.nanmean(points, axis=0, keepdims=True), predicted)


def _error(predicted: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    return float(np.nanmean(np.abs(predicted - points)))


def _invertible(crop_transforms: NDArray[np.float64]) -> bool:
    """Whether no crop has shrunk to a point."""
    return bool(np.all(np.abs(np.linalg.det(crop_transforms[:, :, :2])) > 1e-8))


def _training_crops(
    points: NDArray[np.float64],
    first: NDArray[np.float64],
    alignment: Alignment,
    predicted_crops: NDArray[np.float64],
    config: CascadeConfig,
) -> list[NDArray[np.float64]]:
    """The predicted crops, and true ones with as much jitter as the predicted are off by."""
    true_crops = alignment.crop_transforms(np.where(np.isnan(points), first, points))
    std = alignment_error(predicted_crops, true_crops)
    rng = np.random.default_rng(config.seed)
    return [predicted_crops, *(jitter(true_crops, std, rng) for _ in range(config.n_jitter))]


def _targets(
    crops: Sequence[NDArray[np.float64]], points: NDArray[np.float64], config: CascadeConfig
) -> NDArray[np.float64]:
    """The points in each of C crops, each followed by those of the mirrored crop: (C or 2C, n, 2K)."""
    targets = []
    for crop_transforms in crops:
        targets.append(points_in_crops(crop_transforms, points))
        if config.flip_idx is not None:
            targets.append(flip_points(targets[-1], config.flip_idx))
    return np.stack(targets).reshape(len(targets), len(points), -1)


def _fit_one(
    paths: Sequence[File],
    crop_transforms: NDArray[np.float64] | None,
    targets: NDArray[np.float64],
    fold: NDArray[np.intp],
    backbone: Backbone,
    config: CascadeConfig,
) -> _FittedStage:
    """Choose feature maps with two views of each photo, then the number of views; fit on all photos."""
    sets = candidate_feature_maps(backbone)
    feature_maps = tuple(dict.fromkeys(feature_map for candidate in sets for feature_map in candidate))
    maps = extract_maps(
        paths,
        crop_transforms,
        backbone,
        feature_maps,
        mirror=config.flip_idx is not None,
        threads=config.threads,
        progress=config.progress,
    )
    design = make_design(maps)
    n_views = min(2, len(targets))
    found = held_out_path(design, targets, fold, [(candidate, n_views) for candidate in sets])
    best = min(found, key=lambda item: item[0].error)[0].feature_maps
    counts = sorted({1, len(targets)} - {n_views})
    found += held_out_path(design, targets, fold, [(best, count) for count in counts])
    chosen, predicted = min(found, key=lambda item: item[0].error)
    deepest = maps.values[maps.feature_maps.index(chosen.feature_maps[-1])][0]
    pooled = deepest.astype(np.float32).mean(axis=(2, 3))
    stage = fit_stage(design, targets, chosen)
    held_out = predicted.reshape(len(paths), -1, 2)
    return _FittedStage(stage, [point for point, _ in found], chosen, held_out, pooled)
