"""The SQLite file of a gallery: its tables, how it is opened, and its errors.

SQLite with a write-ahead log and foreign keys; a transaction is on the disk before it is acknowledged
(`synchronous = FULL`), and what is deleted is overwritten with zeros (`secure_delete`). Two processes may
write at once: each waits for the other.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ...errors import DamagedGalleryError, GalleryError, OutputError

__all__ = ["PROTOCOL", "connect", "gallery_errors", "transaction"]

PROTOCOL = 1
"""Raised when an older rehead could not use the file."""

_APPLICATION = 0x72686647  # "rhfG": tells a gallery from other programs' databases
_TIMEOUT = 30.0  # seconds for other writers; enrolling one person takes milliseconds

_TABLES = """
CREATE TABLE about (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
CREATE TABLE contracts (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
);
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    key BLOB,
    consent TEXT,
    expires TEXT,
    added TEXT NOT NULL
);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    path TEXT NOT NULL,
    added TEXT NOT NULL,
    UNIQUE (person, sha256)
);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY,
    photo INTEGER NOT NULL UNIQUE REFERENCES photos ON DELETE CASCADE,
    contract INTEGER NOT NULL REFERENCES contracts,
    vector BLOB NOT NULL,
    face TEXT NOT NULL
);
CREATE INDEX photos_by_digest ON photos (sha256);
"""


@contextlib.contextmanager
def gallery_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors inside the block into ones that name the gallery and the next step."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = (error.sqlite_errorcode & 0xFF) if hasattr(error, "sqlite_errorcode") else None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise GalleryError(
                f"{path}: another process has been writing to the gallery for {_TIMEOUT:.0f} seconds; "
                "try again when it is done"
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise DamagedGalleryError(
                f"{path}: not a gallery, or a damaged one ({error}); restore a copy, or enrol anew "
                "into another file"
            ) from error
        if code in (
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_PERM,
        ):
            raise OutputError(f"{path}: the gallery cannot be opened or written ({error})") from error
        raise


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open the file of a gallery, or make it; on a read-only disk it can be read.

    Raises
    ------
    GalleryError
        There is none, it is of a later rehead, another program's, or damaged.
    OutputError
        It cannot be written.
    """
    if path.is_dir():
        raise GalleryError(f"{path}: a folder; expected the file of a gallery, such as people.db")
    if not path.exists() or not path.stat().st_size:
        if not create:
            raise GalleryError(f"{path}: there is no such gallery; `rehead faces enroll` makes one")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its journal the same rights
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    with gallery_errors(path):
        read_only = _is_read_only(path)
        name = f"{path.absolute().as_uri()}?immutable=1" if read_only else path
        connection = sqlite3.connect(name, timeout=_TIMEOUT, isolation_level=None, uri=read_only)
        try:
            _prepare(connection, path, create=create, read_only=read_only)
        except BaseException:
            connection.close()
            raise
    return connection


def _is_read_only(path: Path) -> bool:
    """Whether nothing can be written beside the file, and no journal is left there to be read first."""
    journal = path.with_name(path.name + "-wal")
    return not os.access(path.parent, os.W_OK) and not (journal.exists() and journal.stat().st_size)


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool, read_only: bool) -> None:
    for pragma in ("foreign_keys = ON", "secure_delete = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    _check_kind(connection, path, create=create)
    if connection.execute("PRAGMA application_id").fetchone()[0] == 0:
        with transaction(connection):
            if connection.execute("PRAGMA application_id").fetchone()[0] == 0:  # no other process was faster
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {PROTOCOL}")
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    if not read_only and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise DamagedGalleryError(
            f"{path}: the gallery is damaged ({state.splitlines()[-1]}); restore a copy, or enrol anew "
            "into another file"
        )


def _check_kind(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != _APPLICATION and (tables or not create):
        raise DamagedGalleryError(f"{path}: a database, but not a gallery of rehead; name another file")
    protocol = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == _APPLICATION and protocol > PROTOCOL:
        raise GalleryError(
            f"{path}: written by a later rehead with protocol {protocol}, this one reads up to {PROTOCOL}; "
            "run `pip install --upgrade rehead`"
        )


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; other writers wait from its start."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
