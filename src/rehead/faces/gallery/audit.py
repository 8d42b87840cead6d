"""Who in a gallery may be enrolled wrongly: photos of somebody else, one person twice, look-alikes.

Two thresholds. A photo is doubtful where it is less like all of its person's others
than one in a hundred strangers would be. Two people are only named together from a score that not one pair of
all the different people here should reach by chance, or as near to that as the calibration supports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..verification.calibration import Calibration

__all__ = ["EnrolmentIssue", "Limits", "audit"]

_DUPLICATES = 0.5  # share of the pairs across that match, from which two people are probably one


_STRANGERS = 0.01  # share of pairs of different people that are as alike as a doubtful photo and its own


@dataclass(frozen=True)
class Limits:
    """From which scores photos are taken to show one person.

    Parameters
    ----------
    own : float
        With the person's other photos.
    other : float
        With somebody else's.
    by_chance : float
        Pairs of different people, of all those here, that reach `other` at most.
    """

    own: float
    other: float
    by_chance: float

    @classmethod
    def of(cls, calibration: Calibration, people: int) -> Limits:
        """Those for so many people."""
        pairs = max(1, people * (people - 1) // 2)
        rate = min(_STRANGERS, max(1 / pairs, calibration.least))
        return cls(
            calibration.at(max(_STRANGERS, calibration.least)).threshold,
            calibration.at(max(rate, calibration.least)).threshold,
            rate * pairs,
        )


@dataclass(frozen=True)
class EnrolmentIssue:
    """Something to look at.

    Parameters
    ----------
    kind : {"mislabelled", "odd", "duplicate", "look-alike"}
        A photo that looks like another person and not like its own; one that looks like nobody, its own
        person included; two people who are probably one; two people of whom a few photos match.
    person, other : str
        `other` is "" where a photo is odd.
    row : int or None
        Of the photo, where it is about one.
    score : float
        The highest with the other person, or of an odd photo with its own.
    share : float
        Of the pairs of the two people's photos, or of the photo with the other person, that match.
    """

    kind: Literal["mislabelled", "odd", "duplicate", "look-alike"]
    person: str
    other: str
    row: int | None
    score: float
    share: float

    @property
    def sentence(self) -> str:
        """What to look at, in plain words."""
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


def audit(
    vectors: NDArray[np.float32], people: NDArray[np.intp], names: Sequence[str], limits: Limits
) -> list[EnrolmentIssue]:
    """Look for doubtful enrolments.

    Parameters
    ----------
    vectors : float32 ndarray (n, D)
        Embeddings of length one.
    people : int ndarray (n,)
        Person of each, as an index of `names`; everybody has a photo.
    names : sequence of str
    limits : Limits

    Returns
    -------
    list of EnrolmentIssue
        Photos first, then pairs of people; the most doubtful of each kind first.
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
        matching = np.add.reduceat(scores >= limits.other, starts, axis=1) / count
        doubtful = best[:, person] < limits.own if n > 1 else np.zeros(n, bool)
        photos += [
            _about_photo(person, int(rows[i]), best[i], matching[i], names, limits.other)
            for i in np.flatnonzero(doubtful)
        ]
        if not doubtful.all():
            shares[person], highest[person] = matching[~doubtful].mean(axis=0), best[~doubtful].max(axis=0)
    pairs: list[EnrolmentIssue] = []
    for a, b in np.argwhere(np.triu(np.minimum(highest, highest.T) >= limits.other, 1)):
        share, top = float(min(shares[a, b], shares[b, a])), float(min(highest[a, b], highest[b, a]))
        kind: Literal["duplicate", "look-alike"] = "duplicate" if share >= _DUPLICATES else "look-alike"
        pairs.append(EnrolmentIssue(kind, names[a], names[b], None, top, share))
    kinds = ("mislabelled", "odd", "duplicate", "look-alike")
    return sorted(
        [*photos, *pairs],
        key=lambda d: (kinds.index(d.kind), -d.share, d.score if d.kind == "odd" else -d.score),
    )


def _about_photo(
    person: int,
    row: int,
    best: NDArray[np.floating],
    share: NDArray[np.floating],
    names: Sequence[str],
    threshold: float,
) -> EnrolmentIssue:
    """Say what is odd about a photo that matches none of its person's others."""
    others = best.copy()
    others[person] = -1.0
    other = int(others.argmax())
    if others[other] >= threshold:
        return EnrolmentIssue(
            "mislabelled", names[person], names[other], row, float(others[other]), float(share[other])
        )
    return EnrolmentIssue("odd", names[person], "", row, float(best[person]), 0.0)
