"""The store of a gallery: people, photos and templates in its file.

A template is the embedding of one enrolled face, encrypted with its person's own key (see `keyring`) and
bound to the embedding spec that it came from.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.run_dir import now
from ...errors import DamagedGalleryError, GalleryError, OtherEmbedderError, UnknownNameError
from ..embedding.spec import describe_difference, spec_fingerprint
from .keyring import Keyring, PersonKey
from .records import (
    Enrolled,
    NewTemplate,
    Person,
    PhotoRecord,
    Removal,
    Templates,
    check_day,
    checked_name,
)
from .schema import connect, gallery_errors, transaction

__all__ = ["GalleryStore"]


class GalleryStore:
    """The file of a gallery.

    Parameters
    ----------
    path : path
    embedding_spec : mapping, optional
        Of the embedder to use with it; needed to make a new gallery.
    key : bytes, optional
        Master key, 32 bytes.
    create : bool
        Make the file where there is none: encrypted with `key`, or in the clear without.

    Raises
    ------
    GalleryError
        There is no gallery, the key is missing or another, the templates are of another embedder, the
        file is damaged or of a later rehead.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        embedding_spec: Mapping[str, Any] | None = None,
        key: bytes | None = None,
        create: bool = False,
    ) -> None:
        self.path = Path(path)
        self._cached: tuple[object, Templates] | None = None
        self._changes = 0
        self._connection = connect(self.path, create=create)
        try:
            with gallery_errors(self.path):
                if create:
                    self._initialise(embedding_spec or {}, key)
                self._keyring = self._unlock(key)
                if embedding_spec is not None:
                    self.check_embedder(embedding_spec)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; the last to close it empties its journal."""
        self._connection.close()

    def __enter__(self) -> GalleryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def encrypted(self) -> bool:
        """Whether templates are encrypted."""
        return self._keyring.encrypted

    # identity: id, key check, embedding spec

    def _initialise(self, embedding_spec: Mapping[str, Any], key: bytes | None) -> None:
        with transaction(self._connection):
            if self._about("id") is not None:
                return
            uid = secrets.token_hex(16)
            entries = {"id": uid.encode()}
            if key is not None:
                entries["key_check"] = Keyring.new_check(key, uid)
            self._connection.executemany("INSERT INTO about VALUES (?, ?)", entries.items())
            self._set_embedding_spec(embedding_spec)

    def _set_embedding_spec(self, embedding_spec: Mapping[str, Any]) -> int:
        row = self._connection.execute(
            "INSERT INTO contracts (space, record) VALUES (?, ?) "
            "ON CONFLICT (space) DO UPDATE SET space = space RETURNING id",
            (spec_fingerprint(embedding_spec), json.dumps(embedding_spec, sort_keys=True)),
        ).fetchone()
        self._connection.execute(
            "INSERT OR REPLACE INTO about VALUES ('contract', ?)", (str(row[0]).encode(),)
        )
        return int(row[0])

    def _read(self, query: str, *values: str | int | None) -> list[Any]:
        """All rows of a query."""
        with gallery_errors(self.path):
            return self._connection.execute(query, values).fetchall()

    def _about(self, name: str) -> bytes | None:
        rows = self._read("SELECT value FROM about WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def _unlock(self, key: bytes | None) -> Keyring:
        if (uid := self._about("id")) is None:
            raise DamagedGalleryError(f"{self.path}: the gallery was never finished; enrol anew")
        return Keyring(self.path, uid.decode(), self._about("key_check"), key)

    def _contract(self) -> int:
        return int(self._about("contract") or b"0")

    @property
    def embedding_spec(self) -> dict[str, Any]:
        """Of the embedder that made the templates."""
        rows = self._read("SELECT record FROM contracts WHERE id = ?", self._contract())
        record: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
        return record

    def check_embedder(self, embedding_spec: Mapping[str, Any]) -> None:
        """Raise OtherEmbedderError where embeddings of that spec cannot be compared with the templates."""
        own = self.embedding_spec
        if spec_fingerprint(own) == spec_fingerprint(embedding_spec):
            return
        expected, given = describe_difference(own, embedding_spec)
        raise OtherEmbedderError(
            f"{self.path}: its templates come from {expected}, not from {given}; use that embedder, or run "
            f"`rehead faces gallery rebuild {self.path}`, which embeds the photos anew and keeps the names"
        )

    # people

    def enroll(
        self,
        name: str,
        templates: Sequence[NewTemplate],
        *,
        consent: str | None = None,
        expires: str | None = None,
    ) -> Enrolled:
        """Add photos to a person, who is created where there is none; all of it or nothing.

        Photos that the person has already are counted and left as they are. When this returns, the
        photos added are on the disk.

        Raises
        ------
        DataError
            The name is empty or "unknown", or the day is no date.
        """
        name = checked_name(name)
        check_day(expires)
        added, time = 0, now()
        with gallery_errors(self.path), transaction(self._connection):
            person, key = self._person_for(name, time)
            contract = self._contract()
            fingerprint = spec_fingerprint(self.embedding_spec)
            for new in templates:
                inserted = self._connection.execute(
                    "INSERT OR IGNORE INTO photos (person, sha256, path, added) VALUES (?, ?, ?, ?)",
                    (person, new.sha256, new.path, time),
                )
                if not inserted.rowcount:
                    continue
                added += 1
                stored = key.encrypt(new.vector, new.sha256, fingerprint)
                self._insert(inserted.lastrowid, contract, stored, new.face)
            for column, value in (("consent", consent), ("expires", expires)):
                if value is not None:
                    self._connection.execute(f"UPDATE people SET {column} = ? WHERE id = ?", (value, person))
        self._changes += 1
        return Enrolled(name, added, len(templates) - added)

    def _insert(self, photo: int | None, contract: int, stored: bytes, face: Mapping[str, Any]) -> None:
        self._connection.execute(
            "INSERT INTO templates (photo, contract, vector, face) VALUES (?, ?, ?, ?)",
            (photo, contract, stored, json.dumps(face)),
        )

    def _person_for(self, name: str, time: str) -> tuple[int, PersonKey]:
        row = self._connection.execute("SELECT id, uid, key FROM people WHERE name = ?", (name,)).fetchone()
        if row:
            return row[0], self._keyring.person(row[1], row[2])
        uid = secrets.token_hex(16)
        wrapped = self._keyring.new_person(uid)
        inserted = self._connection.execute(
            "INSERT INTO people (uid, name, key, added) VALUES (?, ?, ?, ?)", (uid, name, wrapped, time)
        )
        return int(inserted.lastrowid or 0), self._keyring.person(uid, wrapped)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        rows = self._read(
            "SELECT name, (SELECT count(*) FROM photos WHERE person = people.id), "
            "added, consent, expires FROM people ORDER BY name"
        )
        return [Person(*row) for row in rows]

    def person(self, name: str) -> Person:
        """One of them; UnknownNameError where there is none of that name."""
        known = {person.name: person for person in self.people()}
        if not known:
            raise GalleryError(f"{self.path}: nobody is in this gallery")
        if (found := known.get(unicodedata.normalize("NFC", name))) is None:
            raise UnknownNameError("person", name, known)
        return found

    def photos(self, name: str | None = None) -> list[PhotoRecord]:
        """Enrolled photos, of one person or of all."""
        if name is not None:
            name = self.person(name).name
        rows = self._read(
            "SELECT photos.id, people.name, sha256, path, photos.added, face FROM photos "
            "JOIN people ON people.id = person JOIN templates ON photo = photos.id "
            "WHERE ?1 IS NULL OR people.name = ?1 ORDER BY people.name, photos.id",
            name,
        )
        return [
            PhotoRecord(number, person, sha256, path, added, json.loads(face))
            for number, person, sha256, path, added, face in rows
        ]

    def owners(self, sha256: str) -> list[str]:
        """Names of the people who have a photo of these bytes."""
        query = "SELECT people.name FROM photos JOIN people ON people.id = person WHERE sha256 = ?"
        return [name for (name,) in self._read(query, sha256)]

    def remove(self, name: str) -> Removal:
        """Remove a person, their photos' records and templates, and destroy their key."""
        person = self.person(name)
        with gallery_errors(self.path):
            with transaction(self._connection):
                templates = self._connection.execute(
                    "SELECT count(*) FROM templates JOIN photos ON photos.id = photo "
                    "JOIN people ON people.id = person WHERE name = ?",
                    (person.name,),
                ).fetchone()[0]
                self._connection.execute("DELETE FROM people WHERE name = ?", (person.name,))
            self._changes += 1
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return Removal(person.name, person.photos, templates, self.encrypted, not busy)

    # templates

    def templates(self) -> Templates:
        """Templates of all people who have not expired; kept until the gallery changes."""
        with gallery_errors(self.path):
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]  # of other processes
            state = (version, self._changes, datetime.date.today())
            if self._cached is None or self._cached[0] != state:
                self._cached = (state, self._load())
        return self._cached[1]

    def _load(self) -> Templates:
        width = int(self.embedding_spec.get("dimensions", 0))
        rows = self._connection.execute(
            "SELECT name, uid, key, sha256, space, vector FROM templates "
            "JOIN photos ON photos.id = photo JOIN people ON people.id = person "
            "JOIN contracts ON contracts.id = contract "
            "WHERE expires IS NULL OR expires >= ? ORDER BY name, photos.id",
            (datetime.date.today().isoformat(),),
        )
        names, starts, vectors = list[str](), list[int](), list[bytes]()
        for (name, uid, wrapped), own in itertools.groupby(rows, key=lambda row: row[:3]):
            names.append(name)
            starts.append(len(vectors))
            key = self._keyring.person(uid, wrapped)
            for *_, sha256, fingerprint, stored in own:
                data = key.decrypt(stored, sha256, fingerprint)
                if data is None or len(data) != 4 * width:
                    raise self._keyring.altered(f"a template of {name!r}")
                vectors.append(data)
        matrix = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), width).astype(np.float32)
        if not np.isfinite(matrix).all():
            raise self._keyring.altered("a template")
        return Templates(tuple(names), matrix, np.array(starts, dtype=np.intp))

    def replace_templates(
        self,
        embedding_spec: Mapping[str, Any],
        templates: Iterable[tuple[int, NDArray[np.float32], Mapping[str, Any]]],
    ) -> int:
        """Replace all templates by those of another embedder; photos without a new one are removed.

        Parameters
        ----------
        embedding_spec : mapping
            Of the new embedder.
        templates : iterable of (int, ndarray (D,), mapping)
            Row of the photo (`PhotoRecord.row`), its embedding and its face.

        Returns
        -------
        int
            Photos removed.
        """
        with gallery_errors(self.path), transaction(self._connection):
            number = self._set_embedding_spec(embedding_spec)
            fingerprint = spec_fingerprint(embedding_spec)
            self._connection.execute("DELETE FROM templates")
            for row, vector, face in templates:
                uid, wrapped, sha256 = self._connection.execute(
                    "SELECT uid, key, sha256 FROM photos JOIN people ON people.id = person "
                    "WHERE photos.id = ?",
                    (row,),
                ).fetchone()
                stored = self._keyring.person(uid, wrapped).encrypt(vector, sha256, fingerprint)
                self._insert(row, number, stored, face)
            removed = self._connection.execute(
                "DELETE FROM photos WHERE id NOT IN (SELECT photo FROM templates)"
            ).rowcount
            self._connection.execute("DELETE FROM contracts WHERE id <> ?", (number,))
        self._changes += 1
        return int(removed)
