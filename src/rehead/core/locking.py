"""One run at a time for a place that is written."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError
from .atomic import output_errors

__all__ = ["is_locked", "locked"]

_held: dict[Path, int] = {}  # by which thread


@contextlib.contextmanager
def locked(place: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other runs, of this process or others, from writing a folder; a kill ends it.

    The thread that has it may take it again. On a disk without locks it does nothing.

    Raises
    ------
    OutputError
        Another run has it; the lock cannot be written.
    """
    folder = Path(place).resolve()
    lock = folder.parent / f".{folder.name}.lock"
    if _held.get(lock) == threading.get_ident():
        yield
        return
    with output_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = None if lock in _held else _taken(lock)
    if handle is None:
        raise OutputError(
            f"{place}: another run is writing there; wait until it ends, or choose another --out"
        )
    _held[lock] = threading.get_ident()
    try:
        yield
    finally:
        del _held[lock]
        if sys.platform == "win32":  # where an open file cannot be removed
            os.close(handle)
        with contextlib.suppress(OSError):
            lock.unlink()
        if sys.platform != "win32":
            os.close(handle)


def is_locked(place: str | os.PathLike[str]) -> bool:
    """Whether a run of any process has it; on a disk without locks never."""
    folder = Path(place).resolve()
    lock = folder.parent / f".{folder.name}.lock"
    if lock in _held:
        return True
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        _lock(handle)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    finally:
        os.close(handle)  # which ends the lock, too
    return False


def _taken(lock: Path) -> int | None:
    """The open and locked file; None where another process has it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            return None
        except OSError:  # a disk without locks
            return handle
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        os.close(handle)  # the run that had it removed it meanwhile


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
