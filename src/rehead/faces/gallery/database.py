"""The open file of a gallery: its id, its embedding spec, and the key that it is under."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import DamagedGalleryError, OutputError, WrongKeyError
from ..embedding.spec import spec_fingerprint
from .encryption import GalleryKey
from .keyring import Keyring
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

__all__ = ["NOTED", "GalleryDatabase"]

NOTED = "name, consent, expires, added"
"""Columns of people that are bound to the person's key, in this order."""


class GalleryDatabase:
    """The open file of a gallery.

    Parameters
    ----------
    path : path
    key : GalleryKey, optional
        Master key.
    new : mapping, optional
        Embedding spec of a gallery to make where there is none.

    Attributes
    ----------
    path : Path
    keyring : Keyring
    changes : int
        Made through this object.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: GalleryKey | None,
        *,
        new: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.changes = Path(path), 0
        self._key, self._read_only = key, is_read_only(self.path)
        if new is not None and key is not None and not self.path.exists():
            key.check_unused()
        self._connection = connect(self.path, create=new is not None, read_only=self._read_only)
        try:
            with gallery_errors(self.path):
                if new is not None and self._about("id") is None:
                    self._initialise(new)
                self.keyring = self._unlock()
                if not self._read_only and os.access(self.path, os.W_OK):
                    self._bring_up_to_date()
                    with contextlib.suppress(OutputError):  # the key beside its file works as well
                        self._settle_key()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; what was changed leaves the journal."""
        if self.changes:
            with contextlib.suppress(sqlite3.Error, OSError):
                clear_journal(self._connection, self.path)
        self._connection.close()

    # identity

    def _initialise(self, embedding_spec: Mapping[str, Any]) -> None:
        with transaction(self._connection):
            if self._about("id") is not None:  # another process was faster
                return
            if self.execute("SELECT 1 FROM people LIMIT 1"):
                raise DamagedGalleryError(f"{self.path}: the gallery has lost its id; restore a copy")
            self.uid = secrets.token_hex(16)
            entries = {"id": self.uid.encode()}
            if self._key is not None:
                self._key.check_unused()
                entries["key_check"] = Keyring.new_check(self._key, self.uid)
            self._connection.executemany("INSERT INTO about VALUES (?, ?)", entries.items())
            self.set_embedding_spec(embedding_spec)

    def _unlock(self) -> Keyring:
        """The keys of the gallery as it is now; again where another process replaces them meanwhile."""
        while True:
            check = self._about("key_check")
            try:
                return self._keyring(check)
            except WrongKeyError:
                if self._about("key_check") == check:
                    raise

    def _keyring(self, check: bytes | None) -> Keyring:
        if (uid := self._about("id")) is None:
            raise DamagedGalleryError(f"{self.path}: the gallery was never finished; enrol anew")
        self.uid = uid.decode("ascii", "replace")
        keys = [] if self._key is None else [self._key, self._key.staged(self.uid), self._key.written()]
        keyring = Keyring(
            self.path,
            self.uid,
            check,
            [key for key in keys if key is not None],
            bound=protocol_of(self._connection) > 1,
        )
        if not keyring.encrypted and self.execute("SELECT 1 FROM people WHERE key IS NOT NULL LIMIT 1"):
            raise keyring.altered("whether the gallery is encrypted")
        self._key = keyring.key
        return keyring

    def _about(self, name: str) -> bytes | None:
        rows = self.execute("SELECT value FROM about WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def execute(self, statement: str, *values: str | bytes | int | None) -> list[Any]:
        """Carry out a statement; all rows that it gives."""
        with gallery_errors(self.path):
            return self._connection.execute(statement, values).fetchall()

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever this or another process has changed the gallery."""
        with gallery_errors(self.path):
            return self.execute("PRAGMA data_version")[0][0], self.changes

    # the embedding spec

    def set_embedding_spec(self, embedding_spec: Mapping[str, Any]) -> int:
        """Note of which embedder the templates are; the row that they are to refer to."""
        ((row,),) = self.execute(
            "INSERT INTO contracts (space, record) VALUES (?, ?) "
            "ON CONFLICT (space) DO UPDATE SET space = space RETURNING id",
            spec_fingerprint(embedding_spec),
            json.dumps(embedding_spec, sort_keys=True),
        )
        self._connection.execute("INSERT OR REPLACE INTO about VALUES ('contract', ?)", (str(row).encode(),))
        return int(row)

    @property
    def contract(self) -> int:
        """Row of the embedding spec."""
        text = self._about("contract") or b""
        if not text.isdigit():
            raise self.keyring.altered("of which embedder the templates are")
        return int(text)

    @property
    def embedding_spec(self) -> dict[str, Any]:
        """Of the embedder that made the templates."""
        rows = self.execute("SELECT space, record FROM contracts WHERE id = ?", self.contract)
        record = self.keyring.parsed(rows[0][1], "the embedding spec") if rows else {}
        sized = isinstance(record.get("dimensions", 0), int)
        if not rows or not sized or spec_fingerprint(record) != rows[0][0]:
            raise self.keyring.altered("the embedding spec")
        return record

    # changes, and the key

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """All reading in the block sees the gallery as it is at one moment."""
        if self._connection.in_transaction:
            yield
            return
        with gallery_errors(self.path):
            self._connection.execute("BEGIN")
            while self._about("key_check") != self.keyring.check:
                self._connection.execute("ROLLBACK")
                self.keyring = self._unlock()
                self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self, new_key: GalleryKey | None = None) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction: all of the block or nothing of it.

        With `new_key` all data keys are wrapped by that one at its end, in the same transaction. The new key
        is beside the key file before it is needed, and takes its place after: a kill leaves a gallery that
        opens with what is in the file or beside it.
        """
        with gallery_errors(self.path):
            with transaction(self._connection):
                self._refresh_key()
                if new_key is not None:
                    self._put_key_in_place()  # before another one lies where it may still be
                yield self._connection
                following = self.keyring if new_key is None else self.keyring.with_key(new_key)
                if new_key is not None:
                    new_key.stage()
                    self._rewrap(following)
            self.changes += 1
            if new_key is not None:
                self.keyring, self._key = following, new_key
                self._settle_key()

    def next_key(self) -> GalleryKey | None:
        """A key to replace the present one; None where its file is of more than this gallery, or is none."""
        key = self.keyring.key
        own = key is not None and key.belongs_to(self.uid, self.path)
        return key.successor(self.uid, self.path) if key is not None and own else None

    def _rewrap(self, following: Keyring) -> None:
        """Have all data keys wrapped as the other keyring does it."""
        for row, uid, wrapped, *noted in self.execute(f"SELECT id, uid, key, {NOTED} FROM people"):
            person = self.keyring.person(uid, wrapped, noted)
            self._connection.execute(
                "UPDATE people SET key = ? WHERE id = ?", (following.wrap(person, noted), row)
            )
        if following.check is not None:
            self._connection.execute(
                "UPDATE about SET value = ? WHERE name = 'key_check'", (following.check,)
            )

    def _settle_key(self) -> None:
        """End what a change of the key has begun."""
        key = self.keyring.key
        if key is not None and (key.gallery == "" or key.staged(self.uid) is not None):
            with transaction(self._connection):
                self._refresh_key()
                self._put_key_in_place()

    def _put_key_in_place(self) -> None:
        """Move the key to where it belongs; inside a transaction, as nobody else can change it then."""
        key = self.keyring.key
        if key is None or not (key.gallery == "" or key.belongs_to(self.uid, self.path)):
            return
        if (staged := key.staged(self.uid)) is not None and not self.keyring.fits(staged):
            key.unstage(self.uid)  # the gallery never came to need it
            staged = None
        if staged is None and key.gallery == "":  # made for this gallery, which did not have an id yet
            staged = key.given_to(self.uid, self.path)
            staged.stage()
        if staged is not None:
            staged.put_in_place()
            self.keyring.key = self._key = staged

    def _refresh_key(self) -> None:
        """Read the key again where another process has replaced it."""
        if self._about("key_check") != self.keyring.check:
            self.keyring = self._unlock()

    def clear_journal(self) -> bool:
        """Overwrite and empty the journal; False where other processes keep it in use."""
        with gallery_errors(self.path):
            return clear_journal(self._connection, self.path)

    def _bring_up_to_date(self) -> None:
        """Bring a gallery of an earlier protocol to the present one."""
        if protocol_of(self._connection) == PROTOCOL:
            return
        with transaction(self._connection):
            self.keyring = self._unlock()
            if (old := protocol_of(self._connection)) < PROTOCOL:
                add_columns(self._connection, old, PROTOCOL)
                for row, name, day in self.execute("SELECT id, name, expires FROM people"):
                    day = self.keyring.checked_day(day, name)
                    self._connection.execute("UPDATE people SET expires = ? WHERE id = ?", (day, row))
                self._rewrap(self.keyring.bound_to_people())
                self.keyring = self._unlock()
        self.changes += 1
