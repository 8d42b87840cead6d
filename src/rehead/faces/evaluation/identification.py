"""Open-set identification: people who are enrolled, and strangers.

People are split in two halves. In each, every second person who has two photos or more is enrolled with half
of their photos, and the others are probes; all photos of everybody else are strangers'. Thresholds are set on
the strangers of one half and tested on the other, and the other way round, so no person is on both sides.
FPIR is the share of strangers' photos that are identified as somebody, FNIR the share of probes that are not
identified as their own person (ISO/IEC 19795-1).
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

_TARGET_FPIRS = (0.1, 0.03, 0.01, 0.003)
_MIN_PEOPLE = 8  # people: two enrolled and two strangers in each half


@dataclass(frozen=True)
class OpenSetPoint:
    """Error rates at thresholds set for a false-positive identification rate.

    Parameters
    ----------
    target_fpir : float
    supported : bool
        Whether each half has strangers enough for so low a rate (the rule of three).
    fpir, fnir : Interval
        As measured on people who had no part in the threshold.
    """

    target_fpir: float
    supported: bool
    fpir: Interval
    fnir: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "target": self.target_fpir,
            "supported": self.supported,
            "false_positives": self.fpir.to_dict(),
            "false_negatives": self.fnir.to_dict(),
        }


@dataclass(frozen=True)
class OpenSetResult:
    """Open-set identification by one embedder.

    Parameters
    ----------
    enrolled : tuple of int
        People in the gallery of each half.
    probes, strangers : int
        Photos of enrolled people that were searched for, and of strangers.
    failures : int
        Photos without a face. Of enrolled people they count as not identified.
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
        points = [point.to_dict() for point in self.points]
        rank_one = self.rank_one.to_dict()
        return {**vars(self), "enrolled": list(self.enrolled), "rank_one": rank_one, "points": points}


@dataclass(frozen=True)
class _Half:
    enrolled: int
    probe_score: NDArray[np.float64]  # the highest, with the own person; -inf where another is nearer
    probe_person: NDArray[np.intp]
    rank_one: NDArray[np.bool_]  # of each probe, whether its own person is nearest
    stranger_score: NDArray[np.float64]  # the highest with anybody
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
    enrollable = [person for person, rows in photos.items() if found[rows].sum() >= 2]
    if len(photos) < _MIN_PEOPLE or len(enrollable) < _MIN_PEOPLE // 2:
        raise DataError(
            f"{len(photos)} people, {len(enrollable)} of them with two photos or more; {_MIN_PEOPLE} and "
            f"{_MIN_PEOPLE // 2} are needed to try identification"
        )
    single = [person for person in photos if person not in set(enrollable)]
    order = [*rng.permutation(enrollable), *rng.permutation(single)]
    halves = [_half(vectors, people, photos, found, order[n::2], set(enrollable)) for n in (0, 1)]
    n_strangers = min(len(np.unique(half.stranger_person)) for half in halves)
    rank_one = np.concatenate([half.rank_one for half in halves])
    owners = np.concatenate([half.probe_person for half in halves])
    return OpenSetResult(
        tuple(half.enrolled for half in halves),
        len(owners),
        sum(len(half.stranger_score) for half in halves),
        int((~found).sum()),
        proportion(rank_one, owners),
        tuple(_point(target, halves, n_strangers) for target in _TARGET_FPIRS),
    )


def _half(
    vectors: NDArray[np.float32],
    people: NDArray[np.intp],
    photos: dict[np.intp, NDArray[np.intp]],
    found: NDArray[np.bool_],
    members: list[np.intp],
    enrollable: set[np.intp],
) -> _Half:
    able = [person for person in members if person in enrollable]
    enrolled = able[: (len(able) + 1) // 2]
    templates, probes = list[int](), list[int]()
    for person in enrolled:
        rows = photos[person]
        usable = rows[found[rows]]
        own = usable[: len(usable) // 2]
        templates += own.tolist()
        probes += rows[~np.isin(rows, own)].tolist()
    outside = [row for person in members if person not in set(enrolled) for row in photos[person].tolist()]
    gallery = vectors[templates]
    scores = np.nan_to_num(vectors[probes] @ gallery.T, nan=-np.inf)
    rank_one = people[templates][scores.argmax(axis=1)] == people[probes]
    rank_one &= found[probes]
    best = np.where(rank_one, scores.max(axis=1), -np.inf)
    strangers = np.nan_to_num(vectors[outside] @ gallery.T, nan=-np.inf).max(axis=1)
    return _Half(len(enrolled), best, people[probes], rank_one, strangers, people[outside])


def _point(target_fpir: float, halves: list[_Half], n_strangers: int) -> OpenSetPoint:
    positives, negatives = [], []
    for setting, testing in (halves, halves[::-1]):
        scores = setting.stranger_score
        threshold = threshold_at(scores, max(target_fpir, 1 / (len(scores) + 1)))
        positives.append((testing.stranger_score >= threshold, testing.stranger_person))
        negatives.append((testing.probe_score < threshold, testing.probe_person))
    return OpenSetPoint(
        target_fpir,
        rule_of_three(n_strangers) <= target_fpir * (1 + 1e-9),
        *(proportion(*map(np.concatenate, zip(*tests, strict=True))) for tests in (positives, negatives)),
    )
