"""Files that are there whole or not at all.

Every result is written beside its place and moved into it. A full disk, a kill or Ctrl-C
leaves what was there before, and no half file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError

__all__ = ["output_errors", "replacing", "write_bytes", "write_text"]


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


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8 with plain newlines, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))
