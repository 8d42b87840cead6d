"""The keys of one gallery's people, and their templates encrypted with them.

Each person has a data key of their own, wrapped by the gallery's master key. What is encrypted is bound to
its place, so that rows cannot be exchanged or changed unnoticed: a template to gallery, person, photo and
embedder, a data key to gallery, person and what is noted of the person (name, consent, last day, time).
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DamagedGalleryError, DataError, WrongKeyError
from .encryption import KEY_BYTES, KEY_VARIABLE, GalleryKey, decrypt, encrypt
from .place import PostgresPlace
from .records import checked_day

__all__ = ["Keyring", "PersonKey"]

_CHECK = b"rehead gallery"


@dataclass(frozen=True)
class PersonKey:
    """The data key of one person; without a key, templates stay in the clear.

    Parameters
    ----------
    key : bytes or None
        AES-256.
    place : str
        Of the person: ids of gallery and person.
    """

    key: bytes | None
    place: str

    def renewed(self) -> PersonKey:
        """Another data key for the same person."""
        return PersonKey(None if self.key is None else secrets.token_bytes(KEY_BYTES), self.place)

    def encrypt(self, vector: NDArray[np.float32], sha256: str, fingerprint: str) -> bytes:
        """A template as stored: the embedding (D,) of the photo `sha256` by the embedder `fingerprint`."""
        data = np.asarray(vector, dtype="<f4").tobytes()
        return data if self.key is None else encrypt(self.key, data, f"{self.place}/{sha256}/{fingerprint}")

    def decrypt(self, stored: bytes, sha256: str, fingerprint: str) -> bytes | None:
        """What `encrypt` was given, as little-endian float32; None where it was altered or moved."""
        return (
            stored if self.key is None else decrypt(self.key, stored, f"{self.place}/{sha256}/{fingerprint}")
        )


class Keyring:
    """The keys of a gallery.

    Parameters
    ----------
    path : Path or PostgresPlace
        Of the gallery, for errors.
    uid : str
        The gallery's id.
    check : bytes or None
        What `new_check` made; None for a gallery in the clear.
    keys : sequence of GalleryKey
        Of which one should be the master key; none for a gallery in the clear.
    bound : bool
        Whether data keys are bound to what is noted of people; they are not before protocol 2.

    Raises
    ------
    WrongKeyError
        The gallery is encrypted, and its key is missing or another; or it is not, and a key is given.
    """

    def __init__(
        self,
        path: Path | PostgresPlace,
        uid: str,
        check: bytes | None,
        keys: Sequence[GalleryKey],
        *,
        bound: bool,
    ) -> None:
        self._path, self._uid, self.bound, self.check = path, uid, bound, check
        self.key: GalleryKey | None = None
        if check is None:
            if keys:
                raise WrongKeyError(
                    f"{path}: the gallery is not encrypted, but a key is given; if it was made with "
                    f"--no-encryption, leave out --key-file and {KEY_VARIABLE}, else it was changed: "
                    "restore a copy"
                )
            return
        if not keys:
            raise WrongKeyError(
                f"{path}: the gallery is encrypted; give its key with --key-file or in {KEY_VARIABLE}"
            )
        self.key = next((key for key in keys if self.fits(key)), None)
        if self.key is None:
            raise WrongKeyError(
                f"{path}: this is not the key of the gallery as it is now; an older copy needs the key of "
                "its time"
            )

    def fits(self, key: GalleryKey) -> bool:
        """Whether that is the master key."""
        return self.check is not None and decrypt(key.value, self.check, self._uid) == _CHECK

    @staticmethod
    def new_check(key: GalleryKey, uid: str) -> bytes:
        """By which a gallery recognises its master key."""
        return encrypt(key.value, _CHECK, uid)

    @property
    def encrypted(self) -> bool:
        """Whether templates are encrypted."""
        return self.key is not None

    def with_key(self, key: GalleryKey) -> Keyring:
        """The keys of the same gallery under another master key."""
        return Keyring(self._path, self._uid, self.new_check(key, self._uid), [key], bound=self.bound)

    def bound_to_people(self) -> Keyring:
        """The same keys, bound to what is noted of people."""
        keys = [] if self.key is None else [self.key]
        return Keyring(self._path, self._uid, self.check, keys, bound=True)

    def new_person(self, uid: str) -> PersonKey:
        """A new data key for the person of an id."""
        return PersonKey(b"" if self.encrypted else None, f"{self._uid}/{uid}").renewed()

    def wrap(self, person: PersonKey, noted: Sequence[str | None]) -> bytes | None:
        """The data key of a person as stored, bound to what is noted of them; None in the clear."""
        if self.key is None or person.key is None:
            return None
        return encrypt(self.key.value, person.key, self._place(person.place, noted))

    def person(self, uid: str, wrapped: bytes | None, noted: Sequence[str | None]) -> PersonKey:
        """The data key of a person, unwrapped; DamagedGalleryError where it or what is noted was changed."""
        place = f"{self._uid}/{uid}"
        key = None
        if self.key is not None:
            key = decrypt(self.key.value, wrapped or b"", self._place(place, noted))
        if self.encrypted != (key is not None) or (key is None and wrapped is not None):
            raise self.altered(f"what is noted of {noted[0]!r}")
        return PersonKey(key, place)

    def checked_day(self, day: str | None, name: str) -> str | None:
        """A last day as stored; DamagedGalleryError where it is none."""
        try:
            return checked_day(day)
        except DataError as error:
            raise self.altered(f"the last day of {name!r}") from error

    def parsed_hash(self, text: str | None) -> int:
        """A hash that was stored, 0 where there is none; DamagedGalleryError where it is none."""
        try:
            return int(text or "0", 16)
        except ValueError as error:
            raise self.altered("the hash of a photo") from error

    def parsed(self, text: str, what: str) -> dict[str, Any]:
        """An object that was stored as JSON; DamagedGalleryError where it is none."""
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(record := json.loads(text), dict):
                return record
        raise self.altered(what)

    def _place(self, person: str, noted: Sequence[str | None]) -> str:
        return f"{person}/{json.dumps(noted)}" if self.bound else person

    def altered(self, what: str) -> DamagedGalleryError:
        """The error for a row that was changed or damaged."""
        return DamagedGalleryError(
            f"{self._path}: {what} was changed or damaged after it was written; restore a copy"
        )
