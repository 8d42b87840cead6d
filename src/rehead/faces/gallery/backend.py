"""What a gallery needs of a database; `sqlite` and `postgres` give it.

Statements are those that both understand, with `?` for a value: what differs between the two is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from ...errors import GalleryError
from .place import PostgresPlace

__all__ = ["Backend", "Search", "Value", "is_there", "open_backend"]

Value = str | bytes | int | list[float] | None
Search = Literal["memory", "pgvector"]
"""Where templates are searched: in the memory of this process, or by an index of the database."""


class Backend(Protocol):
    """An open database with the tables of one gallery.

    All errors are of `errors`, and name the place. Where a connection was lost, it is opened again by what
    begins a transaction.
    """

    search: Search
    writable: bool

    @property
    def place(self) -> Path | PostgresPlace:
        """Where it is."""

    @property
    def protocol(self) -> int:
        """The protocol that the tables were written with."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun."""

    @property
    def version(self) -> object:
        """Changes whenever another connection has changed the gallery."""

    def execute(self, statement: str, *values: Value) -> list[Any]:
        """Carry out a statement; all rows that it gives."""

    def execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a statement for each row of values."""

    def transaction(self) -> AbstractContextManager[None]:
        """All of the block or nothing of it, on the disk at its end; other writers wait from its start."""

    def snapshot(self) -> AbstractContextManager[None]:
        """All reading in the block sees one moment."""

    def upgrade(self, old: int) -> None:
        """Bring the tables from an earlier protocol to the present one; inside a transaction."""

    def numbered(self) -> None:
        """Have new rows numbered after those that came with their numbers; inside a transaction."""

    def clear_deleted(self) -> bool:
        """Overwrite what was deleted; False where it is left, in files that this process cannot change."""

    def close(self) -> None:
        """Close the connection."""


def is_there(place: Path | PostgresPlace) -> bool:
    """Whether a gallery has been made at that place."""
    if isinstance(place, Path):
        return place.is_file() and place.stat().st_size > 0
    from .postgres import has_gallery

    return has_gallery(place)


def open_backend(place: Path | PostgresPlace, *, create: bool, search: Search | None) -> Backend:
    """Open the gallery at a place, or make its tables.

    Parameters
    ----------
    place : Path or PostgresPlace
    create : bool
    search : {"memory", "pgvector"}, optional
        Of a gallery that is made; None for what there is, or "memory".

    Raises
    ------
    GalleryError
        There is none, it is of a later rehead, another program's, searched otherwise, or damaged.
    OutputError
        It cannot be written.
    """
    if isinstance(place, PostgresPlace):
        from .postgres import PostgresBackend

        return PostgresBackend(place, create=create, search=search)
    if search == "pgvector":
        raise GalleryError(f"{place}: pgvector searches in PostgreSQL; name a gallery postgresql://...")
    from .sqlite import SQLiteBackend

    return SQLiteBackend(place, create=create)
