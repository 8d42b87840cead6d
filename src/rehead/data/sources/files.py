"""Files by path or by address ("s3://bucket/photos"), read the same way. Only this module knows fsspec."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from ...core.text import first_line
from ...errors import DatasetError, ImageError, MissingExtraError, ReheadError

__all__ = [
    "as_given",
    "expand",
    "is_address",
    "is_folder",
    "join",
    "list_folder",
    "open_file",
    "read_file",
    "reading",
    "version_of",
]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters at least: C: is a disk
_AS_PATH = re.compile(r"([a-z][a-z0-9+.-]+):/(?=[^/])", re.IGNORECASE)  # what a Path makes of one
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # as WebDataset and shells have it
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}


def is_address(place: str) -> bool:
    """Whether a name is an address such as "s3://bucket/photos", and no path."""
    return _ADDRESS.match(place) is not None


def as_given(place: str | os.PathLike[str]) -> str:
    """The address or path as it was typed: a Path makes one slash of two."""
    text = os.fspath(place)
    if is_address(text) or os.path.lexists(text) or not (found := _AS_PATH.match(text)):
        return text
    root = "/" if found[1].lower() == "file" else ""
    return f"{found[1]}://{root}{text[found.end() :]}"


def join(folder: str, name: str) -> str:
    """A name below a folder, each a path or an address."""
    if is_address(name) or os.path.isabs(name):  # noqa: PTH117
        return name
    return f"{folder.rstrip('/')}/{name}" if is_address(folder) else str(Path(folder) / name)


@contextlib.contextmanager
def reading(place: str) -> Iterator[None]:
    """Turn whatever goes wrong with a file inside the block into a DatasetError that names it."""
    try:
        yield
    except (ReheadError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DatasetError(f"{place}: does not exist; check the name") from error
    except PermissionError as error:
        why = f" ({first_line(error)})" if is_address(place) else ""
        what = (
            "check the credentials and the rights of the bucket" if is_address(place) else "check its rights"
        )
        raise DatasetError(
            f"{place}: no right to read it{why}; {what}, and give the command again"
        ) from error
    except OSError as error:
        raise DatasetError(f"{place}: cannot be read ({error.strerror or first_line(error)})") from error
    except Exception as error:
        if not is_address(place):
            raise
        # every protocol's package has errors of its own
        kind = type(error).__name__
        raise DatasetError(f"{place}: cannot be read ({kind}: {first_line(error)})") from error


def _system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    protocol = address.partition("://")[0].lower()
    try:
        import fsspec.core
    except ImportError as error:
        raise MissingExtraError(f"{address}: needs fsspec: pip install 'rehead[cloud]'") from error
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(address))
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        how = f"pip install {package}" if package else first_line(error)
        raise MissingExtraError(f"{address}: fsspec needs a package for {protocol}://: {how}") from error
    except ValueError as error:
        raise DatasetError(
            f"{address}: {first_line(error)}; expected s3://, gs://, hf:// or a path"
        ) from error


def open_file(place: str) -> IO[bytes]:
    """A file, open for reading bytes; DatasetError."""
    with reading(place):
        if not is_address(place):
            return Path(place).open("rb")
        system, path = _system(place)
        return cast("IO[bytes]", system.open(path, "rb"))


def read_file(place: str) -> bytes:
    """The bytes of one photo at an address.

    Raises
    ------
    ImageError
        It is not there.
    DatasetError
        No rights, no network.
    """
    with reading(place):
        system, path = _system(place)
        try:
            return bytes(system.cat_file(path))
        except FileNotFoundError as error:
            raise ImageError(place, "does not exist") from error


def version_of(place: str) -> str:
    """What changes with a file: its size, and its ETag or the time of its last change."""
    with reading(place):
        if not is_address(place):
            status = Path(place).stat()
            return f"{status.st_size} {status.st_mtime_ns}"
        system, path = _system(place)
        info = system.info(path)
        marks = ("ETag", "etag", "md5Hash", "blob_id", "mtime", "LastModified", "created")
        return f"{info.get('size')} {next((info[mark] for mark in marks if info.get(mark)), '')}"


def is_folder(place: str) -> bool:
    """Whether it is a folder, or an address below which there is something."""
    if not is_address(place):
        return Path(place).is_dir()
    with reading(place):
        system, path = _system(place)
        return bool(system.isdir(path))


def list_folder(folder: str, *, deep: bool = False) -> Iterator[tuple[str, bool]]:
    """What is in a folder, and whether each is a folder: paths or addresses, sorted by name.

    `deep` lists the files at any depth instead.
    """
    with reading(folder):
        if not is_address(folder):
            root = Path(folder)
            if deep:
                yield from sorted((str(path), False) for path in root.rglob("*") if not path.is_dir())
            else:
                yield from sorted((str(path), path.is_dir()) for path in root.iterdir())
            return
        system, path = _system(folder)
        if deep:
            yield from ((system.unstrip_protocol(name), False) for name in sorted(system.find(path)))
            return
        for entry in sorted(system.ls(path, detail=True), key=lambda entry: str(entry["name"])):
            yield system.unstrip_protocol(entry["name"]), entry["type"] == "directory"


def expand(pattern: str) -> list[str]:
    """The files that a name with {000..009} or * stands for, sorted; the name itself where it has neither."""
    if found := _RANGE.search(pattern):
        first, last = found[1], found[2]
        numbers = range(int(first), int(last) + 1)
        if not numbers:
            raise DatasetError(f"{pattern}: {found[0]} counts down; give the smaller number first")
        before, after = pattern[: found.start()], pattern[found.end() :]
        return [name for n in numbers for name in expand(f"{before}{n:0{len(first)}d}{after}")]
    if "*" not in pattern or (not is_address(pattern) and os.path.lexists(pattern)):
        return [pattern]
    with reading(pattern):
        if is_address(pattern):
            system, path = _system(pattern)
            names = sorted(system.unstrip_protocol(name) for name in system.glob(path))
        else:
            names = sorted(glob.glob(pattern))  # noqa: PTH207 - of a pattern with any root
    if not names:
        raise DatasetError(f"{pattern}: no file has such a name; check the pattern")
    return names
