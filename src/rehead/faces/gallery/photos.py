"""The rows of photos in a gallery, without their templates; whoever calls has begun a transaction."""

from __future__ import annotations

from .database import GalleryDatabase
from .people import PeopleTable, PersonRow
from .records import Likeness, NewTemplate, PhotoRecord

__all__ = ["PhotoTable"]


class PhotoTable:
    """Enrolled photos, as rows.

    Parameters
    ----------
    file : GalleryDatabase
    people : PeopleTable
        Of the same gallery.
    """

    def __init__(self, file: GalleryDatabase, people: PeopleTable) -> None:
        self._file = file
        self._people = people

    def add(self, row: PersonRow, new: NewTemplate, time: str) -> int | None:
        """Add a photo to a person; its row, None where the person has it already."""
        code = f"{new.hash:016x}"
        added = self._file.execute(
            "INSERT INTO photos (person, sha256, path, added, hash) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING RETURNING id",
            row.row,
            new.sha256,
            new.path,
            time,
            code,
        )
        if added:
            return int(added[0][0])
        self._file.execute(
            "UPDATE photos SET hash = ? WHERE person = ? AND sha256 = ? AND hash IS NULL",
            code,
            row.row,
            new.sha256,
        )
        return None

    def move(self, source: PersonRow, row: PersonRow) -> None:
        """Give the photos of one person to another, with their templates, but for those that both have."""
        known = {sha256 for _, sha256, *_ in self._people.stored(row)}
        for photo, sha256, fingerprint, vector in self._people.stored(source):
            if sha256 in known:
                continue
            stored = row.key.encrypt(vector, sha256, fingerprint)
            self._file.execute("UPDATE templates SET vector = ? WHERE photo = ?", stored, photo)
            self._file.execute("UPDATE photos SET person = ? WHERE id = ?", row.row, photo)

    def records(self, name: str | None = None) -> list[PhotoRecord]:
        """Photos of one person or of all; DamagedGalleryError where what is kept of a face was changed."""
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

    def of_person(self, row: PersonRow) -> list[tuple[int, str]]:
        """Row and sha256 of each photo of a person."""
        found = self._file.execute("SELECT id, sha256 FROM photos WHERE person = ?", row.row)
        return [(photo, sha256) for photo, sha256 in found]

    def owners(self, sha256: str) -> list[str]:
        """Names of the people who have a photo of these bytes."""
        query = "SELECT people.name FROM photos JOIN people ON people.id = person WHERE sha256 = ?"
        return [name for (name,) in self._file.execute(query, sha256)]

    def likenesses(self, row: PersonRow) -> list[Likeness]:
        """By what copies of a person's photos are known."""
        rows = self._file.execute("SELECT id, path, hash FROM photos WHERE person = ?", row.row)
        known = {photo: (path, code) for photo, path, code in rows}
        found = []
        for photo, sha256, _, vector in self._people.stored(row):
            path, code = known[photo]
            found.append(Likeness(path, sha256, self._file.keyring.parsed_hash(code), vector))
        return found
