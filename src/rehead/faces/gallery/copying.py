"""Copies of galleries: from a file to a database and back, as they are, row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GalleryError
from .backend import Backend, Search, open_backend
from .database import GalleryDatabase
from .encryption import GalleryKey
from .people import PeopleTable
from .pgvector import VectorIndex
from .place import PostgresPlace
from .store import GalleryStore

__all__ = ["Copied", "copy_gallery"]

_AT_ONCE = 5000  # rows in memory, of a kilobyte each
_TABLES = {
    "contracts": "id, space, record",
    "people": "id, uid, name, key, consent, expires, added",
    "photos": "id, person, sha256, path, added, hash",
    "templates": "id, photo, contract, vector, face",
}


@dataclass(frozen=True)
class Copied:
    """What a copy holds: people, photos, and where it is searched."""

    people: int
    photos: int
    search: Search


def copy_gallery(
    source: Path | PostgresPlace,
    to: Path | PostgresPlace,
    *,
    key: GalleryKey | None = None,
    search: Search | None = None,
) -> Copied:
    """Copy a gallery; the copy opens with the same key, and has all bytes and numbers of the rows.

    All of it is in one transaction, and read again before this returns.

    Parameters
    ----------
    source, to : Path or PostgresPlace
        `to` must not be there yet.
    key : GalleryKey, optional
    search : {"memory", "pgvector"}, optional
        Of the copy; "memory" by default.

    Raises
    ------
    GalleryError
        `to` is there already, the source cannot be opened, or the copy is not the same.
    """
    with GalleryDatabase(source, key) as opened:
        made = isinstance(to, Path) and not to.exists()
        with contextlib.closing(open_backend(to, create=True, search=search)) as target:
            try:
                with opened.reading(), target.transaction():
                    _fill(target, opened)
            except BaseException:
                if made and isinstance(to, Path):
                    target.close()
                    to.unlink(missing_ok=True)
                raise
    with GalleryStore(source, key=key) as original, GalleryStore(to, key=key) as copy:
        if original.people() != copy.people() or not np.array_equal(
            original.templates().vectors, copy.templates().vectors
        ):
            raise GalleryError(f"{to}: is not the same as {source}, which was changed meanwhile; copy again")
        return Copied(len(copy.people()), len(copy.photos()), copy.search)


def _fill(target: Backend, source: GalleryDatabase) -> None:
    """Copy all rows; inside transactions of both."""
    if target.execute("SELECT 1 FROM about LIMIT 1"):
        raise GalleryError(f"{target.place}: is there already; name another place, nothing is overwritten")
    about = [(name, bytes(value)) for name, value in source.execute("SELECT name, value FROM about")]
    target.execute_many("INSERT INTO about VALUES (?, ?)", about)
    for table, columns in _TABLES.items():
        marks = ", ".join("?" * len(columns.split(",")))
        for rows in _rows(source, table, columns):
            target.execute_many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
    target.numbered()
    if target.search == "pgvector":
        index = VectorIndex(target)
        index.prepare(int(source.embedding_spec.get("dimensions", 0)), indexed=False)
        index.add(_vectors(source))
        index.build()


def _rows(source: GalleryDatabase, table: str, columns: str) -> Iterator[list[tuple[Any, ...]]]:
    last = -1
    while rows := source.execute(
        f"SELECT {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT {_AT_ONCE}", last
    ):
        last = rows[-1][0]
        yield [tuple(row) for row in rows]


def _vectors(source: GalleryDatabase) -> Iterator[tuple[int, NDArray[np.float32]]]:
    people = PeopleTable(source)
    for person in people.all():
        for photo, _, _, vector in people.stored(person):
            yield photo, vector
