"""Files that are written or moved to where nothing is: never over another one."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

from ..core.atomic import part_beside, sync_to_disk
from .names import numbered

__all__ = ["move_beside", "move_folder", "write_beside"]


def write_beside(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all, under another name where there is one; return its path."""
    with part_beside(path) as beside:
        beside.write_bytes(data)
        sync_to_disk(beside)
        return move_beside(beside, path)


def move_beside(source: Path, target: Path) -> Path:
    """Move a file, to another name beside `target` where there is one; return where it is.

    Folders on the way are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for place in numbered(target):
        with contextlib.suppress(FileExistsError):
            _move(source, place)
            return place
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _move(source: Path, place: Path) -> None:
    """Move a file; FileExistsError where there is one."""
    if sys.platform == "win32":  # where renaming does not replace
        source.rename(place)
        return
    if source.is_symlink() and not source.readlink().is_absolute():
        meant = source.parent.resolve() / source.readlink()
        place.symlink_to(os.path.relpath(meant, place.parent.resolve()))
        source.unlink()
        return
    try:
        os.link(source, place, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links, or a real reason, which renaming gives too
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        source.rename(place)
        return
    try:
        source.unlink()
    except OSError:
        place.unlink()
        raise


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder; FileExistsError where something else is."""
    if os.path.lexists(target) and not target.samefile(source):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)
