"""The rows of people in a gallery: each with a data key, to which what is noted of the person is bound."""

from __future__ import annotations

import json
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GalleryError, UnknownNameError
from .database import NOTED, GalleryDatabase
from .keyring import PersonKey
from .records import Person, Templates

__all__ = ["PeopleTable", "PersonRow"]


@dataclass(frozen=True)
class PersonRow:
    """A person with row, id and data key."""

    row: int
    uid: str
    key: PersonKey
    person: Person

    @property
    def noted(self) -> list[str | None]:
        """What the key is bound to, as `NOTED`."""
        return [self.person.name, self.person.consent, self.person.expires, self.person.added]


class PeopleTable:
    """People, their photos and templates, as rows; whoever calls has begun a transaction.

    Parameters
    ----------
    file : GalleryDatabase
    """

    def __init__(self, file: GalleryDatabase) -> None:
        self._file = file

    def all(self, where: str = "", *values: str) -> list[PersonRow]:
        """People, by name; DamagedGalleryError where what is noted of one was changed."""
        found = self._file.execute(
            "SELECT id, uid, key, (SELECT count(*) FROM photos WHERE person = people.id), "
            f"{NOTED} FROM people {where} ORDER BY name",
            *values,
        )
        keyring, rows = self._file.keyring, []
        for row, uid, wrapped, photos, *noted in found:
            key = keyring.person(uid, wrapped, noted)
            name, consent, expires, added = noted
            expires = keyring.checked_day(expires, name)
            rows.append(PersonRow(row, uid, key, Person(name, photos, added, consent, expires)))
        return rows

    def find(self, name: str) -> PersonRow | None:
        """The one of that name, None where there is none."""
        return next(iter(self.all("WHERE name = ?", unicodedata.normalize("NFC", name))), None)

    def named(self, name: str) -> PersonRow:
        """The one of that name; UnknownNameError where there is none."""
        if (found := self.find(name)) is not None:
            return found
        if not (known := self._file.execute("SELECT name FROM people")):
            raise GalleryError(f"{self._file.path}: nobody is in this gallery")
        raise UnknownNameError("person", name, [each for (each,) in known])

    def add(self, name: str, time: str) -> PersonRow:
        """A new person, without photos."""
        uid = secrets.token_hex(16)
        new = PersonRow(0, uid, self._file.keyring.new_person(uid), Person(name, 0, time, None, None))
        ((row,),) = self._file.execute(
            f"INSERT INTO people (uid, key, {NOTED}) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            uid,
            self._file.keyring.wrap(new.key, new.noted),
            *new.noted,
        )
        return replace(new, row=row)

    def note(self, row: PersonRow, person: Person) -> None:
        """Change what is noted of a person."""
        new = replace(row, person=person)
        self._file.execute(
            "UPDATE people SET name = ?, consent = ?, expires = ?, added = ?, key = ? WHERE id = ?",
            *new.noted,
            self._file.keyring.wrap(row.key, new.noted),
            row.row,
        )

    def add_template(self, photo: int, contract: int, stored: bytes, face: Mapping[str, Any]) -> None:
        """The template of a photo, as the person's key has encrypted it."""
        self._file.execute(
            "INSERT INTO templates (photo, contract, vector, face) VALUES (?, ?, ?, ?)",
            photo,
            contract,
            stored,
            json.dumps(face),
        )

    def stored(self, row: PersonRow) -> Iterator[tuple[int, str, str, NDArray[np.float32]]]:
        """Row and sha256 of each photo, embedder and embedding; DamagedGalleryError where one was changed."""
        for photo, sha256, fingerprint, stored in self._file.execute(
            "SELECT photos.id, sha256, space, vector FROM photos JOIN templates ON photo = photos.id "
            "JOIN contracts ON contracts.id = contract WHERE person = ? ORDER BY photos.id",
            row.row,
        ):
            data = row.key.decrypt(stored, sha256, fingerprint)
            vector = np.frombuffer(data, "<f4") if data is not None and len(data) % 4 == 0 else None
            if vector is None or not np.isfinite(vector).all():
                raise self._file.keyring.altered(f"a template of {row.person.name!r}")
            yield photo, sha256, fingerprint, vector

    def searched(self, width: int) -> Templates:
        """Templates (n, width) of all people who have not expired."""
        names, starts, vectors, expired = list[str](), list[int](), list[NDArray[np.float32]](), 0
        for row in self.all():
            if row.person.expired:
                expired += 1
            elif own := [vector for *_, vector in self.stored(row)]:
                if {len(vector) for vector in own} != {width}:
                    raise self._file.keyring.altered(f"a template of {row.person.name!r}")
                names.append(row.person.name)
                starts.append(len(vectors))
                vectors += own
        matrix = np.array(vectors, np.float32).reshape(len(vectors), width)
        return Templates(tuple(names), matrix, np.array(starts, dtype=np.intp), expired)

    def renew(self, row: PersonRow) -> None:
        """Give a person another data key."""
        new = replace(row, key=row.key.renewed())
        for photo, sha256, fingerprint, vector in self.stored(row):
            stored = new.key.encrypt(vector, sha256, fingerprint)
            self._file.execute("UPDATE templates SET vector = ? WHERE photo = ?", stored, photo)
        self.note(new, new.person)

    def delete(self, row: PersonRow) -> int:
        """Delete a person with photos and templates, and look that they are gone; the number of templates."""
        photos = [photo for (photo,) in self._file.execute("SELECT id FROM photos WHERE person = ?", row.row)]
        templates = sum(self._count("templates WHERE photo = ?", photo) for photo in photos)
        self._file.execute("DELETE FROM people WHERE id = ?", row.row)
        self._check_gone(photos, self._count("people WHERE id = ?", row.row))
        return templates

    def delete_photo(self, row: PersonRow, photo: int) -> None:
        """Delete a photo of a person with its template, and look that they are gone."""
        self._file.execute("DELETE FROM photos WHERE id = ? AND person = ?", photo, row.row)
        self._check_gone([photo])

    def _check_gone(self, photos: list[int], left: int = 0) -> None:
        for photo in photos:
            left += self._count("photos WHERE id = ?", photo) + self._count(
                "templates WHERE photo = ?", photo
            )
        if left:
            raise self._file.keyring.altered("how rows are deleted, so that nothing was removed: the file")

    def _count(self, of: str, value: int) -> int:
        return int(self._file.execute(f"SELECT count(*) FROM {of}", value)[0][0])
