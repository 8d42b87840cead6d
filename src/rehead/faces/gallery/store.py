"""The store of a gallery: people, photos and templates in its file.

A template is the embedding of one enrolled face, encrypted with its person's own key (see `keyring`) and
bound to the embedding spec that it came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.records import now
from ...errors import DataError, GalleryError, OtherEmbedderError, OutputError, WrongKeyError
from ..embedding.spec import describe_difference, spec_fingerprint
from .backend import Search
from .database import GalleryDatabase
from .encryption import KEY_BYTES, GalleryKey
from .people import PeopleTable
from .place import PostgresPlace, gallery_place
from .records import (
    Enrolled,
    GallerySize,
    Likeness,
    NewTemplate,
    Person,
    PhotoRecord,
    Removal,
    Templates,
    checked_day,
    checked_name,
    checked_text,
)
from .search import GallerySearch

__all__ = ["GalleryStore"]


class GalleryStore:
    """An open gallery.

    Parameters
    ----------
    path : path
        A file, or the URL of a PostgreSQL database.
    embedding_spec : mapping, optional
        Of the embedder to use with it; needed to make a new gallery.
    key : GalleryKey or bytes, optional
        Master key, 32 bytes.
    create : bool
        Make it where there is none: encrypted with `key`, or in the clear without.
    search : {"memory", "pgvector"}, optional
        Where a gallery that is made is searched; of one that is there, that it is so. pgvector needs
        PostgreSQL, which can read the vectors then.

    Raises
    ------
    GalleryError
        There is no gallery, the key is missing or another, the templates are of another embedder, the
        file is damaged or of a later rehead.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | PostgresPlace,
        *,
        embedding_spec: Mapping[str, Any] | None = None,
        key: GalleryKey | bytes | None = None,
        create: bool = False,
        search: Search | None = None,
    ) -> None:
        self.place = gallery_place(path)
        given = GalleryKey(key) if isinstance(key, bytes) else key
        if given is not None and len(given.value) != KEY_BYTES:
            raise WrongKeyError(
                f"{self.place}: a key of {len(given.value)} bytes is given; expected {KEY_BYTES}"
            )
        self._file = GalleryDatabase(
            self.place, given, new=(embedding_spec or {}) if create else None, search=search
        )
        self._people = PeopleTable(self._file)
        self._search = GallerySearch(self._file, self._people)
        try:
            if embedding_spec is not None:
                self.check_embedder(embedding_spec)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; the last to close a file empties its journal."""
        self._file.close()

    def __enter__(self) -> GalleryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file; GalleryError where the gallery is in a database."""
        if not isinstance(self.place, Path):
            raise GalleryError(f"{self.place}: is no file")
        return self.place

    @property
    def encrypted(self) -> bool:
        """Whether templates are encrypted."""
        return self._file.keyring.encrypted

    @property
    def search(self) -> Search:
        """Where templates are searched; with "pgvector" the database can read them."""
        return self._file.search

    @property
    def key(self) -> GalleryKey | None:
        """The master key at present."""
        return self._file.keyring.key

    @property
    def embedding_spec(self) -> dict[str, Any]:
        """Of the embedder that made the templates."""
        return self._file.embedding_spec

    def check_embedder(self, embedding_spec: Mapping[str, Any]) -> None:
        """Raise OtherEmbedderError where embeddings of that spec cannot be compared with the templates."""
        own = self.embedding_spec
        if spec_fingerprint(own) == spec_fingerprint(embedding_spec):
            return
        expected, given = describe_difference(own, embedding_spec)
        raise OtherEmbedderError(
            f"{self.place}: its templates come from {expected}, not from {given}; use that embedder, or run "
            f"`rehead faces gallery rebuild {self.place}`, which embeds the photos anew and keeps the names"
        )

    # people

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._file.reading():
            return [row.person for row in self._people.all()]

    def person(self, name: str) -> Person:
        """One of them; UnknownNameError where there is none of that name."""
        with self._file.reading():
            return self._people.named(name).person

    def rename(self, name: str, new: str) -> Person:
        """Give a person another name; DataError where somebody has it."""
        new = checked_name(new)
        with self._file.writing():
            row = self._people.named(name)
            if row.person.name != new and self._people.find(new):
                raise DataError(f"{new!r} is in the gallery too; `gallery merge` makes one person of two")
            self._people.note(row, renamed := replace(row.person, name=new))
        return renamed

    def merge(self, name: str, other: str) -> Person:
        """Make one person of two, who keeps the first name.

        Photos that both have are kept once. A note about consent is taken from the other where there is
        none; of two last days the earlier holds.
        """
        with self._file.writing():
            row, source = self._people.named(name), self._people.named(other)
            if row.row == source.row:
                raise DataError(f"{name!r} and {other!r} are one person already")
            known = {sha256 for _, sha256, *_ in self._people.stored(row)}
            for photo, sha256, fingerprint, vector in self._people.stored(source):
                if sha256 in known:
                    continue
                stored = row.key.encrypt(vector, sha256, fingerprint)
                self._file.execute("UPDATE templates SET vector = ? WHERE photo = ?", stored, photo)
                self._file.execute("UPDATE photos SET person = ? WHERE id = ?", row.row, photo)
            self._people.delete(source)
            a, b = row.person, source.person
            days = [day for day in (a.expires, b.expires) if day is not None]
            self._people.note(
                row, replace(a, consent=a.consent or b.consent, expires=min(days, default=None))
            )
            return self._people.named(a.name).person

    # enrolment

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
            The name cannot be one, the day is no date or past.
        """
        name, consent = checked_name(name), checked_text(consent, "a note about consent")
        expires = checked_day(expires, coming=True)
        rows, time = list[tuple[int, bytes, Mapping[str, Any], NDArray[np.float32]]](), now()
        with self._file.writing():
            row = self._people.find(name) or self._people.add(name, time)
            fingerprint, contract = spec_fingerprint(self.embedding_spec), self._file.contract
            for new in templates:
                photo = self._file.execute(
                    "INSERT INTO photos (person, sha256, path, added, hash) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO NOTHING RETURNING id",
                    row.row,
                    new.sha256,
                    new.path,
                    time,
                    f"{new.hash:016x}",
                )
                if not photo:
                    self._file.execute(
                        "UPDATE photos SET hash = ? WHERE person = ? AND sha256 = ? AND hash IS NULL",
                        f"{new.hash:016x}",
                        row.row,
                        new.sha256,
                    )
                    continue
                stored = row.key.encrypt(new.vector, new.sha256, fingerprint)
                rows.append((photo[0][0], stored, new.face, new.vector))
            self._people.add_templates(contract, rows)
            noted = replace(
                row.person,
                consent=row.person.consent if consent is None else consent,
                expires=expires or row.person.expires,
            )
            if noted != row.person:
                self._people.note(row, noted)
        return Enrolled(name, len(rows), len(templates) - len(rows))

    # photos

    def photos(self, name: str | None = None) -> list[PhotoRecord]:
        """Enrolled photos, of one person or of all."""
        with self._file.reading():
            if name is not None:
                name = self._people.named(name).person.name
            rows = self._file.execute(
                "SELECT photos.id, people.name, sha256, path, photos.added, face FROM photos "
                "JOIN people ON people.id = person JOIN templates ON photo = photos.id "
                f"{'' if name is None else 'WHERE people.name = ? '}ORDER BY people.name, photos.id",
                *([] if name is None else [name]),
            )
        return [
            PhotoRecord(number, person, sha256, path, added, self._file.keyring.parsed(face, "a face"))
            for number, person, sha256, path, added, face in rows
        ]

    def owners(self, sha256: str) -> list[str]:
        """Names of the people who have a photo of these bytes."""
        query = "SELECT people.name FROM photos JOIN people ON people.id = person WHERE sha256 = ?"
        return [name for (name,) in self._file.execute(query, sha256)]

    def likenesses(self, name: str) -> list[Likeness]:
        """By what copies of a person's photos are known; the person may be nobody yet."""
        with self._file.reading():
            if (row := self._people.find(name)) is None:
                return []
            rows = self._file.execute("SELECT id, path, hash FROM photos WHERE person = ?", row.row)
            known = {photo: (path, code) for photo, path, code in rows}
            found = []
            for photo, sha256, _, vector in self._people.stored(row):
                path, code = known[photo]
                found.append(Likeness(path, sha256, self._file.keyring.parsed_hash(code), vector))
        return found

    # removal

    def remove(self, names: Sequence[str], *, keep_key: bool = False) -> list[Removal]:
        """Remove people, their photos' records and templates, and destroy their keys; all of them or nobody.

        Where the file of the master key is this gallery's alone, it gets a new one.

        Parameters
        ----------
        names : sequence of str
        keep_key : bool
            Leave the master key as it is.

        Raises
        ------
        UnknownNameError
            One of them is not there.
        OutputError
            The key file cannot be written; nobody is removed then.
        """
        new_key = None if keep_key else self._file.next_key()
        with self._file.writing(new_key):
            rows = {row.row: row for row in map(self._people.named, names)}.values()
            removed = [(row.person, self._people.delete(row)) for row in rows]
        cleared = self._file.clear_deleted() if removed else True
        return [
            Removal(person.name, person.photos, templates, self.encrypted, cleared, new_key is not None)
            for person, templates in removed
        ]

    def remove_photos(self, name: str, rows: Sequence[int], *, keep_key: bool = False) -> Removal:
        """Remove photos of a person, who gets another data key; DataError where none would be left.

        Parameters
        ----------
        name : str
        rows : sequence of int
            `PhotoRecord.row` of each.
        keep_key : bool
            Leave the master key as it is.
        """
        new_key = None if keep_key else self._file.next_key()
        with self._file.writing(new_key):
            row = self._people.named(name)
            if len(set(rows)) >= row.person.photos:
                raise DataError(f"no photo of {name!r} would be left; remove the person instead")
            for photo in rows:
                self._people.delete_photo(row, photo)
            self._people.renew(row)
        cleared = self._file.clear_deleted()
        return Removal(name, len(rows), len(rows), self.encrypted, cleared, new_key is not None)

    def rekey(self, to: str | os.PathLike[str] | None = None) -> Path:
        """Put the gallery under a new master key, in the key's file or in one that is not there yet.

        Returns the key file.

        Raises
        ------
        GalleryError
            The gallery is not encrypted, or its key is in no file and none is named.
        OutputError
            The file cannot be written; nothing is changed then.
        """
        own = self.key
        if own is None:
            raise GalleryError(f"{self.place}: the gallery is not encrypted, it has no key")
        file = own.file if to is None else Path(to).absolute()
        if file is None:
            raise GalleryError(f"{self.place}: its key is in no file; name one for the new key with --to")
        if to is not None and file.exists():
            raise OutputError(f"{file}: is there already; a key is never overwritten")
        if to is None and own.gallery == self._file.uid and self._file.next_key() is None:
            raise GalleryError(
                f"{file}: the key of {own.path} too, of which this is a copy; name a file for a key of its "
                "own with --to"
            )
        with self._file.writing(replace(own, file=file).successor(self._file.uid, self.place)):
            pass
        self._file.clear_deleted()
        return file

    # templates

    def templates(self) -> Templates:
        """Templates of all people who have not expired; kept until the gallery changes."""
        return self._search.templates()

    def size(self) -> GallerySize:
        """How much is searched; counted again when the gallery or the day changes."""
        return self._search.size()

    def candidates(self, probes: NDArray[np.float32]) -> Templates:
        """Templates that probes (m, D) are to be compared with, as `GallerySearch.candidates`."""
        return self._search.candidates(probes)

    def replace_templates(
        self,
        embedding_spec: Mapping[str, Any],
        templates: Iterable[tuple[int, NDArray[np.float32], Mapping[str, Any]]],
    ) -> int:
        """Replace all templates by those of another embedder; photos without a new one are removed.

        Where there are such, all keys are replaced as `remove` does.

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
        new = {photo: (vector, face) for photo, vector, face in templates}
        gone = [photo.row for photo in self.photos() if photo.row not in new]
        with self._file.writing(self._file.next_key() if gone else None):
            number = self._file.set_embedding_spec(embedding_spec)
            fingerprint = spec_fingerprint(embedding_spec)
            self._file.execute("DELETE FROM templates")
            for row in self._people.all():
                changed = replace(row, key=row.key.renewed())
                self._people.note(changed, row.person)
                rows = []
                for photo, sha256 in self._file.execute(
                    "SELECT id, sha256 FROM photos WHERE person = ?", row.row
                ):
                    if photo in new:
                        vector, face = new[photo]
                        rows.append((photo, changed.key.encrypt(vector, sha256, fingerprint), face, vector))
                    else:
                        self._people.delete_photo(row, photo)
                self._people.add_templates(number, rows)
            self._file.execute("DELETE FROM contracts WHERE id <> ?", number)
        self._file.clear_deleted()
        return len(gone)
