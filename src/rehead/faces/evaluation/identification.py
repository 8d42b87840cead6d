"""Open-set identification: people who are enrolled, and strangers.

People are split in two halves. In each, every second person who has two photos or more is enrolled with half
of their photos, and looked for with the others; all photos of everybody else are strangers'. Thresholds are
set on the strangers of one half and judged on the other, and the other way round, so no person stands on both
sides. FPIR is the share of strangers' photos that are taken for somebody, FNIR the share of enrolled people's
that are not recognised as themselves (ISO/IEC 19795-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...evaluation.intervals import Interval, proportion
from ..verification.error_rates import rule_of_three, threshold_at

__all__ = ["OpenSetPoint", "OpenSetResult", "evaluate_open_set"]

_RATES = (0.1, 0.03, 0.01, 0.003)
_FEWEST = 8  # people: two enrolled and two strangers in each half


@dataclass(frozen=True)
class OpenSetPoint:
    """Rates at the thresholds that were set for a false-positive identification rate.

    Parameters
    ----------
    target : float
    supported : bool
        Whether there are strangers enough in each half to speak of so low a rate (the rule of three).
    false_positives, false_negatives : Interval
        FPIR and FNIR, on people who had no part in the threshold.
    """

    target: float
    supported: bool
    false_positives: Interval
    false_negatives: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "target": self.target,
            "supported": self.supported,
            "false_positives": self.false_positives.to_dict(),
            "false_negatives": self.false_negatives.to_dict(),
        }


@dataclass(frozen=True)
class OpenSetResult:
    """What an embedder can do with strangers about.

    Parameters
    ----------
    enrolled : tuple of int
        People in the gallery of each half.
    probes, strangers : int
        Photos of enrolled people that were looked for, and of strangers.
    failures : int
        Photos without a face. Of enrolled people they count as not recognised.
    rank_one : Interval
        Share of the enrolled people's photos whose nearest template is their own, threshold or not.
    points : tuple of OpenSetPoint
    """

    enrolled: tuple[int, ...]
    probes: int
    strangers: int
    failures: int
    rank_one: Interval
    points: tuple[OpenSetPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "enrolled": list(self.enrolled),
            "probes": self.probes,
            "strangers": self.strangers,
            "failures": self.failures,
            "rank_one": self.rank_one.to_dict(),
            "points": [point.to_dict() for point in self.points],
        }


@dataclass(frozen=True)
class _Half:
    enrolled: int
    known: NDArray[np.float64]  # best score of each probe with its own person, -inf where another is nearer
    known_person: NDArray[np.intp]
    nearest: NDArray[np.bool_]
    stranger: NDArray[np.float64]  # best score with anybody
    stranger_person: NDArray[np.intp]


def evaluate_open_set(
    vectors: NDArray[np.float32], people: NDArray[np.intp], *, seed: int = 0
) -> OpenSetResult:
    """Measure FNIR at FPIR.

    Parameters
    ----------
    vectors : float32 ndarray (n, D)
        Embeddings of length one; NaN where no face was found.
    people : int ndarray (n,)
        Person of each, as a code.
    seed : int
        Of the halves, of who is enrolled and with which photos.

    Raises
    ------
    DataError
        Fewer than eight people, or than four with two photos.
    """
    rng = np.random.default_rng(seed)
    found = np.isfinite(vectors.sum(axis=1))
    photos = {person: rng.permutation(np.flatnonzero(people == person)) for person in np.unique(people)}
    several = [person for person, rows in photos.items() if found[rows].sum() >= 2]
    if len(photos) < _FEWEST or len(several) < _FEWEST // 2:
        raise DataError(
            f"{len(photos)} people, {len(several)} of them with two photos or more; {_FEWEST} and "
            f"{_FEWEST // 2} are needed to try identification"
        )
    single = [person for person in photos if person not in set(several)]
    order = [*rng.permutation(several), *rng.permutation(single)]
    halves = [_half(vectors, photos, found, order[n::2], set(several)) for n in (0, 1)]
    fewest = min(len(np.unique(half.stranger_person)) for half in halves)
    nearest = np.concatenate([half.nearest for half in halves])
    owners = np.concatenate([half.known_person for half in halves])
    return OpenSetResult(
        tuple(half.enrolled for half in halves),
        len(owners),
        sum(len(half.stranger) for half in halves),
        int((~found).sum()),
        proportion(nearest, owners),
        tuple(_point(target, halves, fewest) for target in _RATES),
    )


def _half(
    vectors: NDArray[np.float32],
    photos: dict[np.intp, NDArray[np.intp]],
    found: NDArray[np.bool_],
    members: list[np.intp],
    several: set[np.intp],
) -> _Half:
    able = [person for person in members if person in several]
    enrolled = able[: (len(able) + 1) // 2]
    templates, owner, probes, probe_owner = [], [], [], []
    for person in enrolled:
        rows = photos[person]
        usable = rows[found[rows]]
        mine = usable[: len(usable) // 2]
        rest = rows[~np.isin(rows, mine)]
        templates += mine.tolist()
        owner += [person] * len(mine)
        probes += rest.tolist()
        probe_owner += [person] * len(rest)
    outside = [row for person in members if person not in set(enrolled) for row in photos[person].tolist()]
    stranger_person = [
        person for person in members if person not in set(enrolled) for _ in photos[person].tolist()
    ]
    gallery, owners = vectors[templates], np.array(owner)
    known = np.nan_to_num(vectors[probes] @ gallery.T, nan=-np.inf)
    nearest = owners[known.argmax(axis=1)] == np.array(probe_owner)
    nearest &= found[probes]
    best = np.where(nearest, known.max(axis=1), -np.inf)
    strangers = np.nan_to_num(vectors[outside] @ gallery.T, nan=-np.inf).max(axis=1)
    return _Half(
        len(enrolled),
        best,
        np.array(probe_owner, dtype=np.intp),
        nearest,
        strangers,
        np.array(stranger_person, dtype=np.intp),
    )


def _point(target: float, halves: list[_Half], fewest: int) -> OpenSetPoint:
    positives, negatives, who, whose = [], [], [], []
    for setting, telling in (halves, halves[::-1]):
        scores = setting.stranger
        threshold = threshold_at(scores, max(target, 1 / (len(scores) + 1)))
        positives.append(telling.stranger >= threshold)
        negatives.append(telling.known < threshold)
        who.append(telling.stranger_person)
        whose.append(telling.known_person)
    return OpenSetPoint(
        target,
        rule_of_three(fewest) <= target * (1 + 1e-9),
        proportion(np.concatenate(positives), np.concatenate(who)),
        proportion(np.concatenate(negatives), np.concatenate(whose)),
    )
