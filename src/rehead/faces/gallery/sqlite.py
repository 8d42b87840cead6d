"""A gallery in an SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import OutputError
from .backend import Search, Value
from .schema import (
    PROTOCOL,
    add_columns,
    clear_journal,
    connect,
    gallery_errors,
    is_read_only,
    protocol_of,
    transaction,
)

__all__ = ["SQLiteBackend"]


class SQLiteBackend:
    """The open file of a gallery, as `Backend`.

    Parameters
    ----------
    place : Path
    create : bool
        Make it where there is none.
    """

    search: Search = "memory"

    def __init__(self, place: Path, *, create: bool) -> None:
        self.place, self._changed = place, False
        read_only = is_read_only(place)
        self._connection = connect(place, create=create, read_only=read_only)
        self.writable = not read_only and os.access(place, os.W_OK)

    @property
    def protocol(self) -> int:
        """The protocol that the tables were written with."""
        with gallery_errors(self.place):
            return protocol_of(self._connection)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun."""
        return self._connection.in_transaction

    @property
    def version(self) -> object:
        """Changes whenever another connection has changed the gallery."""
        return self.execute("PRAGMA data_version")[0][0]

    def execute(self, statement: str, *values: Value) -> list[Any]:
        """Carry out a statement; all rows that it gives."""
        with gallery_errors(self.place):
            return self._connection.execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a statement for each row of values."""
        with gallery_errors(self.place):
            self._connection.executemany(statement, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it, on the disk at its end; other writers wait from its start."""
        with gallery_errors(self.place), transaction(self._connection):
            yield
        self._changed = True

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reading in the block sees one moment."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.execute("ROLLBACK")

    def upgrade(self, old: int) -> None:
        """Bring the tables from an earlier protocol to the present one; inside a transaction."""
        with gallery_errors(self.place):
            add_columns(self._connection, old, PROTOCOL)

    def numbered(self) -> None:
        """Nothing: SQLite goes on after the highest number."""

    def clear_deleted(self) -> bool:
        """Overwrite and empty the journal; False where other processes keep it in use."""
        with gallery_errors(self.place):
            return clear_journal(self._connection, self.place)

    def close(self) -> None:
        """Close the file; what was changed leaves the journal."""
        if self._changed:
            with contextlib.suppress(sqlite3.Error, OSError, OutputError):
                clear_journal(self._connection, self.place)
        self._connection.close()
