"""How far points can be trusted: a spread for each, a confidence for the whole, and an outlier score.

Everything is learnt from photos that the folds held out, in the square of the second look, where every
face has the same size and stands upright. The log of a photo's mean error is a linear function of two
things that are known when the points are: the log of its outlier score, and the log of how far the
second look moved the points. With the error e that is expected of a photo, a point's covariance is

    e^2 * (its covariance over photos, errors measured in e), turned and scaled back into the photo

and then widened or narrowed by one factor, so that the 95 % ellipses hold 95 % of the held-out points.
Confidence is the probability that the mean error is below twice the median one of held-out photos, the
log of the error being normal about its expectation. The outlier score is the squared Mahalanobis
distance of the pooled features of the look, by a covariance that is shrunken halfway, over their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHI2_95", "LIMIT_FACTOR", "UncertaintyModel", "ellipse_distance", "fit_trust"]

CHI2_95 = -2 * math.log(0.05)
"""Squared Mahalanobis radius of the ellipse that holds 95 % of a normal distribution in the plane."""

LIMIT_FACTOR = 2.0
"""Times the median error of held-out photos: where confidence draws its line."""

_SHRINKAGE = 0.5  # as heads.outlier, benchmarks/outliers.py
_TINY = 1e-12


@dataclass(frozen=True)
class UncertaintyModel:
    """See the module.

    Parameters
    ----------
    centre : float32 ndarray (C,)
    root : float32 ndarray (C, C)
        The outlier score is |(features - centre) @ root|^2.
    log_error : float32 ndarray (3,)
        Constant, weight of the log outlier score, weight of the log of the squared move.
    log_spread : float
        Standard deviation of the log error about its expectation.
    log_limit : float
        Log of the error that confidence is about, in units of the square.
    covariance : float32 ndarray (K, 2, 2)
        Of each point's error in units of the expected one, calibrated.
    outlier_limit : float
        Score above which a photo is unlike the training photos.
    """

    centre: NDArray[np.float32]
    root: NDArray[np.float32]
    log_error: NDArray[np.float32]
    log_spread: float
    log_limit: float
    covariance: NDArray[np.float32]
    outlier_limit: float


def ellipse_distance(errors: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Mahalanobis length of errors (..., 2) by covariances (..., 2, 2); NaN stays."""
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    x, y = errors[..., 0], errors[..., 1]
    length = covariance[..., 1, 1] * x**2 - 2 * covariance[..., 0, 1] * x * y + covariance[..., 0, 0] * y**2
    return np.asarray(length / np.maximum(determinant, _TINY**2))


def fit_trust(
    errors: NDArray[np.float64],
    moves: NDArray[np.float64] | None,
    pooled: NDArray[np.float32],
    fold: NDArray[np.intp],
    *,
    coverage: float,
) -> tuple[UncertaintyModel, NDArray[np.float64]]:
    """Learn what to trust from held-out photos; also the log of the error expected of each, (n,).

    Parameters
    ----------
    errors : float64 ndarray (n, K, 2)
        Predicted less true points in the square of the last look; NaN where not known.
    moves : float64 ndarray (n, K, 2) or None
        Points of the second look less those of the first, in the same square; None with one look.
    pooled : float32 ndarray (n, C)
        Features of the last look.
    fold : int ndarray (n,)
    coverage : float
        Share of training photos that are not called outliers.
    """
    scores = _held_out_scores(pooled, fold)
    judged = (fold >= 0) & ~np.isnan(errors[:, :, 0]).all(axis=1) & np.isfinite(scores)
    distance = np.nanmean(np.linalg.norm(errors[judged], axis=2), axis=1)
    signals = [np.ones(judged.sum()), np.log(np.maximum(scores[judged], _TINY))]
    if moves is not None:
        signals.append(np.log(np.maximum((moves[judged] ** 2).sum(axis=2).mean(axis=1), _TINY)))
    log_error = np.log(np.maximum(distance, _TINY))
    weights = np.zeros(3)
    design = np.stack(signals, axis=1)
    weights[: design.shape[1]] = np.linalg.lstsq(design, log_error, rcond=None)[0]
    expected = design @ weights[: design.shape[1]]
    scaled = errors[judged] / np.exp(expected)[:, None, None]
    covariance = _covariances(scaled)
    inside = ellipse_distance(scaled, covariance)
    covariance *= np.nanquantile(inside, 0.95) / CHI2_95
    centre, root = _distance(pooled)
    of_all = np.full(len(errors), np.nan)
    of_all[judged] = expected
    trust = UncertaintyModel(
        centre.astype(np.float32),
        root.astype(np.float32),
        weights.astype(np.float32),
        max(float((log_error - expected).std()), 1e-3),
        math.log(max(LIMIT_FACTOR * float(np.median(distance)), _TINY)),
        covariance.astype(np.float32),
        float(np.quantile(scores[judged], coverage)),
    )
    return trust, of_all


def _covariances(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second moment of each point's errors, (K, 2, 2), drawn to that of all points as if by ten photos."""
    known = ~np.isnan(errors[:, :, 0])
    filled = np.where(known[:, :, None], errors, 0)
    sums = np.einsum("nki,nkj->kij", filled, filled)
    every = sums.sum(axis=0) / max(int(known.sum()), 1) + _TINY * np.eye(2)
    prior = 10
    moments: NDArray[np.float64] = (sums + prior * every) / (known.sum(axis=0)[:, None, None] + prior)
    return moments


def _distance(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = features.astype(np.float64)
    centre = rows.mean(axis=0)
    rows = rows - centre
    d = rows.shape[1]
    covariance = (1 - _SHRINKAGE) * rows.T @ rows / len(rows)
    covariance[np.diag_indices(d)] += max(_SHRINKAGE * float((rows**2).mean()), _TINY)
    values, vectors = np.linalg.eigh(covariance)
    return centre, vectors / np.sqrt(values * d)


def _held_out_scores(features: NDArray[np.float32], fold: NDArray[np.intp]) -> NDArray[np.float64]:
    scores = np.full(len(features), np.nan)
    for number in range(int(fold.max()) + 1):
        out = fold == number
        centre, root = _distance(features[~out])
        scores[out] = (((features[out] - centre) @ root) ** 2).sum(axis=1)
    return scores
