"""Encryption: a gallery's master key, which is never in its file, and AES-256-GCM (NIST SP 800-38D).

Nonces are random, of 96 bits. What is encrypted is bound to its place as associated data.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError, OutputError, WrongKeyError

__all__ = ["KEY_BYTES", "KEY_VARIABLE", "decrypt", "encrypt", "find_key", "read_key_file", "write_key_file"]

KEY_BYTES = 32  # AES-256
KEY_VARIABLE = "REHEAD_GALLERY_KEY"
"""Environment variable that may hold the key, as hexadecimal digits or base64."""

_NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1
_EXPECTED = f"expected {KEY_BYTES} bytes as {2 * KEY_BYTES} hexadecimal digits or in base64"


def find_key(
    key_file: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] = os.environ
) -> bytes | None:
    """The master key, of a file or else of the environment; None where neither is given."""
    if key_file is not None:
        return read_key_file(key_file)
    text = environ.get(KEY_VARIABLE)
    return _decode(text, KEY_VARIABLE) if text else None


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """The key in a file, as `write_key_file` wrote it; WrongKeyError says what is wrong."""
    try:
        text = Path(path).read_text("ascii")
    except OSError as error:
        raise WrongKeyError(f"{os.fspath(path)}: the key cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise WrongKeyError(f"{os.fspath(path)}: not a key; {_EXPECTED}") from error
    return _decode(text, os.fspath(path))


def write_key_file(path: str | os.PathLike[str]) -> bytes:
    """Make a new random key and write it to a file that only its owner may read; it is never overwritten."""
    key = secrets.token_bytes(KEY_BYTES)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as f:
            f.write(key.hex() + "\n")
            f.flush()
            os.fsync(f.fileno())
    except FileExistsError as error:
        raise OutputError(f"{os.fspath(path)}: is there already; a key is never overwritten") from error
    except OSError as error:
        raise OutputError(f"{os.fspath(path)}: cannot be written ({error.strerror})") from error
    return key


def _decode(text: str, where: str) -> bytes:
    words = text.strip()
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
    from cryptography.exceptions import InvalidTag

    try:
        nonce, ciphertext = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
        data: bytes = _aes_gcm()(key).decrypt(nonce, ciphertext, place.encode())
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
