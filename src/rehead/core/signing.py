"""Ed25519 signatures of model files: who wrote a file, where its digest says only that it is whole.

The signature stands behind the digest in the file, and is of that digest, which covers graph and manifest.
Keys are PEM files, as `openssl genpkey -algorithm ed25519 -out key.pem` and `openssl pkey -in key.pem -pubout
-out public.pem` write them. Needs `pip install 'rehead[sign]'`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingExtraError, NotSignedError
from . import atomic
from .model_file import ModelFile, read_model_file, signature_of, signed

__all__ = ["check_signature", "read_private_key", "sign_model_file"]

_CONTEXT = b"rehead model file, Ed25519\0"  # so that a signature of something else is none of a model file


def read_private_key(path: str | os.PathLike[str]) -> Any:
    """The Ed25519 private key of a PEM file; DataError where it is none."""
    serialization, kinds = _cryptography()
    data = _bytes(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{os.fspath(path)}: no private key in PEM without a password; write one with "
            f"`openssl genpkey -algorithm ed25519 -out {Path(path).name}`"
        ) from error
    if not isinstance(key, kinds.Ed25519PrivateKey):
        raise DataError(f"{os.fspath(path)}: a key of another kind; expected Ed25519")
    return key


def sign_model_file(path: str | os.PathLike[str], key: Any) -> None:
    """Write the signature of `read_private_key`'s key into a model file, in place of an earlier one.

    Raises ModelFileError where the file cannot be used, OutputError where it cannot be written.
    """
    file = read_model_file(path)
    atomic.write_bytes(path, signed(file, key.sign(_message(file)).hex()))


def check_signature(file: ModelFile, public_key: str | os.PathLike[str]) -> None:
    """Check that the private key of a public one, a PEM file, signed a model file.

    Raises
    ------
    NotSignedError
        The file has no signature, or that of another key.
    DataError
        `public_key` is none.
    """
    serialization, kinds = _cryptography()
    data = _bytes(public_key)
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError as error:
        raise DataError(
            f"{os.fspath(public_key)}: no public key in PEM; write that of key.pem with "
            "`openssl pkey -in key.pem -pubout -out public.pem`"
        ) from error
    if not isinstance(key, kinds.Ed25519PublicKey):
        raise DataError(f"{os.fspath(public_key)}: a key of another kind; expected Ed25519")
    signature = signature_of(file)
    if signature is None:
        raise NotSignedError(f"{file.path}: not signed; `rehead sign` signs it")
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(bytes.fromhex(signature), _message(file))
    except (InvalidSignature, ValueError) as error:
        raise NotSignedError(
            f"{file.path}: not signed with the key of {os.fspath(public_key)}; fetch it again from its source"
        ) from error


def _message(file: ModelFile) -> bytes:
    return _CONTEXT + file.digest.encode("ascii")


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtraError(
            "signatures need cryptography, which is not installed: pip install 'rehead[sign]'"
        ) from error
    return serialization, ed25519
