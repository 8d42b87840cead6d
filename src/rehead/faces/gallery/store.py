"""People and their templates on disk: what a gallery remembers.

A template is the embedding of one enrolled face, sealed with its person's own key (see `vault`) and bound to
the contract of the embedder it came from.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DamagedGalleryError, GalleryError, OtherEmbedderError, UnknownNameError, WrongKeyError
from .encryption import KEY_BYTES, KEY_VARIABLE, decrypt, encrypt
from .records import (
    Enrolled,
    NewTemplate,
    Person,
    PhotoRecord,
    Removal,
    Templates,
    check_day,
    checked_name,
    spec_fingerprint,
    told_apart,
)
from .schema import connect, gallery_errors, transaction

__all__ = ["GalleryStore"]

_CHECK = b"rehead gallery"


class GalleryStore:
    """The file of a gallery.

    Parameters
    ----------
    path : path
    contract : mapping, optional
        Of the embedder that is to be used with it; needed to make a new gallery.
    key : bytes, optional
        Master key, 32 bytes.
    create : bool
        Whether to make the file where there is none: encrypted with `key`, or in the clear without.

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
        contract: Mapping[str, Any] | None = None,
        key: bytes | None = None,
        create: bool = False,
    ) -> None:
        self.path = Path(path)
        self._key = key
        self._cached: tuple[object, Templates] | None = None
        self._changes = 0
        self._connection = connect(self.path, create=create)
        try:
            with gallery_errors(self.path):
                if create:
                    self._begin(contract or {})
                self._unlock()
                if contract is not None:
                    self.check_embedder(contract)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; the last to close it empties its journal."""
        self._connection.close()

    def __enter__(self) -> GalleryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what it is

    def _begin(self, contract: Mapping[str, Any]) -> None:
        with transaction(self._connection):
            if self._about("id") is not None:
                return
            uid = secrets.token_hex(16)
            entries = {"id": uid.encode()}
            if self._key is not None:
                entries["key_check"] = encrypt(self._key, _CHECK, uid)
            self._connection.executemany("INSERT INTO about VALUES (?, ?)", entries.items())
            self._bind(contract)

    def _bind(self, contract: Mapping[str, Any]) -> int:
        record = json.dumps(contract, sort_keys=True)
        row = self._connection.execute(
            "INSERT INTO contracts (space, record) VALUES (?, ?) "
            "ON CONFLICT (space) DO UPDATE SET space = space RETURNING id",
            (spec_fingerprint(contract), record),
        ).fetchone()
        self._connection.execute(
            "INSERT OR REPLACE INTO about VALUES ('contract', ?)", (str(row[0]).encode(),)
        )
        return int(row[0])

    def _about(self, name: str) -> bytes | None:
        row = self._connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def _unlock(self) -> None:
        uid, check = self._about("id"), self._about("key_check")
        if uid is None:
            raise DamagedGalleryError(f"{self.path}: the gallery was never finished; enrol anew")
        self.uid = uid.decode()
        self.encrypted = check is not None
        if check is None:
            return
        if self._key is None:
            raise WrongKeyError(
                f"{self.path}: the gallery is encrypted; give its key with --key-file or in {KEY_VARIABLE}"
            )
        if decrypt(self._key, check, self.uid) != _CHECK:
            raise WrongKeyError(f"{self.path}: this is not the key that the gallery was made with")

    @property
    def contract(self) -> dict[str, Any]:
        """The contract of the embedder whose templates it holds."""
        with gallery_errors(self.path):
            row = self._connection.execute(
                "SELECT record FROM contracts WHERE id = ?", (int(self._about("contract") or b"0"),)
            ).fetchone()
        record: dict[str, Any] = json.loads(row[0]) if row else {}
        return record

    def check_embedder(self, contract: Mapping[str, Any]) -> None:
        """Refuse an embedder whose embeddings cannot be compared with the templates."""
        held = self.contract
        if spec_fingerprint(held) == spec_fingerprint(contract):
            return
        told, given = told_apart(held, contract)
        raise OtherEmbedderError(
            f"{self.path}: its templates come from {told}, not from {given}; use that embedder, or run "
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
        """Add photos to a person, who is made where there is none; all of it or nothing.

        Photos that the person has already are counted and left as they are. When this returns, what
        was added is on the disk.

        Raises
        ------
        DataError
            The name is empty or "unknown", or the day is no date.
        """
        name = checked_name(name)
        check_day(expires)
        now = _now()
        added = 0
        with gallery_errors(self.path), transaction(self._connection):
            person, uid, key = self._person_for(name, now)
            contract = int(self._about("contract") or b"0")
            space = spec_fingerprint(self.contract)
            for new in templates:
                inserted = self._connection.execute(
                    "INSERT OR IGNORE INTO photos (person, sha256, path, added) VALUES (?, ?, ?, ?)",
                    (person, new.sha256, new.path, now),
                )
                if not inserted.rowcount:
                    continue
                added += 1
                self._connection.execute(
                    "INSERT INTO templates (photo, contract, vector, face) VALUES (?, ?, ?, ?)",
                    (
                        inserted.lastrowid,
                        contract,
                        self._sealed(key, new.vector, self._place(uid, new.sha256, space)),
                        json.dumps(new.face),
                    ),
                )
            for column, value in (("consent", consent), ("expires", expires)):
                if value is not None:
                    self._connection.execute(f"UPDATE people SET {column} = ? WHERE id = ?", (value, person))
        self._changes += 1
        return Enrolled(name, added, len(templates) - added)

    def _person_for(self, name: str, now: str) -> tuple[int, str, bytes | None]:
        row = self._connection.execute("SELECT id, uid, key FROM people WHERE name = ?", (name,)).fetchone()
        if row:
            return row[0], row[1], self._person_key(row[1], row[2])
        uid = secrets.token_hex(16)
        key = secrets.token_bytes(KEY_BYTES) if self.encrypted else None
        wrapped = None
        if key is not None and self._key is not None:
            wrapped = encrypt(self._key, key, f"{self.uid}/{uid}")
        made = self._connection.execute(
            "INSERT INTO people (uid, name, key, added) VALUES (?, ?, ?, ?)", (uid, name, wrapped, now)
        )
        return int(made.lastrowid or 0), uid, key

    def _person_key(self, uid: str, wrapped: bytes | None) -> bytes | None:
        if not self.encrypted or self._key is None:
            return None
        key = decrypt(self._key, wrapped or b"", f"{self.uid}/{uid}")
        if key is None:
            raise self._altered("a person's key")
        return key

    def _altered(self, what: str) -> DamagedGalleryError:
        return DamagedGalleryError(
            f"{self.path}: {what} was changed or damaged after it was written; restore a copy"
        )

    def _place(self, uid: str, sha256: str, space: str) -> str:
        return f"{self.uid}/{uid}/{sha256}/{space}"

    def _sealed(self, key: bytes | None, vector: NDArray[np.float32], place: str) -> bytes:
        data = np.asarray(vector, dtype="<f4").tobytes()
        return data if key is None else encrypt(key, data, place)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with gallery_errors(self.path):
            rows = self._connection.execute(
                "SELECT name, (SELECT count(*) FROM photos WHERE person = people.id), "
                "added, consent, expires FROM people ORDER BY name"
            ).fetchall()
        return [Person(*row) for row in rows]

    def person(self, name: str) -> Person:
        """One of them; UnknownNameError where there is none of that name."""
        known = {person.name: person for person in self.people()}
        if (found := known.get(unicodedata.normalize("NFC", name))) is None:
            raise (
                UnknownNameError("person", name, known)
                if known
                else GalleryError(f"{self.path}: nobody is in this gallery")
            )
        return found

    def photos(self, name: str | None = None) -> list[PhotoRecord]:
        """Enrolled photos, of one person or of all."""
        if name is not None:
            name = self.person(name).name
        with gallery_errors(self.path):
            rows = self._connection.execute(
                "SELECT photos.id, people.name, sha256, path, photos.added, face FROM photos "
                "JOIN people ON people.id = person JOIN templates ON photo = photos.id "
                "WHERE ?1 IS NULL OR people.name = ?1 ORDER BY people.name, photos.id",
                (name,),
            ).fetchall()
        return [
            PhotoRecord(number, person, sha256, path, added, json.loads(face))
            for number, person, sha256, path, added, face in rows
        ]

    def owners(self, sha256: str) -> list[str]:
        """Names of the people who have a photo of these bytes."""
        with gallery_errors(self.path):
            rows = self._connection.execute(
                "SELECT people.name FROM photos JOIN people ON people.id = person WHERE sha256 = ?", (sha256,)
            ).fetchall()
        return [row[0] for row in rows]

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
        width = int(self.contract.get("dimensions", 0))
        keys: dict[str, bytes | None] = {}
        names: list[str] = []
        starts: list[int] = []
        vectors: list[bytes] = []
        for name, uid, wrapped, sha256, space, sealed in self._connection.execute(
            "SELECT name, uid, key, sha256, space, vector FROM templates "
            "JOIN photos ON photos.id = photo JOIN people ON people.id = person "
            "JOIN contracts ON contracts.id = contract "
            "WHERE expires IS NULL OR expires >= ? ORDER BY name, photos.id",
            (datetime.date.today().isoformat(),),
        ):
            if uid not in keys:
                keys[uid] = self._person_key(uid, wrapped)
                names.append(name)
                starts.append(len(vectors))
            key = keys[uid]
            data = sealed if key is None else decrypt(key, sealed, self._place(uid, sha256, space))
            if data is None or len(data) != 4 * width:
                raise self._altered(f"a template of {name!r}")
            vectors.append(data)
        matrix = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), width).astype(np.float32)
        if not np.isfinite(matrix).all():
            raise self._altered("a template")
        return Templates(tuple(names), matrix, np.array(starts, dtype=np.intp))

    def replace_templates(
        self, contract: Mapping[str, Any], fresh: Iterable[tuple[int, NDArray[np.float32], Mapping[str, Any]]]
    ) -> int:
        """Exchange the templates for those of another embedder; photos without a new one are forgotten.

        Parameters
        ----------
        contract : mapping
            Of the new embedder.
        fresh : iterable of (int, ndarray (D,), mapping)
            Row of the photo (`PhotoRecord.row`), its embedding and its face.

        Returns
        -------
        int
            How many photos were forgotten.
        """
        with gallery_errors(self.path), transaction(self._connection):
            number, space = self._bind(contract), spec_fingerprint(contract)
            self._connection.execute("DELETE FROM templates")
            keys: dict[str, bytes | None] = {}
            for row, vector, face in fresh:
                uid, wrapped, sha256 = self._connection.execute(
                    "SELECT uid, key, sha256 FROM photos JOIN people ON people.id = person "
                    "WHERE photos.id = ?",
                    (row,),
                ).fetchone()
                if uid not in keys:
                    keys[uid] = self._person_key(uid, wrapped)
                sealed = self._sealed(keys[uid], vector, self._place(uid, sha256, space))
                self._connection.execute(
                    "INSERT INTO templates (photo, contract, vector, face) VALUES (?, ?, ?, ?)",
                    (row, number, sealed, json.dumps(face)),
                )
            forgotten = self._connection.execute(
                "DELETE FROM photos WHERE id NOT IN (SELECT photo FROM templates)"
            ).rowcount
            self._connection.execute("DELETE FROM contracts WHERE id <> ?", (number,))
        self._changes += 1
        return int(forgotten)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
