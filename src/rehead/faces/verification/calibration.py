"""What a score means: probabilities, and thresholds at a target false-match rate (FMR).

**Probability.** Platt scaling (Platt 1999): a logistic curve through genuine and impostor scores, both of the
same weight. It gives the probability that a pair shows one person, at even prior odds. The curve is too flat
where impostors are rare, so between the thresholds the likelihood ratio is counted: the share of genuine
scores over that of impostor scores, made to rise by pooling adjacent violators (Brümmer and du Preez 2006).

**Thresholds.** People are split in two halves. Thresholds are set on pairs of people of the first half, so
that the upper end of the FMR's interval is no higher than the target; FMR and FNMR (false-non-match rate) are
measured on the second half, so no person is on both sides.

**Limits.** A target that the pairs cannot support, by the rule of three (see `error_rates`), is refused.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core import atomic
from ...errors import DataError
from ...evaluation.intervals import Interval, proportion
from ..embedding.spec import spec_fingerprint
from .error_rates import ImpostorPairs, rule_of_three
from .pairs import all_pairs

__all__ = ["Calibration", "Threshold", "calibrate", "fit_probability", "read_calibration", "shipped"]

_PER_DECADE = 8  # thresholds from a target to its tenth, 0.1 and 0.01 among them; interpolated in between
_MAX_FMR = 0.1  # a false match in ten pairs: nobody asks for more


def fit_probability(score: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[float, float]:
    """Platt scaling: slope and intercept of the logistic curve through the scores (m,) of pairs.

    Genuine and impostor pairs have the same total weight. Platt's targets (1999) allow for one more pair of
    each kind on the wrong side.
    """
    n = np.array([(~same).sum(), same.sum()])
    if n.min() == 0:
        raise DataError(
            f"{n[1]} pairs of one person and {n[0]} of different people; both kinds are needed to calibrate"
        )
    from sklearn.linear_model import LogisticRegression

    target = np.where(same, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))
    weight = np.where(same, 0.5 / n[1], 0.5 / n[0])
    mean, std = float(score.mean()), float(score.std()) or 1.0
    x = ((score - mean) / std)[:, None]
    # a soft target is a pair of either label, weighted
    curve = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(
        np.concatenate([x, x]),
        np.repeat([True, False], len(x)),
        np.concatenate([weight * target, weight * (1 - target)]),
    )
    slope = float(curve.coef_[0, 0]) / std
    return slope, float(curve.intercept_[0]) - slope * mean


@dataclass(frozen=True)
class Threshold:
    """A threshold, and its error rates on people who had no part in setting it.

    Parameters
    ----------
    target_fmr : float
        False-match rate that it was set for.
    value : float
        A pair matches from this score on.
    fmr : Interval
        Share of pairs of different people that match.
    fnmr : Interval
        Share of pairs of one person that do not.
    """

    target_fmr: float
    value: float
    fmr: Interval
    fnmr: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "target": self.target_fmr,
            "threshold": round(self.value, 6),
            "false_matches": _rates(self.fmr),
            "false_non_matches": _rates(self.fnmr),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Threshold:
        """The threshold of a record of `to_dict`; ValueError, TypeError or KeyError where it is none."""
        rates = (_interval(_of(dict, record[name])) for name in ("false_matches", "false_non_matches"))
        return cls(_finite(record, "target"), _finite(record, "threshold"), *rates)


@dataclass(frozen=True)
class Calibration:
    """What the scores of one embedder mean.

    Parameters
    ----------
    fingerprint : str
        Of the embedding spec that the scores came from, see `spec_fingerprint`.
    source : str
        Name of the data set it was measured on.
    people : int
        Different people in it.
    genuine : int
        Pairs of one person that the curve was fitted on.
    impostors : int
        Pairs of different people that the thresholds were set on; the rule of three counts these.
    slope, intercept : float
        The probability of a score s is 1 / (1 + exp(-(slope * s + intercept))).
    thresholds : tuple of Threshold
        From the loosest to the strictest that is supported.
    """

    fingerprint: str
    source: str
    people: int
    genuine: int
    impostors: int
    slope: float
    intercept: float
    thresholds: tuple[Threshold, ...]

    @property
    def min_fmr(self) -> float:
        """The lowest false-match rate that it supports."""
        return self.thresholds[-1].target_fmr

    @cached_property
    def _counted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores (k,), and the logarithms of the likelihood ratios counted at them."""
        target = np.array([each.target_fmr for each in self.thresholds])
        value = np.array([each.value for each in self.thresholds])
        missed = np.array([each.fnmr.value for each in self.thresholds])
        if len(value) < 2 or np.isnan(missed).any():
            return np.zeros(1), np.full(1, -np.inf)
        from scipy.optimize import isotonic_regression

        impostors, middle = -np.diff(target), (value[1:] + value[:-1]) / 2
        rising = isotonic_regression(np.diff(missed) / impostors, weights=impostors).x
        with np.errstate(divide="ignore"):
            return middle, np.log(np.maximum(rising, 0))

    def log_ratio(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the likelihood ratio of scores (...): one person against two; it never falls."""
        curve = self.slope * scores + self.intercept
        at, counted = self._counted
        place = np.searchsorted(at, scores, side="right") - 1  # as a step, which no count is extrapolated by
        return np.asarray(np.where(place < 0, curve, np.maximum(curve, counted[place])))

    def probability(self, score: float) -> float:
        """Probability, 0..1, that a pair of this score shows one person, at even prior odds."""
        return 0.5 * (1 + math.tanh(float(self.log_ratio(np.array(score, np.float64))) / 2))

    def at(self, target_fmr: float) -> Threshold:
        """The threshold for a false-match rate, with the error rates measured nearest to it.

        Raises
        ------
        DataError
            The rate is lower than the pairs support, or not between 0 and 1.
        """
        if not 0 < target_fmr < 1:
            raise DataError(f"the false-match rate is {target_fmr:g}; expected more than 0 and less than 1")
        if target_fmr < self.min_fmr * (1 - 1e-9):
            raise DataError(
                f"a false-match rate of {target_fmr:.2g} cannot be promised: 0 of {self.impostors:,} pairs "
                f"of different people support no better than {self.min_fmr:.2g}; ask for that, or calibrate "
                "with more people"
            )
        targets = [each.target_fmr for each in self.thresholds]
        if target_fmr >= targets[0]:
            return self.thresholds[0]
        n = next(i for i in range(1, len(targets)) if targets[i] <= target_fmr * (1 + 1e-9))
        loose, strict = self.thresholds[n - 1], self.thresholds[n]
        # between two thresholds the logarithm of the FMR falls about linearly
        fraction = math.log(targets[n - 1] / target_fmr) / math.log(targets[n - 1] / targets[n])
        value = loose.value + min(fraction, 1.0) * (strict.value - loose.value)
        # the error rates of the looser one, which are no lower than those between
        near = strict if fraction > 1 - 1e-6 else loose
        return replace(near, target_fmr=target_fmr, value=value, fnmr=strict.fnmr)

    def for_gallery(self, fpir: float, templates: int) -> tuple[Threshold, float]:
        """The threshold of a single comparison at a false-positive identification rate.

        A stranger is compared with every template, so the FPIR is at most the sum of the FMRs of single
        comparisons (Boole's inequality, which asks for no independence): each gets fpir / templates.

        Parameters
        ----------
        fpir : float
            Share of strangers who may be identified as somebody, 0..1.
        templates : int
            In the gallery.

        Returns
        -------
        Threshold, float
            And the FPIR that is supported: `fpir` or, where the pairs do not support so low a rate, the
            higher one of the strictest threshold that they do support.
        """
        target_fmr = fpir / max(templates, 1)
        if target_fmr >= self.min_fmr:
            return self.at(target_fmr), fpir
        return self.at(self.min_fmr), min(1.0, self.min_fmr * templates)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "contract": self.fingerprint,
            "source": self.source,
            "people": self.people,
            "genuine": self.genuine,
            "impostors": self.impostors,
            "slope": round(self.slope, 6),
            "intercept": round(self.intercept, 6),
            "points": [each.to_dict() for each in self.thresholds],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Calibration:
        """The calibration of a record of `to_dict`; ValueError, TypeError or KeyError where it is none."""
        points = _of(list, _of(dict, record)["points"])
        thresholds = tuple(Threshold.from_dict(_of(dict, point)) for point in points)
        targets = [each.target_fmr for each in thresholds]
        values = [each.value for each in thresholds]
        if not targets or not 0 < targets[-1] <= targets[0] < 1:
            raise ValueError("no targets between 0 and 1")
        if targets != sorted(set(targets), reverse=True) or values != sorted(values):
            raise ValueError("targets must fall, and thresholds must not")
        return cls(
            fingerprint=_of(str, record["contract"]),
            source=_of(str, record["source"]),
            people=_of(int, record["people"]),
            genuine=_of(int, record["genuine"]),
            impostors=_of(int, record["impostors"]),
            slope=_finite(record, "slope"),
            intercept=_finite(record, "intercept"),
            thresholds=thresholds,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, whole or not at all."""
        atomic.write_text(path, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")


def _rates(interval: Interval) -> dict[str, float | None]:
    """As `Interval.to_dict`, but to six significant digits: rates of a millionth are common here."""
    return {name: None if math.isnan(x) else float(f"{x:.6g}") for name, x in vars(interval).items()}


_Kind = TypeVar("_Kind")


def _of(kind: type[_Kind], value: object) -> _Kind:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is expected")
    return value


def _finite(record: Mapping[str, Any], name: str) -> float:
    value = record[name]
    number = float(value if type(value) is int else _of(float, value))
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}")
    return number


def _interval(record: Mapping[str, float | None]) -> Interval:
    """null is NaN: there was nothing to count."""
    return Interval(
        *(math.nan if record[name] is None else _finite(record, name) for name in ("value", "low", "high"))
    )


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read what `Calibration.save` wrote; DataError says what is wrong with it."""
    try:
        return Calibration.from_dict(json.loads(Path(path).read_text("utf-8")))
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise DataError(
            f"{os.fspath(path)}: not a calibration ({what}); expected one that "
            "`rehead faces evaluate --save-calibration` wrote"
        ) from error


def calibrate(
    embeddings: NDArray[np.float32],
    people: NDArray[np.intp],
    *,
    fingerprint: str,
    source: str,
    seed: int = 0,
) -> Calibration:
    """Calibrate an embedder's scores on photos of known people.

    Parameters
    ----------
    embeddings : float32 ndarray (n, D)
    people : int ndarray (n,)
        Person on each photo, as a code.
    fingerprint : str
        Of the embedding spec.
    source : str
        Name of the photos, for people to read.
    seed : int
        Of the split into halves.

    Raises
    ------
    DataError
        Too few people, or nobody with two photos.
    """
    codes = np.unique(people)
    half = np.random.default_rng(seed).permutation(codes)[: (len(codes) + 1) // 2]
    in_half = np.isin(people, half)
    fitting = all_pairs(embeddings[in_half], people[in_half], seed=seed)
    testing = all_pairs(embeddings[~in_half], people[~in_half], seed=seed)
    impostors = math.comb(len(half), 2)
    min_fmr = rule_of_three(impostors)
    if min_fmr > _MAX_FMR:
        raise DataError(
            f"{len(codes)} people are too few to calibrate with: the {impostors} pairs of different people "
            f"among half of them support no false-match rate; {_min_people()} people or more are needed"
        )
    slope, intercept = fit_probability(fitting.score, fitting.same)
    count = math.ceil(_PER_DECADE * math.log10(_MAX_FMR / min_fmr) - 1e-9)
    targets = [_MAX_FMR * 10 ** (-n / _PER_DECADE) for n in range(count)] + [min_fmr]
    impostor_pairs, impostor_tests = ImpostorPairs.of(fitting), ImpostorPairs.of(testing)
    genuine_tests = testing.take(testing.same)

    def measured(target: float) -> Threshold:
        value = impostor_pairs.threshold(target)
        fnmr = proportion(genuine_tests.score < value, genuine_tests.first)
        return Threshold(target, value, impostor_tests.fmr(value), fnmr)

    thresholds = tuple(map(measured, targets))
    genuine = int(fitting.same.sum())
    return Calibration(fingerprint, source, len(codes), genuine, impostors, slope, intercept, thresholds)


def _min_people() -> int:
    """People whose half makes enough pairs for the highest target."""
    return next(n for n in itertools.count(2) if rule_of_three(math.comb((n + 1) // 2, 2)) <= _MAX_FMR)


def shipped(embedding_spec: Mapping[str, Any]) -> Calibration | None:
    """The calibration that comes with rehead for an embedder; None where there is none."""
    return _all().get(spec_fingerprint(embedding_spec))


@cache
def _all() -> dict[str, Calibration]:
    records = json.loads(files(__package__).joinpath("calibrations.json").read_text("utf-8"))
    return {record["contract"]: Calibration.from_dict(record) for record in records}
