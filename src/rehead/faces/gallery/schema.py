"""The SQLite file of a gallery: its tables, how it is opened, and its errors.

SQLite with a write-ahead log and foreign keys; a transaction is on the disk before it is acknowledged
(`synchronous = FULL`), and what is deleted is overwritten with zeros (`secure_delete`). Two processes may
write at once: each waits for the other. A file with a trigger, a view or a table of another origin, or with
a value of another type than its column's, is refused: what SQLite would then do is not what is said here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ...errors import DamagedGalleryError, GalleryError, OutputError
from .place import PostgresPlace

__all__ = [
    "PROTOCOL",
    "add_columns",
    "check_protocol",
    "clear_journal",
    "connect",
    "gallery_errors",
    "is_read_only",
    "protocol_of",
    "transaction",
]

PROTOCOL = 2
"""Raised when an older rehead could not use the file. 2 binds what is noted of a person to their key."""

_APPLICATION = 0x72686647  # "rhfG": tells a gallery from other programs' databases
_TIMEOUT = 30.0  # seconds for other writers; enrolling one person takes milliseconds
_READER_TIMEOUT = 1.0  # seconds, before what readers hold is left to them; a search takes milliseconds

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
_ADDED = {2: "ALTER TABLE photos ADD COLUMN hash TEXT"}  # by protocol; new files get them as old ones do
_TYPES = {"TEXT": "text", "BLOB": "blob", "INTEGER": "integer"}


@contextlib.contextmanager
def gallery_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors inside the block into ones that name the gallery and the next step."""
    try:
        yield
    except UnicodeDecodeError as error:  # in SQLite's own message
        raise DamagedGalleryError(
            f"{path}: the gallery is damaged (text that is no UTF-8); restore a copy"
        ) from error
    except sqlite3.DatabaseError as error:
        code = (error.sqlite_errorcode & 0xFF) if hasattr(error, "sqlite_errorcode") else None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise GalleryError(
                f"{path}: another process has been writing to the gallery for {_TIMEOUT:.0f} seconds; "
                "try again when it is done"
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT):
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
        if code is None and isinstance(error, sqlite3.OperationalError):  # Python's: no UTF-8
            raise DamagedGalleryError(
                f"{path}: the gallery is damaged ({str(error).split(' with text')[0]}); restore a copy"
            ) from error
        raise


def connect(path: Path, *, create: bool, read_only: bool) -> sqlite3.Connection:
    """Open the file of a gallery, or make it.

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
        name = f"{path.absolute().as_uri()}?immutable=1" if read_only else path
        connection = sqlite3.connect(name, timeout=_TIMEOUT, isolation_level=None, uri=read_only)
        try:
            _prepare(connection, path, create=create, read_only=read_only)
        except BaseException:
            connection.close()
            raise
    return connection


def is_read_only(path: Path) -> bool:
    """Whether nothing can be written beside the file, and no journal is left there to be read first."""
    journal = _journal(path)
    return not os.access(path.parent, os.W_OK) and not (journal.exists() and journal.stat().st_size)


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool, read_only: bool) -> None:
    for pragma in ("trusted_schema = OFF", "foreign_keys = ON", "secure_delete = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    _check_kind(connection, path, create=create)
    if connection.execute("PRAGMA application_id").fetchone()[0] == 0:
        with transaction(connection):
            if connection.execute("PRAGMA application_id").fetchone()[0] == 0:  # no other process was faster
                _create_tables(connection, PROTOCOL)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    _check_tables(connection, path)
    if not read_only and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise DamagedGalleryError(
            f"{path}: the gallery is damaged ({state.splitlines()[-1]}); restore a copy, or enrol anew "
            "into another file"
        )
    _check_types(connection, path)


def protocol_of(connection: sqlite3.Connection) -> int:
    """The protocol that the file was written with."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create_tables(connection: sqlite3.Connection, protocol: int) -> None:
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    add_columns(connection, 1, protocol)


def add_columns(connection: sqlite3.Connection, old: int, new: int) -> None:
    """Bring the tables from one protocol to a later one."""
    for protocol in range(old + 1, new + 1):
        connection.execute(_ADDED[protocol])
    connection.execute(f"PRAGMA user_version = {new}")


def _check_kind(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != _APPLICATION and (tables or not create):
        raise DamagedGalleryError(f"{path}: a database, but not a gallery of rehead; name another file")
    protocol = protocol_of(connection)
    if application == _APPLICATION and protocol < 1:
        raise DamagedGalleryError(f"{path}: the gallery is damaged (protocol {protocol}); restore a copy")
    if application == _APPLICATION:
        check_protocol(path, protocol)


def check_protocol(place: Path | PostgresPlace, protocol: int) -> None:
    """GalleryError where a later rehead wrote the gallery."""
    if protocol > PROTOCOL:
        raise GalleryError(
            f"{place}: written by a later rehead with protocol {protocol}, this one reads up to {PROTOCOL}; "
            "run `pip install --upgrade rehead`"
        )


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse tables, indices, triggers and views that rehead did not make."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
    connection.execute("BEGIN")  # both readings see one state
    protocol, found = protocol_of(connection), set(connection.execute(query))
    connection.execute("ROLLBACK")
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as right:
        _create_tables(right, protocol)
        expected = set(right.execute(query))
    if found != expected:
        kind, name = min((*found - expected, *expected - found), key=str)[:2]
        what = "holds" if name in {row[1] for row in found} else "lacks"
        raise DamagedGalleryError(
            f"{path}: the file {what} the {kind} {name!r} otherwise than rehead writes it, so it was "
            "changed; restore a copy"
        )


def _check_types(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse values of other types than their columns', which SQLite would store."""
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for _, column, declared, needed, _, key in connection.execute(
            f"PRAGMA table_info({table})"
        ).fetchall():
            allowed = f"'{_TYPES[declared]}'" + ("" if needed or key else ", 'null'")
            query = f"SELECT count(*) FROM {table} WHERE typeof({column}) NOT IN ({allowed})"
            if connection.execute(query).fetchone()[0]:
                raise DamagedGalleryError(
                    f"{path}: the gallery is damaged (a value of {table}.{column} is no {declared}); "
                    "restore a copy"
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


def clear_journal(connection: sqlite3.Connection, path: Path) -> bool:
    """Write what is in the journal into the file, overwrite the journal with zeros and empty it.

    Returns
    -------
    bool
        False where other processes keep it in use for longer than a second; it stays as it is then.
    """
    connection.execute(f"PRAGMA busy_timeout = {1000 * _READER_TIMEOUT:.0f}")
    try:
        before = connection.execute("PRAGMA data_version").fetchone()  # changes when others write
        if connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0]:
            return False
        with transaction(connection):  # so that nobody writes; and nobody reads a journal that starts anew
            if connection.execute("PRAGMA data_version").fetchone() != before:
                return False
            _overwrite_journal(_journal(path))
        return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {1000 * _TIMEOUT:.0f}")


def _overwrite_journal(journal: Path) -> None:
    if not journal.exists():
        return
    with journal.open("r+b") as f:
        left = f.seek(0, os.SEEK_END)
        f.seek(0)
        while left > 0:
            left -= f.write(bytes(min(left, 1 << 20)))
        f.flush()
        os.fsync(f.fileno())
