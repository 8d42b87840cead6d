"""What a score means: probabilities, and thresholds at a stated rate of false matches.

**Probability.** A logistic curve through genuine and impostor scores (Platt 1999), the two weighing the
same: the probability that a pair shows one person where half of all pairs do.

**Thresholds.** People are split in two halves. Thresholds are set on pairs of people of the first half, so
that the upper end of the interval of the rate of false matches is no higher than the rate that is aimed at;
their rates of false matches and false non-matches are counted on the second half, so no person stands on both
sides.

**What is not promised.** A rate that the pairs cannot support, by the rule of three (see `rates`), is refused
rather than promised.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core import atomic
from ...errors import DataError
from ...evaluation.intervals import Interval, proportion
from ..gallery.records import spec_fingerprint
from .error_rates import ImpostorPairs, rule_of_three
from .pairs import Pairs, all_pairs

__all__ = ["Calibration", "Threshold", "calibrate", "fit_probability", "read_calibration", "shipped"]


_PER_DECADE = (
    8  # thresholds from a rate to its tenth, 0.1 and 0.01 among them; between them it is interpolated
)
_LOOSEST = 0.1  # a false match in ten pairs: nobody asks for more
_ITERATIONS = 100


def fit_probability(score: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the logistic curve through the scores (m,) of pairs, genuine and impostor alike.

    Platt's targets (1999) allow for one more pair of each kind on the wrong side.
    """
    n = np.array([(~same).sum(), same.sum()])
    if n.min() == 0:
        raise DataError(
            f"{n[1]} pairs of one person and {n[0]} of different people; both kinds are needed to calibrate"
        )
    target = np.where(same, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))
    weight = np.where(same, 0.5 / n[1], 0.5 / n[0])
    centre, spread = float(score.mean()), float(score.std()) or 1.0
    x = np.stack([(score - centre) / spread, np.ones_like(score)], axis=1)
    theta = np.zeros(2)

    def loss(at: NDArray[np.float64]) -> float:
        logit = x @ at
        return float(weight @ (np.logaddexp(0, logit) - target * logit))

    for _ in range(_ITERATIONS):
        p = _sigmoid(x @ theta)
        gradient = x.T @ (weight * (p - target))
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        length = 1.0
        while loss(theta - length * step) > loss(theta) and length > 1e-6:
            length /= 2
        theta = theta - length * step
        if np.abs(length * step).max() < 1e-9:
            break
    return float(theta[0] / spread), float(theta[1] - theta[0] * centre / spread)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = 0.5 * (1 + np.tanh(x / 2))
    return out


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what people who had no part in choosing it say of it.

    Parameters
    ----------
    target : float
        Rate of false matches that it was set for.
    threshold : float
        A pair matches from this score on.
    false_matches : Interval
        Share of pairs of different people that match.
    false_non_matches : Interval
        Share of pairs of one person that do not.
    """

    target: float
    threshold: float
    false_matches: Interval
    false_non_matches: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "target": self.target,
            "threshold": round(self.threshold, 6),
            "false_matches": self.false_matches.to_dict(),
            "false_non_matches": self.false_non_matches.to_dict(),
        }


@dataclass(frozen=True)
class Calibration:
    """What the scores of one embedder mean.

    Parameters
    ----------
    contract : str
        Digest of the embedding contract that the scores came from.
    source : str
        What it was measured on.
    people : int
        Different people in it.
    genuine : int
        Pairs of one person that it was fitted on.
    impostors : int
        Pairs of different people that the thresholds were set on; the rule of three counts these.
    slope, intercept : float
        The probability of a score s is 1 / (1 + exp(-(slope * s + intercept))).
    points : tuple of Threshold
        From the loosest threshold to the strictest that is supported.
    """

    contract: str
    source: str
    people: int
    genuine: int
    impostors: int
    slope: float
    intercept: float
    points: tuple[Threshold, ...]

    @property
    def least(self) -> float:
        """The lowest rate of false matches that it supports."""
        return self.points[-1].target

    def probability(self, score: float) -> float:
        """Probability, 0..1, that a pair of this score shows one person, where half of all pairs do."""
        return float(_sigmoid(np.array(self.slope * score + self.intercept)))

    def at(self, rate: float) -> Threshold:
        """The threshold for a rate of false matches, with the rates that were counted nearest to it.

        Raises
        ------
        DataError
            The rate is lower than the pairs support, or not between 0 and 1.
        """
        if not 0 < rate < 1:
            raise DataError(f"the false-match rate is {rate:g}; expected more than 0 and less than 1")
        if rate < self.least * (1 - 1e-9):
            raise DataError(
                f"a false-match rate of {rate:.2g} cannot be promised: 0 of {self.impostors:,} pairs of "
                f"different people support no better than {self.least:.2g}; ask for that, or calibrate with "
                "more people"
            )
        targets = [point.target for point in self.points]
        if rate >= targets[0]:
            return self.points[0]
        n = next(i for i in range(1, len(targets)) if targets[i] <= rate * (1 + 1e-9))
        loose, strict = self.points[n - 1], self.points[n]
        # between two points the logarithm of the rate falls about evenly with the threshold
        share = math.log(targets[n - 1] / rate) / math.log(targets[n - 1] / targets[n])
        value = loose.threshold + min(share, 1.0) * (strict.threshold - loose.threshold)
        # the rates of the looser point, which are no lower than those between
        near = strict if share > 1 - 1e-6 else loose
        return replace(near, target=rate, threshold=value, false_non_matches=strict.false_non_matches)

    def for_gallery(self, rate: float, templates: int) -> tuple[Threshold, float]:
        """The threshold at which a stranger matches anyone at a rate, and the rate that it stands for.

        A stranger is compared with every template, so the rate is at most the sum of the rates of single
        comparisons (Boole's inequality, which asks for no independence): each gets rate / templates.

        Parameters
        ----------
        rate : float
            False-positive identification rate that is aimed at, 0..1.
        templates : int
            In the gallery.

        Returns
        -------
        Threshold, float
            Where the pairs do not support so low a rate, the strictest threshold that they do, and the
            higher rate that is all that can be promised.
        """
        each = rate / max(templates, 1)
        if each >= self.least:
            return self.at(each), rate
        return self.at(self.least), min(1.0, self.least * templates)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        record = {**vars(self), "points": [point.to_dict() for point in self.points]}
        return {**record, "slope": round(self.slope, 6), "intercept": round(self.intercept, 6)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Calibration:
        """The calibration of a record of `to_dict`."""
        points = tuple(
            Threshold(
                point["target"],
                point["threshold"],
                _interval(point["false_matches"]),
                _interval(point["false_non_matches"]),
            )
            for point in record["points"]
        )
        return cls(**{**record, "points": points})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, whole or not at all."""
        atomic.write_text(path, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")


def _interval(record: Mapping[str, float | None]) -> Interval:
    value, low, high = (math.nan if (x := record[name]) is None else x for name in ("value", "low", "high"))
    return Interval(value, low, high)


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read what `Calibration.save` wrote; DataError says what is wrong with it."""
    try:
        return Calibration.from_dict(json.loads(Path(path).read_text("utf-8")))
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{os.fspath(path)}: not a calibration; expected one that "
            "`rehead faces evaluate --save-calibration` wrote"
        ) from error


def calibrate(
    embeddings: NDArray[np.float32],
    people: NDArray[np.intp],
    *,
    contract: str,
    source: str,
    seed: int = 0,
) -> Calibration:
    """Find out what scores mean, from photos of people who are known.

    Parameters
    ----------
    embeddings : float32 ndarray (n, D)
    people : int ndarray (n,)
        Person on each photo, as a code.
    contract : str
        Digest of the embedding contract.
    source : str
        What the photos are, for people to read.
    seed : int
        Of the split into halves.

    Raises
    ------
    DataError
        Too few people, or nobody with two photos.
    """
    names = np.unique(people)
    half = np.random.default_rng(seed).permutation(names)[: (len(names) + 1) // 2]
    chosen_on = np.isin(people, half)
    setting = all_pairs(embeddings[chosen_on], people[chosen_on], seed=seed)
    telling = all_pairs(embeddings[~chosen_on], people[~chosen_on], seed=seed)
    impostors = len(half) * (len(half) - 1) // 2
    least = rule_of_three(impostors)
    if least > _LOOSEST:
        raise DataError(
            f"{len(names)} people are too few to calibrate with: the {impostors} pairs of different people "
            f"among half of them support no false-match rate; {_fewest_people()} people or more are needed"
        )
    slope, intercept = fit_probability(setting.score, setting.same)
    count = math.ceil(_PER_DECADE * math.log10(_LOOSEST / least) - 1e-9)
    targets = [_LOOSEST * 10 ** (-n / _PER_DECADE) for n in range(count)] + [least]
    strangers = ImpostorPairs.of(setting)
    points = tuple(_point(target, strangers.threshold(target), telling) for target in targets)
    return Calibration(
        contract,
        source,
        len(names),
        int(setting.same.sum()),
        impostors,
        slope,
        intercept,
        points,
    )


def _fewest_people() -> int:
    """People whose half makes enough pairs for the loosest rate."""
    n = 2
    while rule_of_three(((n + 1) // 2) * ((n + 1) // 2 - 1) // 2) > _LOOSEST:
        n += 1
    return n


def _point(target: float, threshold: float, telling: Pairs) -> Threshold:
    same = telling.same
    missed = telling.score[same] < threshold
    return Threshold(
        target, threshold, ImpostorPairs.of(telling).rate(threshold), proportion(missed, telling.first[same])
    )


def shipped(contract: Mapping[str, Any]) -> Calibration | None:
    """The calibration that comes with rehead for an embedder; None where there is none."""
    return _all().get(spec_fingerprint(contract))


@cache
def _all() -> dict[str, Calibration]:
    records = json.loads(files(__package__).joinpath("calibrations.json").read_text("utf-8"))
    return {record["contract"]: Calibration.from_dict(record) for record in records}
