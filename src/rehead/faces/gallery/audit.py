"""Audit of enrolments: photos of somebody else, one person under two names, look-alikes.

Two thresholds. A photo is an issue where its scores with all others of its person are below what one in a
hundred pairs of different people reach. Two people are an issue only from a score that not one pair of all
the different people here should reach by chance, or as near to that as the calibration supports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..verification.calibration import Calibration

__all__ = ["AuditThresholds", "EnrolmentIssue", "audit"]

_DUPLICATE = 0.5  # share of matching pairs of photos from which two people are probably one
_SAME_PERSON_FMR = 0.01  # at the threshold of a photo with its person's others


@dataclass(frozen=True)
class AuditThresholds:
    """From which scores photos count as being of one person.

    Parameters
    ----------
    same_person : float
        With the person's other photos.
    other_person : float
        With somebody else's.
    by_chance : float
        Expected number of pairs of different people, at most, that reach `other_person`.
    """

    same_person: float
    other_person: float
    by_chance: float

    @classmethod
    def of(cls, calibration: Calibration, people: int) -> AuditThresholds:
        """The thresholds for so many people."""
        pairs = max(1, people * (people - 1) // 2)
        fmr = min(_SAME_PERSON_FMR, max(1 / pairs, calibration.min_fmr))
        return cls(
            calibration.at(max(_SAME_PERSON_FMR, calibration.min_fmr)).value,
            calibration.at(max(fmr, calibration.min_fmr)).value,
            fmr * pairs,
        )


@dataclass(frozen=True)
class EnrolmentIssue:
    """An enrolment to review.

    Parameters
    ----------
    kind : {"mislabelled", "odd", "duplicate", "look-alike"}
        A photo that matches another person and not its own; one that matches nobody, its own person
        included; two people who are probably one; two people of whom a few photos match.
    person, other : str
        `other` is "" where a photo is odd.
    row : int or None
        Of the photo, where it is about one.
    score : float
        The highest with the other person, or of an odd photo with its own.
    share : float
        Matching pairs of the two people's photos, or of the photo with the other person, 0..1.
    """

    kind: Literal["mislabelled", "odd", "duplicate", "look-alike"]
    person: str
    other: str
    row: int | None
    score: float
    share: float

    @property
    def sentence(self) -> str:
        """The issue in plain words, without a full stop."""
        if self.kind == "mislabelled":
            return f"enrolled as '{self.person}', but looks like '{self.other}' (score {self.score:.2f})"
        if self.kind == "odd":
            return f"unlike the other photos of '{self.person}' (best score {self.score:.2f})"
        if self.kind == "duplicate":
            return (
                f"'{self.person}' and '{self.other}' may be one person "
                f"({100 * self.share:.0f} % of their photos match)"
            )
        return f"'{self.person}' and '{self.other}' look alike (highest score {self.score:.2f})"

    def to_dict(self, photo: str) -> dict[str, Any]:
        """JSON-able record, with the path of the photo."""
        record = {name: value for name, value in vars(self).items() if name != "row"}
        return {**record, "photo": photo, "said": self.sentence}


def audit(
    vectors: NDArray[np.float32], people: NDArray[np.intp], names: Sequence[str], thresholds: AuditThresholds
) -> list[EnrolmentIssue]:
    """Find enrolments to review.

    Parameters
    ----------
    vectors : float32 ndarray (n, D)
        Embeddings of length one.
    people : int ndarray (n,)
        Person of each, as an index of `names`; everybody has a photo.
    names : sequence of str
    thresholds : AuditThresholds

    Returns
    -------
    list of EnrolmentIssue
        Photos first, then pairs of people; the surest of each kind first.
    """
    order = np.argsort(people, kind="stable")
    starts, count = np.unique(people[order], return_index=True, return_counts=True)[1:]
    photos: list[EnrolmentIssue] = []
    shares = np.zeros((len(names), len(names)))
    highest = np.full((len(names), len(names)), -1.0)
    for person, (start, n) in enumerate(zip(starts, count, strict=True)):
        rows = order[start : start + n]
        scores = vectors[rows] @ vectors[order].T
        scores[np.arange(n), start + np.arange(n)] = -1.0  # a photo with itself
        best = np.maximum.reduceat(scores, starts, axis=1)
        matching = np.add.reduceat(scores >= thresholds.other_person, starts, axis=1) / count
        unlike = best[:, person] < thresholds.same_person if n > 1 else np.zeros(n, bool)
        photos += [
            _about_photo(person, int(rows[i]), best[i], matching[i], names, thresholds.other_person)
            for i in np.flatnonzero(unlike)
        ]
        if not unlike.all():
            shares[person], highest[person] = matching[~unlike].mean(axis=0), best[~unlike].max(axis=0)
    pairs: list[EnrolmentIssue] = []
    for a, b in np.argwhere(np.triu(np.minimum(highest, highest.T) >= thresholds.other_person, 1)):
        share, top = float(min(shares[a, b], shares[b, a])), float(min(highest[a, b], highest[b, a]))
        kind: Literal["duplicate", "look-alike"] = "duplicate" if share >= _DUPLICATE else "look-alike"
        pairs.append(EnrolmentIssue(kind, names[a], names[b], None, top, share))
    kinds = ("mislabelled", "odd", "duplicate", "look-alike")
    return sorted(
        [*photos, *pairs],
        key=lambda i: (kinds.index(i.kind), -i.share, i.score if i.kind == "odd" else -i.score),
    )


def _about_photo(
    person: int,
    row: int,
    best: NDArray[np.floating],
    share: NDArray[np.floating],
    names: Sequence[str],
    threshold: float,
) -> EnrolmentIssue:
    """The issue of a photo that matches none of its person's others."""
    others = best.copy()
    others[person] = -1.0
    other = int(others.argmax())
    if others[other] >= threshold:
        return EnrolmentIssue(
            "mislabelled", names[person], names[other], row, float(others[other]), float(share[other])
        )
    return EnrolmentIssue("odd", names[person], "", row, float(best[person]), 0.0)
