"""Evaluation of predicted points, each metric with an interval over people rather than photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..evaluation import Interval, mean_interval, proportion
from . import metrics
from .flip import MULTI_PIE_68, REGIONS_68
from .uncertainty import ellipse_distance

__all__ = ["KeypointEvaluation", "Score", "evaluate_keypoints"]

_MIN_PEOPLE = 15  # below, intervals are rough: the bootstrap of few clusters is too narrow

_MAE = ("MAE, share of the side", "how far x and y are off, on average")
_MAE_PIXELS = ("MAE, pixels", "the same in pixels of the photos")
_NME = ("NME, box", "mean distance of the points, over the size of the box around them")
_NME_EYES = (
    "NME, inter-ocular",
    "the same over the distance of the outer eye corners; means little for profiles",
)
_AUC = ("AUC at 8 %", "area under the curve of errors up to 8 %; 1 is perfect")
_PCK = ("PCK at 5 %", "share of points within 5 % of the box size")
_FAILURES = ("Failures at 8 %", "share of photos whose NME, box, is above 8 %")


@dataclass(frozen=True)
class Score:
    """A metric with its name, meaning and interval; `fraction`: it reads as a percentage, else as pixels."""

    name: str
    meaning: str
    interval: Interval
    fraction: bool


@dataclass(frozen=True)
class KeypointEvaluation:
    """Metrics of some photos.

    Parameters
    ----------
    photos, people : int
    held_out : bool
        Whether photos were predicted by folds without the person, or are test photos.
    scores : tuple of Score
    regions : tuple of Score
        Error by region, over the size of the box around the points; empty but for 68 points.
    per_point : float64 ndarray (K,)
        Mean distance over box size, NaN where a point is always missing.
    errors : float64 ndarray (n,)
        Of each photo: mean distance over box size.
    coverage : dict of float to float
        Fraction of points in their ellipses of 50, 80 and 95 %; empty without covariances.
    warnings : tuple of str
    """

    photos: int
    people: int
    held_out: bool
    scores: tuple[Score, ...]
    regions: tuple[Score, ...]
    per_point: NDArray[np.float64]
    errors: NDArray[np.float64]
    coverage: dict[float, float]
    warnings: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The main result in words."""
        mae = self.scores[0].interval
        whom = (
            f"{self.photos} photos of {self.people} people"
            if self.people < self.photos
            else f"{self.photos} photo{'s'[: self.photos != 1]}"
        )
        how = ", each predicted without having seen the person" if self.held_out else ""
        limits = (
            ""
            if math.isnan(mae.low)
            else f" (with other people {100 * mae.low:.2f} to {100 * mae.high:.2f} %)"
        )
        return (
            f"On {whom}{how}, coordinates are off by {100 * mae.value:.2f} % of the photo's side on "
            f"average{limits}."
        )

    def _repr_html_(self) -> str:
        from .report import evaluation_html

        return evaluation_html(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "photos": self.photos,
            "people": self.people,
            "held_out": self.held_out,
            "sentence": self.sentence,
            "scores": {s.name: s.interval.to_dict() for s in self.scores},
            "regions": {s.name: s.interval.to_dict() for s in self.regions},
            "per_point": [None if math.isnan(v) else round(v, 6) for v in self.per_point.tolist()],
            "ellipses": {f"{q:.0%}": round(v, 6) for q, v in self.coverage.items()},
            "warnings": list(self.warnings),
        }


def evaluate_keypoints(
    predicted: NDArray[np.float64],
    truth: NDArray[np.float64],
    sizes: NDArray[np.int64],
    groups: ArrayLike,
    *,
    covariance: NDArray[np.float64] | None = None,
    held_out: bool = False,
    seed: int = 0,
) -> KeypointEvaluation:
    """Evaluate predictions.

    Parameters
    ----------
    predicted, truth : float64 ndarray (n, K, 2)
        In pixels; NaN where a true point is missing.
    sizes : int ndarray (n, 2)
        Width and height of the photos.
    groups : array-like (n,)
        Photos of one person share one: they are resampled together.
    covariance : float64 ndarray (n, K, 2, 2), optional
        Covariances in square pixels.
    """
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    people = int(group.max()) + 1
    box = metrics.box_size(truth)
    errors = metrics.normalised_errors(predicted, truth, box)
    distances = metrics.distances(predicted, truth) / box[:, None]

    def interval(values: NDArray[np.float64], most: float) -> Interval:
        known = ~np.isnan(values)
        return mean_interval(values[known], group[known], most=most, seed=seed)

    scores = [
        Score(*about, interval(values, most), fraction)
        for about, values, fraction, most in _values(predicted, truth, sizes, errors, box)
    ]
    known = ~np.isnan(errors)
    scores.append(Score(*_FAILURES, proportion(errors[known] > metrics.LIMIT, group[known]), True))
    faces = truth.shape[1] == len(MULTI_PIE_68)
    regions = [
        Score(name, "", interval(_row_mean(distances[:, part]), math.inf), True)
        for name, part in (REGIONS_68.items() if faces else ())
    ]
    return KeypointEvaluation(
        len(truth),
        people,
        held_out,
        tuple(scores),
        tuple(regions),
        _row_mean(distances.T),
        errors,
        {} if covariance is None else _coverage(predicted - truth, covariance),
        tuple(_warnings(people)),
    )


def _values(
    predicted: NDArray[np.float64],
    truth: NDArray[np.float64],
    sizes: NDArray[np.int64],
    errors: NDArray[np.float64],
    box: NDArray[np.float64],
) -> list[tuple[tuple[str, str], NDArray[np.float64], bool, float]]:
    """For each score: name and meaning, values of the photos, whether it is a fraction, its upper limit."""
    found = [
        (_MAE, metrics.photo_errors(predicted, truth, sizes), True, math.inf),
        (_MAE_PIXELS, metrics.photo_errors(predicted, truth), False, math.inf),
        (_NME, errors, True, math.inf),
    ]
    if truth.shape[1] == len(MULTI_PIE_68):
        eyes = metrics.normalised_errors(predicted, truth, metrics.eye_distance(truth))
        found.append((_NME_EYES, eyes, True, math.inf))
    found += [
        (_AUC, metrics.area_under_curve(errors), True, 1.0),
        (_PCK, metrics.pck(predicted, truth, box, 0.05), True, 1.0),
    ]
    return found


def _row_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each row over what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    sums = np.where(known, values, 0).sum(axis=1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def _coverage(errors: NDArray[np.float64], covariance: NDArray[np.float64]) -> dict[float, float]:
    distance = ellipse_distance(errors, covariance)
    known = ~np.isnan(distance)
    return {q: float((distance[known] <= -2 * math.log(1 - q)).mean()) for q in (0.5, 0.8, 0.95)}


def _warnings(people: int) -> Sequence[str]:
    if people == 1:
        return ["All photos show one person: how far the result holds for others is not known."]
    if people < _MIN_PEOPLE:
        return [f"Only {people} people: the intervals are rough, and too narrow rather than too wide."]
    return []
