"""When to answer, when to say "unknown", and which photos are of another kind than those trained on."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = [
    "REASONS",
    "UNKNOWN",
    "OperatingPoint",
    "PhotoStyles",
    "choose_operating_point",
    "order_statistic",
    "outlier_rate",
]

UNKNOWN = "unknown"
"""What a photo is called that the model should not name; no class may be called so."""

REASONS = {
    "unlike": "unlike the training photos (outlier score {found}, limit {limit})",
    "unsure": "not sure enough (probability {found}, needs {limit})",
}
"""Why a photo is not answered, in this order; both numbers have as many digits as show that they differ."""


@dataclass(frozen=True)
class OperatingPoint:
    """Thresholds, and the fraction of known photos they were set to accept.

    Parameters
    ----------
    coverage : float
        Share of photos of known classes that are answered, 0..1, as it was asked for.
    probability : float
        An answer needs a calibrated probability of at least this.
    outlier_score : float
        A photo whose score is above this is unlike the training photos.
    photos : int
        Held-out photos that the thresholds were set on.
    """

    coverage: float
    probability: float
    outlier_score: float
    photos: int

    def to_dict(self) -> dict[str, Any]:
        """The record as it goes into a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> OperatingPoint:
        """The operating point of a record of `to_dict`; DataError where it is none, or not finite."""
        values = [record.get(field.name) for field in fields(cls)]
        numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
        if not len(record) == len(values) == len(numbers):
            raise DataError(f"the operating point is {dict(record)!r:.80}; expected finite numbers")
        return cls(**record)

    def accept(
        self, probabilities: NDArray[np.floating], outlier_scores: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        """Which photos are answered, bool (n,), of probabilities (n, K) and outlier scores (n,)."""
        sure = probabilities.max(axis=1) >= self.probability  # False where a number is NaN
        accepted: NDArray[np.bool_] = sure & (outlier_scores <= self.outlier_score)
        return accepted

    def reason(self, probability: float, outlier_score: float) -> str:
        """Why a photo is not answered, as a phrase; "" where it is."""
        if not outlier_score <= self.outlier_score:  # nor is it where one of them is NaN
            found, limit = _with_enough_digits(outlier_score, self.outlier_score)
            return REASONS["unlike"].format(found=found, limit=limit)
        if not probability >= self.probability:
            found, limit = _with_enough_digits(probability, self.probability)
            return REASONS["unsure"].format(found=found, limit=limit)
        return ""


@dataclass(frozen=True, eq=False)
class PhotoStyles:
    """Tells photos of another kind, such as grey ones, from those that were trained on.

    Parameters
    ----------
    names : tuple of str
        Of the S styles.
    weight, bias : float32 ndarray (D, S) and (S,)
        features @ weight + bias says how much nearer to the training photos a photo would be without each
        style.
    limit : float
        A photo has the style of which this is most where that is above the limit.
    """

    names: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    limit: float

    def margins(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much nearer the photos would be without each style, float32 (n, S), of features (n, D)."""
        margins: NDArray[np.float32] = features @ self.weight + self.bias
        return margins

    def of(self, features: NDArray[np.float32]) -> NDArray[np.intp]:
        """The style of each photo by its features (n, D): 0..S-1, or -1 for none of these, int (n,)."""
        margins = self.margins(features)
        style: NDArray[np.intp] = np.where(margins.max(axis=1) > self.limit, margins.argmax(axis=1), -1)
        return style

    def to_dict(self) -> dict[str, Any]:
        """The record as it goes into a model file: weight and bias as base64 of little-endian float32."""
        record = {"names": list(self.names), "limit": self.limit}
        return record | {name: _as_text(getattr(self, name)) for name in ("weight", "bias")}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PhotoStyles:
        """The styles of a record of `to_dict`; DataError where it is none."""
        try:
            names, limit = tuple(map(str, record["names"])), float(record["limit"])
            weight, bias = (
                np.frombuffer(base64.b64decode(record[name], validate=True), "<f4")
                for name in ("weight", "bias")
            )
            return cls(names, weight.reshape(-1, len(names)), bias.reshape(len(names)), limit)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the record of other kinds of photos cannot be read ({error})") from error


def choose_operating_point(
    probabilities: NDArray[np.floating], outlier_scores: NDArray[np.floating], *, coverage: float = 0.95
) -> OperatingPoint:
    """Set both thresholds on held-out photos of known classes.

    Half of the photos that may be rejected have the highest outlier scores, the other half, of the
    remaining ones, the lowest confidence. Each threshold is the order statistic of rank
    ceil((n + 1) * fraction), as in split conformal prediction (Vovk et al. 2005), so that a new photo of a
    known class is accepted with at least the stated probability.

    Parameters
    ----------
    probabilities : ndarray (n, K)
        Calibrated and held-out.
    outlier_scores : ndarray (n,)
        Of the same photos, held-out.
    coverage : float
        Fraction of known photos to accept, above 0, at most 1.

    Returns
    -------
    OperatingPoint
    """
    if not 0 < coverage <= 1:
        raise DataError(f"coverage is {coverage}; expected more than 0 and at most 1")
    rate = outlier_rate(coverage)
    limit = order_statistic(outlier_scores, rate)
    kept = probabilities[outlier_scores <= limit].max(axis=1)
    sure = -order_statistic(-kept, coverage / rate)
    return OperatingPoint(coverage, float(sure), float(limit), len(probabilities))


def _with_enough_digits(value: float, limit: float) -> tuple[str, str]:
    """Both as text, with two or more decimals, as many as show that they differ."""
    digits = next((n for n in range(2, 17) if f"{value:.{n}f}" != f"{limit:.{n}f}"), 17)
    return f"{value:.{digits}f}", f"{limit:.{digits}f}"


def _as_text(numbers: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode("ascii")


def outlier_rate(coverage: float) -> float:
    """The fraction of known photos that the limit of the outlier score accepts."""
    return (1 + coverage) / 2


def order_statistic(values: NDArray[np.floating], fraction: float) -> float:
    """The value (n,) of rank ceil((n + 1) * fraction), which a new one exceeds with at most 1 - fraction."""
    ordered = np.sort(values)
    return float(ordered[min(math.ceil((len(ordered) + 1) * fraction), len(ordered)) - 1])
