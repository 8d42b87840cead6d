"""The open database of a gallery: its id, its embedding spec, and the key that it is under."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import DamagedGalleryError, OutputError, WrongKeyError
from ..embedding.spec import spec_fingerprint
from .backend import Search, Value, open_backend
from .encryption import GalleryKey
from .keyring import Keyring
from .pgvector import VectorIndex
from .place import PostgresPlace, gallery_place
from .schema import PROTOCOL

__all__ = ["NOTED", "GalleryDatabase"]

NOTED = "name, consent, expires, added"
"""Columns of people that are bound to the person's key, in this order."""


class GalleryDatabase:
    """The open database of a gallery.

    Parameters
    ----------
    path : path or PostgresPlace
        A file, or a URL of a PostgreSQL database.
    key : GalleryKey, optional
        Master key.
    new : mapping, optional
        Embedding spec of a gallery to make where there is none.
    search : {"memory", "pgvector"}, optional
        Of a gallery to make; that it is so of one that is there.

    Attributes
    ----------
    place : Path or PostgresPlace
    keyring : Keyring
    index : VectorIndex or None
        Where the database searches.
    changes : int
        Made through this object.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | PostgresPlace,
        key: GalleryKey | None,
        *,
        new: Mapping[str, Any] | None = None,
        search: Search | None = None,
    ) -> None:
        self.place, self.changes, self._key = gallery_place(path), 0, key
        there = isinstance(self.place, PostgresPlace) or self.place.exists()
        if new is not None and key is not None and not there:
            key.check_unused()
        self._backend = open_backend(self.place, create=new is not None, search=search)
        try:
            self.index = VectorIndex(self._backend) if self._backend.search == "pgvector" else None
            if new is not None and self._about("id") is None:
                self._initialise(new)
            self.keyring = self._unlock()
            if self._backend.writable:
                self._bring_up_to_date()
                with contextlib.suppress(OutputError):  # the key beside its file works as well
                    self._settle_key()
        except BaseException:
            self._backend.close()
            raise

    def close(self) -> None:
        """Close the database; what was changed leaves the journal."""
        self._backend.close()

    def __enter__(self) -> GalleryDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # identity

    def _initialise(self, embedding_spec: Mapping[str, Any]) -> None:
        with self._backend.transaction():
            if self._about("id") is not None:  # another process was faster
                return
            if self.execute("SELECT 1 FROM people LIMIT 1"):
                raise DamagedGalleryError(f"{self.place}: the gallery has lost its id; restore a copy")
            self.uid = secrets.token_hex(16)
            entries = {"id": self.uid.encode()}
            if self._key is not None:
                self._key.check_unused()
                entries["key_check"] = Keyring.new_check(self._key, self.uid)
            self.execute_many("INSERT INTO about VALUES (?, ?)", entries.items())
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
            raise DamagedGalleryError(f"{self.place}: the gallery was never finished; enrol anew")
        self.uid = uid.decode("ascii", "replace")
        keys = [] if self._key is None else [self._key, self._key.staged(self.uid), self._key.written()]
        keyring = Keyring(
            self.place,
            self.uid,
            check,
            [key for key in keys if key is not None],
            bound=self._backend.protocol > 1,
        )
        if not keyring.encrypted and self.execute("SELECT 1 FROM people WHERE key IS NOT NULL LIMIT 1"):
            raise keyring.altered("whether the gallery is encrypted")
        self._key = keyring.key
        return keyring

    def _about(self, name: str) -> bytes | None:
        rows = self.execute("SELECT value FROM about WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def execute(self, statement: str, *values: Value) -> list[Any]:
        """Carry out a statement; all rows that it gives."""
        return self._backend.execute(statement, *values)

    def execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a statement for each row of values."""
        self._backend.execute_many(statement, rows)

    @property
    def version(self) -> tuple[object, int]:
        """Changes whenever this or another process has changed the gallery."""
        return self._backend.version, self.changes

    # the embedding spec

    def set_embedding_spec(self, embedding_spec: Mapping[str, Any]) -> int:
        """Note of which embedder the templates are; the row that they are to refer to."""
        ((row,),) = self.execute(
            "INSERT INTO contracts (space, record) VALUES (?, ?) "
            "ON CONFLICT (space) DO UPDATE SET space = excluded.space RETURNING id",
            spec_fingerprint(embedding_spec),
            json.dumps(embedding_spec, sort_keys=True),
        )
        self.execute(
            "INSERT INTO about VALUES ('contract', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            str(row).encode(),
        )
        if self.index is not None:
            self.index.prepare(int(embedding_spec.get("dimensions", 0)))
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
        if self._backend.in_transaction:
            yield
            return
        while True:
            with self._backend.snapshot():
                if self._about("key_check") == self.keyring.check:
                    yield
                    return
            self.keyring = self._unlock()

    @contextlib.contextmanager
    def writing(self, new_key: GalleryKey | None = None) -> Iterator[None]:
        """A transaction: all of the block or nothing of it.

        With `new_key` all data keys are wrapped by that one at its end, in the same transaction. The new key
        is beside the key file before it is needed, and takes its place after: a kill leaves a gallery that
        opens with what is in the file or beside it.
        """
        with self._backend.transaction():
            self._refresh_key()
            if new_key is not None:
                self._put_key_in_place()  # before another one lies where it may still be
            yield
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
        own = key is not None and key.belongs_to(self.uid, self.place)
        return key.successor(self.uid, self.place) if key is not None and own else None

    def _rewrap(self, following: Keyring) -> None:
        """Have all data keys wrapped as the other keyring does it."""
        wrapped = []
        for row, uid, key, *noted in self.execute(f"SELECT id, uid, key, {NOTED} FROM people"):
            person = self.keyring.person(uid, key, noted)
            wrapped.append((following.wrap(person, noted), row))
        self.execute_many("UPDATE people SET key = ? WHERE id = ?", wrapped)
        if following.check is not None:
            self.execute("UPDATE about SET value = ? WHERE name = 'key_check'", following.check)

    def _settle_key(self) -> None:
        """End what a change of the key has begun."""
        key = self.keyring.key
        if key is not None and (key.gallery == "" or key.staged(self.uid) is not None):
            with self._backend.transaction():
                self._refresh_key()
                self._put_key_in_place()

    def _put_key_in_place(self) -> None:
        """Move the key to where it belongs; inside a transaction, as nobody else can change it then."""
        key = self.keyring.key
        if key is None or not (key.gallery == "" or key.belongs_to(self.uid, self.place)):
            return
        if (staged := key.staged(self.uid)) is not None and not self.keyring.fits(staged):
            key.unstage(self.uid)  # the gallery never came to need it
            staged = None
        if staged is None and key.gallery == "":  # made for this gallery, which did not have an id yet
            staged = key.given_to(self.uid, self.place)
            staged.stage()
        if staged is not None:
            staged.put_in_place()
            self.keyring.key = self._key = staged

    def _refresh_key(self) -> None:
        """Read the key again where another process has replaced it."""
        if self._about("key_check") != self.keyring.check:
            self.keyring = self._unlock()

    def clear_deleted(self) -> bool:
        """Overwrite what was deleted; False where it is left, as other processes read it, or PostgreSQL."""
        return self._backend.clear_deleted()

    @property
    def search(self) -> Search:
        """Where templates are searched."""
        return self._backend.search

    def numbered(self) -> None:
        """Have new rows numbered after those that came with their numbers."""
        self._backend.numbered()

    def _bring_up_to_date(self) -> None:
        """Bring a gallery of an earlier protocol to the present one."""
        if self._backend.protocol == PROTOCOL:
            return
        with self._backend.transaction():
            self.keyring = self._unlock()
            if (old := self._backend.protocol) < PROTOCOL:
                self._backend.upgrade(old)
                for row, name, day in self.execute("SELECT id, name, expires FROM people"):
                    day = self.keyring.checked_day(day, name)
                    self.execute("UPDATE people SET expires = ? WHERE id = ?", day, row)
                self._rewrap(self.keyring.bound_to_people())
                self.keyring = self._unlock()
        self.changes += 1
