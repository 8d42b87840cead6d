"""The keys of one gallery's people, and their templates encrypted with them.

Each person has a data key of their own, wrapped by the gallery's master key: removing a person destroys it,
and with it whatever copy of the templates is left in a journal or on the disk. What is encrypted is bound to
its place (gallery, person, photo and embedder), so rows cannot be exchanged unnoticed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DamagedGalleryError, WrongKeyError
from .encryption import KEY_BYTES, KEY_VARIABLE, decrypt, encrypt

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
    path : path
        Of the gallery, for errors.
    uid : str
        The gallery's id.
    check : bytes or None
        What `new_check` made; None for a gallery in the clear.
    key : bytes or None
        The master key.

    Raises
    ------
    WrongKeyError
        The gallery is encrypted, and its key is missing or another.
    """

    def __init__(self, path: Path, uid: str, check: bytes | None, key: bytes | None) -> None:
        self._path, self._uid = path, uid
        self._key = key if check is not None else None
        if check is None:
            return
        if key is None:
            raise WrongKeyError(
                f"{path}: the gallery is encrypted; give its key with --key-file or in {KEY_VARIABLE}"
            )
        if decrypt(key, check, uid) != _CHECK:
            raise WrongKeyError(f"{path}: this is not the key that the gallery was made with")

    @staticmethod
    def new_check(key: bytes, uid: str) -> bytes:
        """By which a new gallery recognises its master key."""
        return encrypt(key, _CHECK, uid)

    @property
    def encrypted(self) -> bool:
        """Whether templates are encrypted."""
        return self._key is not None

    def new_person(self, uid: str) -> bytes | None:
        """A new data key for the person of an id, wrapped for the file; None in the clear."""
        key = secrets.token_bytes(KEY_BYTES)
        return None if self._key is None else encrypt(self._key, key, f"{self._uid}/{uid}")

    def person(self, uid: str, wrapped: bytes | None) -> PersonKey:
        """The data key of a person, unwrapped; DamagedGalleryError where it was altered."""
        place = f"{self._uid}/{uid}"
        if self._key is None:
            return PersonKey(None, place)
        if (key := decrypt(self._key, wrapped or b"", place)) is None:
            raise self.altered("a person's key")
        return PersonKey(key, place)

    def altered(self, what: str) -> DamagedGalleryError:
        """The error for a row that was changed or damaged."""
        return DamagedGalleryError(
            f"{self._path}: {what} was changed or damaged after it was written; restore a copy"
        )
