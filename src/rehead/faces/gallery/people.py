"""The rows of people in a gallery: each with a data key, to which what is noted of the person is bound."""

from __future__ import annotations

import json
import secrets
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GalleryError, UnknownNameError
from .database import NOTED, GalleryDatabase
from .keyring import PersonKey
from .records import GallerySize, Person, Templates, today

__all__ = ["PeopleTable", "PersonRow"]

_AT_ONCE = 500  # values of a statement; SQLite before 3.32 takes up to 999
_STORED = (
    "SELECT photos.id, person, sha256, space, vector FROM photos JOIN templates ON photo = photos.id "
    "JOIN contracts ON contracts.id = contract"
)


def _batches(values: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Values, as many as a statement takes at once, with their marks for it."""
    for start in range(0, len(values), _AT_ONCE):
        some = values[start : start + _AT_ONCE]
        yield ", ".join("?" * len(some)), some


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

    def all(self, where: str = "", *values: str | int) -> list[PersonRow]:
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
            raise GalleryError(f"{self._file.place}: nobody is in this gallery")
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

    def add_templates(
        self, contract: int, rows: Sequence[tuple[int, bytes, Mapping[str, Any], NDArray[np.float32]]]
    ) -> None:
        """Templates of photos: photo, as the person's key has encrypted it, face, and embedding (D,)."""
        self._file.execute_many(
            "INSERT INTO templates (photo, contract, vector, face) VALUES (?, ?, ?, ?)",
            [(photo, contract, stored, json.dumps(face)) for photo, stored, face, _ in rows],
        )
        if self._file.index is not None:
            self._file.index.add((photo, vector) for photo, _, _, vector in rows)

    def stored(self, row: PersonRow) -> Iterator[tuple[int, str, str, NDArray[np.float32]]]:
        """Row and sha256 of each photo, embedder and embedding; DamagedGalleryError where one was changed."""
        for found in self._file.execute(f"{_STORED} WHERE person = ? ORDER BY photos.id", row.row):
            photo, _, sha256, fingerprint, _ = found
            yield photo, sha256, fingerprint, self._opened(row, found)

    def _opened(self, row: PersonRow, found: Sequence[Any]) -> NDArray[np.float32]:
        """The embedding (D,) of a person's row as `_STORED` gives it."""
        _, _, sha256, fingerprint, stored = found
        data = row.key.decrypt(stored, sha256, fingerprint)
        vector = np.frombuffer(data, "<f4") if data is not None and len(data) % 4 == 0 else None
        if vector is None or not np.isfinite(vector).all():
            raise self._file.keyring.altered(f"a template of {row.person.name!r}")
        return vector

    def searched(self, width: int) -> Templates:
        """Templates (n, width) of all people who have not expired."""
        rows = self.all()
        alive = [row for row in rows if not row.person.expired]
        found: list[Sequence[Any]] = []
        for marks, some in _batches([row.row for row in alive]):
            found += self._file.execute(f"{_STORED} WHERE person IN ({marks})", *some)
        return self._templates(alive, found, width, expired=len(rows) - len(alive))

    def proposed(self, photos: Sequence[int], width: int) -> Templates:
        """Templates (n, width) of some photos, of people who have not expired."""
        found: list[Sequence[Any]] = []
        for marks, some in _batches(photos):
            found += self._file.execute(f"{_STORED} WHERE photos.id IN ({marks})", *some)
        people = sorted({row[1] for row in found})
        rows: list[PersonRow] = []
        for marks, some in _batches(people):
            rows += self.all(f"WHERE id IN ({marks})", *some)
        alive = sorted((row for row in rows if not row.person.expired), key=lambda row: row.person.name)
        return self._templates(alive, found, width)

    def _templates(
        self, rows: Sequence[PersonRow], found: Iterable[Sequence[Any]], width: int, expired: int = 0
    ) -> Templates:
        """What was found of people as `_STORED` gives it, in the people's order."""
        by_person: dict[int, list[Sequence[Any]]] = defaultdict(list)
        for each in found:
            by_person[each[1]].append(each)
        names, starts, vectors = list[str](), list[int](), list[NDArray[np.float32]]()
        for row in rows:
            if own := [self._opened(row, each) for each in sorted(by_person[row.row], key=itemgetter(0))]:
                if {len(vector) for vector in own} != {width}:
                    raise self._file.keyring.altered(f"a template of {row.person.name!r}")
                names.append(row.person.name)
                starts.append(len(vectors))
                vectors += own
        matrix = np.array(vectors, np.float32).reshape(len(vectors), width)
        return Templates(tuple(names), matrix, np.array(starts, dtype=np.intp), expired)

    def size(self) -> GallerySize:
        """Templates and people that are searched, and people who have expired."""
        day = today().isoformat()
        ((templates, people),) = self._file.execute(
            "SELECT count(*), count(DISTINCT person) FROM templates JOIN photos ON photos.id = photo "
            "JOIN people ON people.id = person WHERE expires IS NULL OR expires >= ?",
            day,
        )
        return GallerySize(templates, people, self._count("people WHERE expires < ?", day))

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

    def _count(self, of: str, value: int | str) -> int:
        return int(self._file.execute(f"SELECT count(*) FROM {of}", value)[0][0])
