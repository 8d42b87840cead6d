"""What killed runs leave: swept when it is old, and put back where it is all that there is."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BESIDE", "LEFT", "PARTS", "sweep", "sweep_beside", "temporary_folder"]

BESIDE = ".rehead-"
"""Between the name of a folder and random letters: a folder that was being written."""

LEFT = ".old"
"""Ends the name of an earlier folder while a new one takes its place."""

PARTS = r"\..*\.\d+-[0-9a-f]{8}\.part"
"""Names of files that were being written."""

_DAY = 86_400.0  # seconds: no file takes as long to write
_RANDOM = "[a-z0-9_]{8}"  # as tempfile has it
_TEMPORARY = 7 * _DAY  # a training writes a checkpoint after each epoch


def sweep(folder: Path, name: str, *, age: float = _DAY) -> None:
    """Remove this user's files and folders in `folder` whose names match and that are old.

    Parameters
    ----------
    folder : Path
    name : str
        Regular expression of the whole name.
    age : float
        Seconds since the last change, of a folder or of any file in it.
    """
    own = os.getuid() if hasattr(os, "getuid") else None
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(name, entry.name) is None:
                continue
            with contextlib.suppress(OSError):  # another process sweeps, too
                status = entry.stat(follow_symlinks=False)
                if own not in (None, status.st_uid) or time.time() - _changed(Path(entry.path)) < age:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink()


def _changed(path: Path) -> float:
    """When a file, or a folder or anything in it, was last written to."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return max(float(each.lstat().st_mtime) for each in (path, *inside))


def sweep_beside(final: Path) -> None:
    """Sweep what killed runs left beside a folder that they were to write, and put back an earlier one."""
    name = re.escape(f".{final.name}{BESIDE}") + _RANDOM
    if not final.exists() and final.parent.is_dir():
        for left in sorted(final.parent.glob(f".*{LEFT}")):
            if re.fullmatch(name + re.escape(LEFT), left.name):
                with contextlib.suppress(OSError):
                    left.rename(final)
                break
    sweep(final.parent, f"{name}({re.escape(LEFT)})?")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards; those of killed runs go after a week without a change."""
    sweep(Path(tempfile.gettempdir()), f"rehead-tmp-{_RANDOM}", age=_TEMPORARY)
    with tempfile.TemporaryDirectory(prefix="rehead-tmp-") as folder:
        yield Path(folder)
