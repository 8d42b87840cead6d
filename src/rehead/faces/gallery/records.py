"""The records of a gallery, as values."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.rejection import UNKNOWN
from ...errors import DataError

__all__ = [
    "Enrolled",
    "NewTemplate",
    "Person",
    "PhotoRecord",
    "Removal",
    "Templates",
    "check_day",
    "checked_name",
]


def checked_name(name: str) -> str:
    """A person's name as stored: in Unicode's composed form, without spaces around it."""
    clean = unicodedata.normalize("NFC", name).strip()
    if not clean or clean == UNKNOWN:
        raise DataError(f"{name!r} cannot be a person's name; it means nobody")
    return clean


def check_day(day: str | None) -> None:
    """Check a day in ISO 8601; DataError where it is none."""
    if day is None:
        return
    try:
        datetime.date.fromisoformat(day)
    except ValueError as error:
        raise DataError(f"{day!r} is not a day; expected one such as 2027-12-31") from error


@dataclass(frozen=True)
class NewTemplate:
    """A face to enrol.

    Parameters
    ----------
    sha256 : str
        Of the photo's bytes, in hex.
    path : str
        Where the photo was, for people to read and for `rebuild`.
    vector : float32 ndarray (D,)
        Embedding, of length one.
    face : mapping
        `Face.to_dict`.
    """

    sha256: str
    path: str
    vector: NDArray[np.float32]
    face: Mapping[str, Any]


@dataclass(frozen=True)
class Enrolled:
    """What was stored of an enrolment: photos added, and photos known already."""

    name: str
    added: int
    known: int


@dataclass(frozen=True)
class Person:
    """A person in a gallery.

    Parameters
    ----------
    name : str
    photos : int
    added : str
        Date and time, ISO 8601, UTC.
    consent : str or None
        Note about it.
    expires : str or None
        Last day on which the person is recognised, ISO 8601.
    """

    name: str
    photos: int
    added: str
    consent: str | None
    expires: str | None

    @property
    def expired(self) -> bool:
        """Whether the last day has passed."""
        return self.expires is not None and self.expires < datetime.date.today().isoformat()


@dataclass(frozen=True)
class PhotoRecord:
    """An enrolled photo: its row, person, sha256, where it was, when it was added, and its face."""

    row: int
    person: str
    sha256: str
    path: str
    added: str
    face: Mapping[str, Any]


@dataclass(frozen=True)
class Removal:
    """What was removed.

    Parameters
    ----------
    name : str
    photos : int
        Records of photos; the photos themselves are not in a gallery and not touched.
    templates : int
    key_destroyed : bool
        Whether templates were encrypted, so that no copy of them can be read any more.
    journal_cleared : bool
        False where another process has the gallery open: old pages leave the journal when it closes it.
    """

    name: str
    photos: int
    templates: int
    key_destroyed: bool
    journal_cleared: bool


@dataclass(frozen=True)
class Templates:
    """All templates that are searched, sorted by person.

    Parameters
    ----------
    names : tuple of str, length P
        People who have templates and have not expired.
    vectors : float32 ndarray (n, D)
    starts : int ndarray (P,)
        First row of each person.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    starts: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def people(self) -> NDArray[np.intp]:
        """Person of each row, as an index of `names`, int (n,)."""
        return np.repeat(np.arange(len(self.names)), np.diff(np.append(self.starts, len(self.vectors))))

    def best_scores(self, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Highest score of each person's templates for probes (m, D): float32 (m, P)."""
        if not len(self.vectors):
            return np.zeros((len(probes), 0), np.float32)
        scores = self.vectors @ np.ascontiguousarray(probes, dtype=np.float32).T
        return np.asarray(np.maximum.reduceat(scores, self.starts, axis=0).T)
