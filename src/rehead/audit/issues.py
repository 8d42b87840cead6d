"""The types of issues that an audit looks for, and the record of those it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.text import count, listed
from ..data import Dataset
from ..errors import UnknownNameError

__all__ = ["ISSUE_TYPES", "Audit", "Issue", "IssueType", "burst_phrase", "check_issue_types", "in_order"]


@dataclass(frozen=True)
class IssueType:
    """A type of issue.

    Parameters
    ----------
    title : str
        Heading of its list.
    meaning : str
        What it is and what to do about it, in plain sentences.
    phrase : str
        What the photo is, where the issue is a property of single photos, such as "very dark".
    """

    title: str
    meaning: str
    phrase: str = ""


ISSUE_TYPES: Mapping[str, IssueType] = {
    "unreadable": IssueType(
        "Files that cannot be read",
        "Training leaves them out. Copy them again from their source, or remove them.",
    ),
    "contradiction": IssueType(
        "One picture, two classes",
        "The same picture is filed under more than one class: at most one of the labels is right.",
    ),
    "leak": IssueType(
        "On both sides of the split",
        "Pictures that are trained on and tested on: the test then measures memory, not skill.",
    ),
    "name": IssueType(
        "Names of classes",
        "Names that differ in case or spaces only are two classes, and a name that holds several labels is "
        "one: a photo has one class. Rename the folders, or mend the labels.",
    ),
    "label": IssueType(
        "Labels in doubt",
        "A model that did not see the photo says that it looks like another class. Some of these labels are "
        "wrong, others belong to hard photos: look, and do not relabel unseen.",
    ),
    "copy": IssueType(
        "Copies within a class",
        "The same picture more than once: saved again, resized, trimmed, mirrored, or shot again at once. "
        "Copies do no harm as long as a split keeps them together, as rehead's does.",
    ),
    "burst": IssueType(
        "Bursts",
        "Photos of one scene, next to each other in time or number. A random split would put nearly the same "
        "photo on both sides; `rehead train` keeps each burst on one.",
    ),
    "outlier": IssueType(
        "Unlike all others",
        "Photos that resemble no class: strays, drawings, screenshots, or rare and precious ones. Two or so "
        "are named even where nothing is amiss.",
        "unlike all others",
    ),
    "balance": IssueType(
        "Classes that are small",
        "Few photos to learn from, or few beside the other classes, and fewer still to test with.",
    ),
    "blank": IssueType(
        "Blank photos", "Of one colour, or nearly: nothing can be learned from them.", "blank"
    ),
    "dark": IssueType("Dark photos", "Hardly anything in them is brighter than a dark grey.", "very dark"),
    "blurred": IssueType(
        "Blurred photos",
        "Much less sharp than the others, even at the small size that a network sees.",
        "blurred",
    ),
    "tiny": IssueType("Tiny photos", "They are enlarged many times before a network sees them.", "tiny"),
    "shape": IssueType(
        "Very long or very tall photos",
        "A network sees squares: these are squashed out of recognition.",
        "very long or very tall",
    ),
    "unended": IssueType(
        "JPEGs without an end",
        "Their picture is whole and was read, but the file stops before its end marker: it may have been cut "
        "off while it was copied, so copy it again where you can.",
        "without the end marker of a JPEG",
    ),
}
"""Every type by its name, most severe first."""


@dataclass(frozen=True)
class Issue:
    """One issue.

    Parameters
    ----------
    kind : str
        A name of `ISSUE_TYPES`.
    photos : tuple of str
        Ids of the photos it is about; () where it is about a class or about most photos.
    detail : str
        What is wrong, as a phrase.
    score : float
        Severity among issues of its type, higher for more severe; `detail` says what it measures.
    labels : tuple of str
        The classes of those photos, or the class it is about.
    suggested : str
        The class that the model predicts for the photo, "" where none is suggested.
    beside : tuple of str
        Ids of photos to compare with: the nearest of the suggested class, then the nearest of its own.
    """

    kind: str
    photos: tuple[str, ...]
    detail: str
    score: float = 0.0
    labels: tuple[str, ...] = ()
    suggested: str = ""
    beside: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record, without what is empty."""
        optional = {"labels": list(self.labels), "suggested": self.suggested, "beside": list(self.beside)}
        return {
            "kind": self.kind,
            "photos": list(self.photos),
            "detail": self.detail,
            "score": round(self.score, 6),
            **{name: value for name, value in optional.items() if value},
        }


@dataclass(frozen=True, eq=False)
class Audit:
    """The issues of a dataset's photos.

    Parameters
    ----------
    dataset : Dataset
        The photos that were checked.
    issues : tuple of Issue
        In the order of `ISSUE_TYPES`, most severe first within each.
    groups : ndarray of intp (n,)
        Photos of one picture, one burst or one given group share a number.
    left_out : mapping of str to str
        Id and reason of each photo that is better left out of training.
    """

    dataset: Dataset
    issues: tuple[Issue, ...]
    groups: NDArray[np.intp]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Number of issues of each type that has any, in the order of `ISSUE_TYPES`."""
        return {kind: len(found) for kind in ISSUE_TYPES if (found := self.of(kind))}

    def of(self, kind: str) -> list[Issue]:
        """The issues of one type; UnknownNameError where there is no such type."""
        check_issue_types([kind])
        return [issue for issue in self.issues if issue.kind == kind]

    def summary(self) -> list[str]:
        """One plain sentence for each type that has issues."""
        return [_sentence(kind, self.of(kind)) for kind in self.counts]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "photos": len(self.dataset),
            "classes": list(self.dataset.classes),
            "counts": self.counts,
            "summary": self.summary(),
            "issues": [issue.to_dict() for issue in self.issues],
            "left_out": dict(self.left_out),
        }


def in_order(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Issues in the order of `ISSUE_TYPES`, most severe first within each."""
    place = {kind: n for n, kind in enumerate(ISSUE_TYPES)}
    return tuple(sorted(issues, key=lambda issue: (place[issue.kind], -issue.score)))


def check_issue_types(names: Iterable[str]) -> None:
    """Raise UnknownNameError for a name that is no type of issue."""
    for name in names:
        if name not in ISSUE_TYPES:
            raise UnknownNameError("type of issue", name, ISSUE_TYPES)


def burst_phrase(bursts: Sequence[Issue]) -> str:
    """What was seen: "6 photos show 2 scenes, one after the other in time or number"."""
    photos = count(len({name for issue in bursts for name in issue.photos}), "photo")
    scenes = "the same scene" if len(bursts) == 1 else f"only {len(bursts)} scenes"
    return f"{photos} show {scenes}, one right after the other by time or number (bursts)"


def _sentence(kind: str, found: list[Issue]) -> str:
    n, are = len(found), "is" if len(found) == 1 else "are"
    pictures, photos = (
        count(n, "picture"),
        count(len({name for issue in found for name in issue.photos}), "photo"),
    )
    match kind:
        case "unreadable":
            return f"{count(n, 'file')} cannot be read, first {listed([found[0].photos[0]])}."
        case "contradiction":
            return f"{pictures} {are} filed under more than one class, as {photos}."
        case "leak":
            where = "pictures, bursts or groups stand" if n > 1 else "picture, burst or group stands"
            return f"{n} {where} on both sides of the split, as {photos}; a test on them measures memory."
        case "name":
            names = listed(found[0].labels, 5)
            more = f", and {count(n - 1, 'other pair', 'others')}" if n > 1 else ""
            return f"The classes {names} {found[0].detail}{more}."
        case "label" if n == 1:
            return "1 photo looks like another class than its own; its label may be wrong."
        case "label":
            return f"{count(n, 'photo')} look like another class than their own; some labels may be wrong."
        case "copy":
            return f"{pictures} {are} there more than once, as {photos}."
        case "burst":
            return f"{burst_phrase(found)}; `rehead train` keeps each burst on one side of its split."
        case "balance":
            names = listed([issue.labels[0] for issue in found], 5)
            return f"{'A small class' if n == 1 else 'Small classes'}: {names}; {found[0].detail}."
    if whole := [issue for issue in found if not issue.photos]:  # it says itself that most photos are so
        return f"{whole[0].detail[0].upper()}{whole[0].detail[1:]}."
    return f"{count(n, 'photo')} {are} {ISSUE_TYPES[kind].phrase}."
