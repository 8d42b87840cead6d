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
    "GallerySize",
    "Likeness",
    "NewTemplate",
    "Person",
    "PhotoRecord",
    "Removal",
    "Templates",
    "checked_day",
    "checked_name",
    "checked_text",
    "today",
]


def checked_name(name: str) -> str:
    """A person's name as stored: in Unicode's composed form, without spaces around it; else DataError."""
    checked_text(name, "a person's name")
    clean = unicodedata.normalize("NFC", name).strip()
    if not clean or clean == UNKNOWN:
        raise DataError(f"{name!r} cannot be a person's name; it means nobody")
    if any(unicodedata.category(letter) == "Cc" for letter in clean):
        raise DataError(f"{name!r} cannot be a person's name; it has control characters")
    return clean


def checked_text(text: str | None, what: str) -> str | None:
    """Text that can be stored; DataError where it is not UTF-8, as arguments and file names may be."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{text!r} cannot be {what}; it is not UTF-8") from error
    return text


def checked_day(day: str | None, *, coming: bool = False) -> str | None:
    """A day in ISO 8601, such as 2027-12-31; DataError where it is none, or past and not `coming`."""
    if day is None:
        return None
    try:
        date = datetime.date.fromisoformat(day)
    except ValueError as error:
        raise DataError(f"{day!r} is not a day; expected one such as 2027-12-31") from error
    if coming and date < today():
        raise DataError(f"{date} is past; expected the last day on which they are recognised, today or later")
    return date.isoformat()


def today() -> datetime.date:
    """The day by which people expire: local, as people write it."""
    return datetime.date.today()


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
    hash : int
        `perceptual_hash` of the photo, 0 where there is none.
    """

    sha256: str
    path: str
    vector: NDArray[np.float32]
    face: Mapping[str, Any]
    hash: int = 0


@dataclass(frozen=True)
class Likeness:
    """By what copies of an enrolled photo are known: path, sha256, `perceptual_hash` (0: none), embedding."""

    path: str
    sha256: str
    hash: int
    vector: NDArray[np.float32]


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
        return self.expires is not None and self.expires < today().isoformat()


@dataclass(frozen=True)
class PhotoRecord:
    """An enrolled photo: its row, person, sha256, where it was, when it was added, and its face."""

    row: int
    person: str
    sha256: str
    path: str
    added: str
    face: Mapping[str, Any]

    @property
    def quality(self) -> dict[str, float]:
        """Measures of the face's quality, those that are numbers."""
        found = self.face.get("quality")
        measures = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in measures if isinstance(value, int | float)}


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
        Whether templates were encrypted, and their data key is no more in the gallery.
    journal_cleared : bool
        Whether they are overwritten in the file and its journal; False as long as another process reads them.
    key_replaced : bool
        Whether the gallery has a new master key, with which older copies of it cannot be read.
    """

    name: str
    photos: int
    templates: int
    key_destroyed: bool
    journal_cleared: bool
    key_replaced: bool


@dataclass(frozen=True)
class GallerySize:
    """How many templates and people are searched, and how many people have expired."""

    templates: int
    people: int
    expired: int


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
    expired : int
        People who have, and are not searched.
    unseen : int
        People who were not compared, as an index did not propose them.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    starts: NDArray[np.intp]
    expired: int = 0
    unseen: int = 0

    @property
    def why_nobody(self) -> str:
        """Why nobody is found where nobody is searched."""
        if self.unseen:
            return "the index proposes nobody"
        return "everybody in the gallery has expired" if self.expired else "the gallery is empty"

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
