"""Uncertainty of predicted points: a covariance for each, a confidence for the photo, an outlier score.

Everything is fitted to held-out predictions, in the crop of the second stage, where shapes are upright and of
one size. The log of a photo's mean error is a linear function of two quantities that are known at prediction
time: the log of its outlier score, and the log of how far the second stage moved the points. With e the error
expected of a photo, a point's covariance is

    e^2 * (covariance over photos of its errors in units of e), rotated and scaled back into the photo

times one factor that makes the 95 % ellipses hold 95 % of the held-out points. Confidence is the probability
that the mean error is below twice the median one of held-out photos, the log of the error being normal about
its expectation. The outlier score is the squared Mahalanobis distance of the stage's pooled features, by a
covariance shrunk by half, over their number (`heads.mahalanobis`). Mean and covariance are also those of
photos in other styles (`styles`); the limit is that of the photos as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..heads.mahalanobis import whitening_matrix

__all__ = ["CHI2_95", "LIMIT_FACTOR", "UncertaintyModel", "ellipse_distance", "fit_uncertainty"]

CHI2_95 = -2 * math.log(0.05)
"""Squared Mahalanobis radius of the ellipse that holds 95 % of a normal distribution in the plane."""

LIMIT_FACTOR = 2.0
"""Times the median error of held-out photos: the error that confidence is about."""

_PRIOR = 10  # photos that the covariance over all points counts as, in that of each point
_TINY = 1e-12


@dataclass(frozen=True)
class UncertaintyModel:
    """As the module says.

    Parameters
    ----------
    mean : float32 ndarray (C,)
    whitening : float32 ndarray (C, C)
        The outlier score is |(features - mean) @ whitening|^2.
    log_error : float32 ndarray (3,)
        Constant, weight of the log outlier score, weight of the log of the squared move.
    log_std : float
        Standard deviation of the log error about its expectation.
    log_limit : float
        Log of the error that confidence is about, in units of the crop.
    covariance : float32 ndarray (K, 2, 2)
        Of each point's error in units of the expected one, calibrated.
    outlier_limit : float
        Score above which a photo is an outlier.
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    log_error: NDArray[np.float32]
    log_std: float
    log_limit: float
    covariance: NDArray[np.float32]
    outlier_limit: float


def ellipse_distance(errors: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Mahalanobis length of errors (..., 2) by covariances (..., 2, 2); NaN stays."""
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    x, y = errors[..., 0], errors[..., 1]
    length = covariance[..., 1, 1] * x**2 - 2 * covariance[..., 0, 1] * x * y + covariance[..., 0, 0] * y**2
    return np.asarray(length / np.maximum(determinant, _TINY**2))


def fit_uncertainty(
    errors: NDArray[np.float64],
    moves: NDArray[np.float64] | None,
    pooled: NDArray[np.float32],
    fold: NDArray[np.intp],
    *,
    coverage: float,
    styled: tuple[NDArray[np.intp], NDArray[np.float32]] | None = None,
) -> tuple[UncertaintyModel, NDArray[np.float64]]:
    """Fit to held-out predictions; also the log of the error expected of each photo, (n,).

    Parameters
    ----------
    errors : float64 ndarray (n, K, 2)
        Predicted less true points in the crop of the last stage; NaN where not known.
    moves : float64 ndarray (n, K, 2) or None
        Points of the second stage less those of the first, in the same crop; None with one stage.
    pooled : float32 ndarray (n, C)
        Features of the last stage.
    fold : int ndarray (n,)
    coverage : float
        Fraction of training photos that are not called outliers.
    styled : (int ndarray (m,), float32 ndarray (V, m, C)), optional
        Some of the photos, and their features in V other styles.
    """
    photos = np.arange(len(pooled))
    if styled is not None:
        rows, features = styled
        photos = np.concatenate([photos, np.tile(rows, len(features))])
        pooled = np.concatenate([pooled, features.reshape(-1, features.shape[2])])
    scores = _held_out_scores(pooled, photos, fold)
    used = (fold >= 0) & ~np.isnan(errors[:, :, 0]).all(axis=1) & np.isfinite(scores)
    distance = np.nanmean(np.linalg.norm(errors[used], axis=2), axis=1)
    predictors = [np.ones(used.sum()), np.log(np.maximum(scores[used], _TINY))]
    if moves is not None:
        predictors.append(np.log(np.maximum((moves[used] ** 2).sum(axis=2).mean(axis=1), _TINY)))
    log_error = np.log(np.maximum(distance, _TINY))
    weights = np.zeros(3)
    design = np.stack(predictors, axis=1)
    weights[: design.shape[1]] = np.linalg.lstsq(design, log_error, rcond=None)[0]
    expected = design @ weights[: design.shape[1]]
    scaled = errors[used] / np.exp(expected)[:, None, None]
    covariance = _covariances(scaled)
    inside = ellipse_distance(scaled, covariance)
    covariance *= np.nanquantile(inside, 0.95) / CHI2_95
    mean, whitening = _fit_distance(pooled)
    expected_of_all = np.full(len(errors), np.nan)
    expected_of_all[used] = expected
    uncertainty = UncertaintyModel(
        mean.astype(np.float32),
        whitening.astype(np.float32),
        weights.astype(np.float32),
        max(float((log_error - expected).std()), 1e-3),
        math.log(max(LIMIT_FACTOR * float(np.median(distance)), _TINY)),
        covariance.astype(np.float32),
        float(np.quantile(scores[used], coverage)),
    )
    return uncertainty, expected_of_all


def _covariances(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second moment of each point's errors (K, 2, 2), shrunk towards that of all points."""
    known = ~np.isnan(errors[:, :, 0])
    filled = np.where(known[:, :, None], errors, 0)
    sums = np.einsum("nki,nkj->kij", filled, filled)
    every = sums.sum(axis=0) / max(int(known.sum()), 1) + _TINY * np.eye(2)
    moments: NDArray[np.float64] = (sums + _PRIOR * every) / (known.sum(axis=0)[:, None, None] + _PRIOR)
    return moments


def _fit_distance(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    d = rows.shape[1]
    variance = max(float((rows**2).sum()) / len(rows), d * _TINY)
    return mean, whitening_matrix(rows, variance, d)


def _held_out_scores(
    features: NDArray[np.float32], photos: NDArray[np.intp], fold: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Of the first n = len(fold) rows of the features (n + m, C); `photos` (n + m,) says whose a row is."""
    scores = np.full(len(fold), np.nan)
    for number in range(int(fold.max()) + 1):
        out = np.flatnonzero(fold == number)
        mean, whitening = _fit_distance(features[fold[photos] != number])
        scores[out] = (((features[out] - mean) @ whitening) ** 2).sum(axis=1)
    return scores
