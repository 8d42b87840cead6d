"""False-match rates (FMR): their intervals, and the lowest that pairs of different people support.

**The rule of three.** With no false match among n impostor pairs the FMR may still be 3 / n (Hanley and
Lippman-Hand 1983; ISO/IEC 19795-1). n counts pairs of people, not of photos: twenty photos of two people are
one pair.

**Intervals.** Pairs that share a person are not independent. The variance of an FMR sums over pairs with a
person in common (Bickel's estimator in Wayman 2000; Aronow, Samii and Assenova 2015), and Wilson's interval
is taken at the number of independent pairs that has the same variance.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...evaluation.intervals import Interval, wilson
from .pairs import Pairs

__all__ = ["ImpostorPairs", "rule_of_three", "threshold_at"]

_RULE_OF_THREE = 3


def rule_of_three(pairs: int) -> float:
    """The lowest rate that `pairs` independent pairs support, by the rule of three; 1 where too few."""
    return min(1.0, _RULE_OF_THREE / pairs) if pairs else 1.0


def threshold_at(impostors: NDArray[np.float64], target_fmr: float) -> float:
    """The lowest score that at most a share `target_fmr` of impostor scores (m,) reach, and of new ones too.

    The order statistic of split conformal prediction: of m + 1 equally likely ranks. Given the best score of
    each stranger in a gallery, it is the threshold for a false-positive identification rate.
    """
    ordered = np.sort(impostors)[::-1]
    allowed = math.floor((len(ordered) + 1) * target_fmr + 1e-9) - 1  # scores that may reach it
    if allowed < 0:
        raise DataError(
            f"{len(ordered)} pairs of different people support no false-match rate of {target_fmr:g}; "
            f"add people, or ask for {rule_of_three(len(ordered)):.2g} or more"
        )
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], math.inf))


@dataclass(frozen=True)
class ImpostorPairs:
    """Pairs of different people.

    Parameters
    ----------
    score : float64 ndarray (m,)
    first, second : int ndarray (m,)
        The people of each pair, as codes 0 .. people - 1.
    pair : int ndarray (m,)
        The two people together, as a code 0 .. different - 1.
    people, different : int
        How many people, and pairs of people, there are.
    """

    score: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    pair: NDArray[np.intp]
    people: int
    different: int

    @classmethod
    def of(cls, pairs: Pairs) -> ImpostorPairs:
        """The impostor pairs among `pairs`."""
        apart = ~pairs.same
        score, first, second = pairs.score[apart], pairs.first[apart], pairs.second[apart]
        names, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
        first, second = np.split(codes, 2)
        both = np.minimum(first, second) * len(names) + np.maximum(first, second)
        kinds, pair = np.unique(both, return_inverse=True)
        return cls(score, first, second, pair, len(names), len(kinds))

    def fmr(self, threshold: float) -> Interval:
        """Share that reaches a threshold, with its 95 % interval; NaN where there are no pairs."""
        hits = self.score >= threshold
        m = len(hits)
        if m == 0:
            return wilson(0, 0)
        p = float(hits.mean())
        if p in (0.0, 1.0):
            return wilson(p * self.different, self.different)
        residual = hits - p
        by_person = np.bincount(self.first, residual, self.people)
        by_person += np.bincount(self.second, residual, self.people)
        of_pair = np.bincount(self.pair, residual)
        # products over pairs with a person in common: those with both in common are in two of the squares
        variance = (float(by_person @ by_person) - float(of_pair @ of_pair)) / m**2
        n = p * (1 - p) / variance if variance > 0 else math.inf
        disjoint = min(self.people / 2, self.different)  # pairs that share nobody
        n = min(max(n, disjoint), self.different)
        return wilson(p * n, n)

    def threshold(self, target_fmr: float) -> float:
        """The lowest threshold at which the upper end of the FMR's interval is within `target_fmr`.

        Raises
        ------
        DataError
            The target is lower than the pairs support.
        """
        if target_fmr < rule_of_three(self.different) * (1 - 1e-9):
            raise DataError(
                f"{self.different:,} pairs of different people support no false-match rate of "
                f"{target_fmr:g}; add people, or ask for {rule_of_three(self.different):.2g} or more"
            )
        above = np.nextafter(np.unique(self.score), math.inf)  # just above each score, ascending

        def supported(threshold: float) -> bool:
            return self.fmr(threshold).high <= target_fmr

        # the highest lets none match, which the rule of three supports
        return float(above[bisect_left(above, True, hi=len(above) - 1, key=supported)])
