"""Encryption: a gallery's master key, which is never in its file, and AES-256-GCM (NIST SP 800-38D).

Nonces are random, of 96 bits. What is encrypted is bound to its place as associated data.

A key file holds the key in hexadecimal digits and, in further lines, the id and the path of the one gallery
that it is the key of. Where they are missing, or another file is at that path (so that this one is a copy),
others may need the key, and it is not replaced by itself.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.atomic import output_errors, sync_to_disk
from ...errors import MissingExtraError, OutputError, WrongKeyError
from .place import PostgresPlace, is_url

__all__ = [
    "KEY_BYTES",
    "KEY_VARIABLE",
    "GalleryKey",
    "decrypt",
    "encrypt",
    "find_key",
    "open_to_others",
    "read_key_file",
    "write_key_file",
]

KEY_BYTES = 32  # AES-256
KEY_VARIABLE = "REHEAD_GALLERY_KEY"
"""Environment variable that may hold the key, as hexadecimal digits or base64."""

_NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1
_EXPECTED = f"expected {KEY_BYTES} bytes as {2 * KEY_BYTES} hexadecimal digits or in base64"
_NO_GALLERY_YET = "new"


@dataclass(frozen=True)
class GalleryKey:
    """A master key, and where it is kept.

    Parameters
    ----------
    value : bytes
        32 of them.
    file : Path, optional
        That holds it; a key from elsewhere cannot be replaced.
    gallery : str, optional
        Id of the one gallery that it is the key of, "" where that is still to be made; None where other
        galleries may need it too.
    path : str
        Or URL of that gallery when the key was made, "" where it is not known.
    """

    value: bytes = field(repr=False)
    file: Path | None = None
    gallery: str | None = None
    path: str = ""

    def belongs_to(self, gallery: str, place: Path | PostgresPlace) -> bool:
        """Whether it is the key of this gallery alone, and this no copy of the one that it was made for."""
        if self.file is None or self.gallery != gallery:
            return False
        if not self.path or is_url(self.path):  # a database: whether that is still there is not known
            return self.path in ("", str(place))
        made_for = Path(self.path)
        try:
            return not made_for.exists() or (isinstance(place, Path) and made_for.samefile(place))
        except OSError:  # a folder that may not be looked into
            return False

    def given_to(self, gallery: str, place: Path | PostgresPlace) -> GalleryKey:
        """The same key as that of one gallery."""
        path = os.path.realpath(place) if isinstance(place, Path) else str(place)
        return replace(self, gallery=gallery, path=path)

    def successor(self, gallery: str, place: Path | PostgresPlace) -> GalleryKey:
        """A new random key of one gallery for the same file."""
        return replace(self.given_to(gallery, place), value=secrets.token_bytes(KEY_BYTES))

    def check_unused(self) -> None:
        """WrongKeyError where it is another gallery's, which may replace it at any time."""
        if self.gallery:
            raise WrongKeyError(
                f"{self.file}: the key of another gallery, {self.path}, which replaces it when somebody is "
                "removed there; name another file, which is made, or remove this one with that gallery"
            )

    def written(self) -> GalleryKey:
        """The key as its file has it now: another process may have replaced it."""
        return self if self.file is None else read_key_file(self.file)

    # replacing a key file: the new key is on the disk beside it before the gallery needs it, and takes its
    # place after that; until then `staged` finds it

    def _beside(self, gallery: str) -> Path:
        assert self.file is not None
        return self.file.with_name(f"{self.file.name}.{gallery[:8]}.new")

    def staged(self, gallery: str) -> GalleryKey | None:
        """The key of that gallery that was to replace this one, None where there is none."""
        if self.file is None or not self._beside(gallery).exists():
            return None
        with contextlib.suppress(WrongKeyError):  # not written to its end
            return replace(read_key_file(self._beside(gallery)), file=self.file)
        return GalleryKey(b"", self.file)

    def stage(self) -> None:
        """Write the key beside its file; into it where there is none yet."""
        if self.file is None:
            return
        if not self.file.exists():
            _write_new(self.file, self)
            return
        beside = self._beside(self.gallery or "")
        with output_errors(beside):
            beside.unlink(missing_ok=True)
        _write_new(beside, self)

    def unstage(self, gallery: str) -> None:
        """Remove what an interrupted `stage` has left."""
        self._beside(gallery).unlink(missing_ok=True)

    def put_in_place(self) -> None:
        """Replace the file by what `stage` wrote, and overwrite what was in it."""
        assert self.file is not None
        beside = self._beside(self.gallery or "")
        try:
            old = _open_to_overwrite(self.file)
            try:
                _copy_access(self.file, beside)
                beside.replace(self.file)
                sync_to_disk(self.file.parent)
                _overwrite(old)
            finally:
                if old is not None:
                    os.close(old)
        except OSError as error:
            raise OutputError(
                f"{self.file}: cannot be replaced ({error.strerror}); the gallery's key is {beside} now, "
                "move it there"
            ) from error


def find_key(
    key_file: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] = os.environ
) -> GalleryKey | None:
    """The master key, of a file or else of the environment; None where neither is given."""
    if key_file is not None:
        return read_key_file(key_file)
    text = environ.get(KEY_VARIABLE)
    return GalleryKey(_decode(text, KEY_VARIABLE)) if text else None


def read_key_file(path: str | os.PathLike[str]) -> GalleryKey:
    """The key in a file, as `write_key_file` wrote it; WrongKeyError says what is wrong."""
    try:
        text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise WrongKeyError(f"{os.fspath(path)}: the key cannot be read ({error.strerror})") from error
    if not text.strip():
        raise WrongKeyError(
            f"{os.fspath(path)}: the file is empty, as a kill in the middle of making a key leaves it; if "
            "its gallery is not there yet, remove the file and enrol again, else restore a copy"
        )
    noted = dict(line.split(" ", 1) for line in text.splitlines()[1:] if " " in line)
    of = noted.get("gallery")
    regular = Path(path).is_file()  # and no pipe, which cannot be replaced
    return GalleryKey(
        _decode(text, os.fspath(path)),
        Path(os.path.realpath(path)) if regular else None,
        "" if of == _NO_GALLERY_YET else of,
        noted.get("path", ""),
    )


def write_key_file(path: str | os.PathLike[str]) -> GalleryKey:
    """Make a random key for a new gallery, in a file that only its owner may read; none is overwritten."""
    made = GalleryKey(secrets.token_bytes(KEY_BYTES), gallery="")
    _write_new(Path(path), made)
    return replace(made, file=Path(os.path.realpath(path)))


def open_to_others(path: str | os.PathLike[str]) -> bool:
    """Whether other users of the system may read the file."""
    return os.name == "posix" and bool(stat.S_IMODE(Path(path).stat().st_mode) & 0o044)


def _write_new(path: Path, key: GalleryKey) -> None:
    lines = [key.value.hex()]
    if key.gallery is not None:
        lines += [f"gallery {key.gallery or _NO_GALLERY_YET}", f"path {key.path}"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as f:
            f.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
            f.flush()
            os.fsync(f.fileno())
        sync_to_disk(path.parent)
    except FileExistsError as error:
        raise OutputError(f"{path}: is there already; a key is never overwritten") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _copy_access(old: Path, new: Path) -> None:
    """Let those who could read the old file read the new one."""
    with contextlib.suppress(OSError, AttributeError):  # not ours to give, or another system
        info = old.stat()
        os.chown(new, info.st_uid, info.st_gid)
        new.chmod(stat.S_IMODE(info.st_mode))


def _open_to_overwrite(path: Path) -> int | None:
    """A descriptor that stays valid when the file is replaced; None where there can be none."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            return os.open(path, os.O_WRONLY)
    return None


def _overwrite(descriptor: int | None) -> None:
    """Overwrite a file that no name is left of, where the disk writes in place."""
    if descriptor is not None and not os.fstat(descriptor).st_nlink:
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
            os.fsync(descriptor)


def _decode(text: str, where: str) -> bytes:
    words = text.split()[0] if text.split() else ""
    try:
        key = bytes.fromhex(words) if len(words) == 2 * KEY_BYTES else base64.b64decode(words, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise WrongKeyError(f"{where}: not a key; {_EXPECTED}")
    return key


def encrypt(key: bytes, data: bytes, place: str) -> bytes:
    """Encrypt `data` bound to a place: nonce, ciphertext and tag."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    ciphertext: bytes = _aes_gcm()(key).encrypt(nonce, data, place.encode())
    return nonce + ciphertext


def decrypt(key: bytes, encrypted: bytes, place: str) -> bytes | None:
    """What was encrypted; None where the key or the place is another, or a bit was changed."""
    cipher = _aes_gcm()
    from cryptography.exceptions import InvalidTag

    try:
        nonce, ciphertext = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
        data: bytes = cipher(key).decrypt(nonce, ciphertext, place.encode())
    except (InvalidTag, ValueError):
        return None
    return data


def _aes_gcm() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtraError(
            "encrypting a gallery needs cryptography: pip install 'rehead[faces]'; "
            "--no-encryption does without"
        ) from error
    return AESGCM
