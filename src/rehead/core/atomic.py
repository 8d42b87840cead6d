"""Atomic writes.

Every file is written beside its place and moved into it: a full disk, a kill or Ctrl-C leaves the previous
file, and never a partial one. What is said to be there is on the disk: files and folders are synced first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import OutputError
from .leftovers import BESIDE, LEFT, PARTS, sweep, sweep_beside

__all__ = [
    "check_place",
    "output_errors",
    "part_beside",
    "replacing",
    "replacing_folder",
    "sync_to_disk",
    "write_bytes",
    "write_text",
]


@contextlib.contextmanager
def output_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError inside the block into an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{os.fspath(path)}: cannot be written ({reason}); choose another place") from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Yield a path beside `path`; on success it is moved into place, otherwise removed.

    Parents are made. Without `sync` a power failure may lose the file, or leave it cut short. Raises
    OutputError where the file cannot be written.
    """
    final = Path(path)
    with output_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with part_beside(final, swept=sync) as beside:
            yield beside
            if sync:
                sync_to_disk(beside)
            beside.replace(final)
            if sync:
                sync_to_disk(final.parent)


@contextlib.contextmanager
def part_beside(final: Path, *, swept: bool = True) -> Iterator[Path]:
    """Yield a path beside `final` to write a file at that is moved then; what was not moved is removed.

    Where `swept`, those that killed runs left are removed before.
    """
    beside = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        if swept:
            sweep(final.parent, PARTS)
        yield beside
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(
    path: str | os.PathLike[str],
    *,
    keep: bool = True,
    replaced: Callable[[Path], bool] | None = None,
) -> Iterator[Path]:
    """Yield a folder beside `path`; on success it takes its place, otherwise it is removed.

    Parameters
    ----------
    path : path
        Not there, or an empty folder.
    keep : bool
        False for a dry run that checks whether the folder can be written: it is removed in any case.
    replaced : callable, optional
        Whether what is at `path` when the block ends, a folder with files, may be removed for the new one.

    Raises
    ------
    OutputError
        The folder cannot be written; or something else came to `path` meanwhile, which is left as it is: the
        new folder is then beside it, under a name that the message says.
    """
    final = Path(path)
    if final.is_symlink():
        final = final.resolve()
    with output_errors(final):
        if final.exists() and not final.is_dir():
            raise OutputError(f"{final}: a file is in the way; choose another name")
        final.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(final)
        beside = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}{BESIDE}"))
    try:
        yield beside
        if keep:
            with output_errors(final):
                beside.chmod(0o777 & ~_umask())
                _sync_all(beside)
                _move(beside, final, replaced)
                sync_to_disk(final.parent)
    except OutputError as error:
        raise OutputError(str(error).replace(str(beside), str(final))) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move(beside: Path, final: Path, replaced: Callable[[Path], bool] | None) -> None:
    """Bring the folder to its place; afterwards `beside` is what was there before, or is gone."""
    if _into(beside, final):
        return
    if replaced is not None and replaced(final):
        _exchange(beside, final)
        if replaced(beside):
            return
        _exchange(beside, final)  # somebody wrote into it at the last moment
    place = next(p for n in range(2, 10_000) if not (p := final.with_name(f"{final.name}-{n}")).exists())
    beside.rename(place)
    raise OutputError(
        f"{final}: something was put there while this was made, and is left as it is; the result is in "
        f"{place}"
    )


def _into(beside: Path, final: Path) -> bool:
    """Move a folder to where nothing is, or an empty one; False where something is."""
    with contextlib.suppress(OSError):
        final.rmdir()  # only where it is empty; not every system renames onto a folder
    if final.exists():
        return False
    try:
        beside.rename(final)
    except FileExistsError:
        return False
    except OSError:
        if final.exists():
            return False
        raise
    return True


_MANY = 100  # files, each of which takes some 20 ms on a busy disk
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux' fcntl.h and fs.h


def _exchange(beside: Path, final: Path) -> None:
    """Exchange two folders, in one step where the system and the disk can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # an older C library
            rename = ctypes.CDLL(None).renameat2
            paths = os.fsencode(beside), os.fsencode(final)
            if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
                return
    old = beside.with_name(beside.name + LEFT)  # `sweep_beside` puts it back after a kill between the two
    final.rename(old)
    try:
        beside.rename(final)
    except BaseException:
        old.rename(final)
        raise
    old.rename(beside)


def sync_to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk; where a system cannot, go on."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sync_all(folder: Path) -> None:
    """Wait until a folder with all in it is on the disk."""
    paths = [*folder.rglob("*"), folder]
    if len(paths) > _MANY and sys.platform == "linux":  # elsewhere it does not wait
        os.sync()
        return
    for path in paths:
        sync_to_disk(path)


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


def write_bytes(path: str | os.PathLike[str], data: bytes, *, sync: bool = True) -> None:
    """Write `data` to `path`, whole or not at all; `sync` as in `replacing`."""
    with replacing(path, sync=sync) as beside:
        beside.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8 with plain newlines, whole or not at all.

    A byte of a file name that is no text becomes an escape, "\\udce9", which JSON reads back.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
