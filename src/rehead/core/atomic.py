"""Atomic writes.

Every file is written beside its place and moved into it: a full disk, a kill or Ctrl-C leaves the previous
file, and never a partial one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError

__all__ = ["check_place", "output_errors", "replacing", "replacing_folder", "write_bytes", "write_text"]


@contextlib.contextmanager
def output_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError inside the block into an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{os.fspath(path)}: cannot be written ({reason}); choose another place") from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path`; on success it is moved into place, otherwise removed.

    Parents are made. Raises OutputError where the file cannot be written.
    """
    final = Path(path)
    beside = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with output_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            yield beside
            beside.replace(final)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str], *, keep: bool = True) -> Iterator[Path]:
    """Yield a folder beside `path`; on success it takes its place, otherwise it is removed.

    With `keep` false it is removed in any case: a dry run that checks whether the folder can be written.
    Raises OutputError where it cannot.
    """
    final = Path(path)
    with output_errors(final):
        if final.exists() and not final.is_dir():
            raise OutputError(f"{final}: a file is in the way; choose another name")
        final.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    old = beside.with_name(beside.name + ".old")
    try:
        yield beside
        if keep:
            with output_errors(final):
                beside.chmod(0o777 & ~_umask())
                if final.exists():
                    final.rename(old)
                beside.rename(final)
    except OutputError as error:
        raise OutputError(str(error).replace(str(beside), str(final))) from error
    finally:
        if old.exists() and not final.exists():
            old.rename(final)
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_place(path: str | os.PathLike[str]) -> None:
    """Refuse a file that cannot be written, before the work is done and not after; nothing is made.

    The OutputError names the file, and not what it would be written beside.
    """
    final = Path(path)
    if final.is_dir():
        raise OutputError(f"{final}: a folder is in the way; choose another name")
    with output_errors(final):
        there = next((parent for parent in final.absolute().parents if parent.exists()), Path())
        with tempfile.TemporaryFile(dir=there):
            pass


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8 with plain newlines, whole or not at all.

    A byte of a file name that is no text becomes an escape, "\\udce9", which JSON reads back.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
