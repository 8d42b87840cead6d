"""Errors that the page says: each has a key of the table of words, so that they are in its language."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, OutputError
from ..pages.words import words

__all__ = ["NotWritten", "Refused", "said_in_words", "why_failed"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def _sentence(key: str, values: dict[str, Any]) -> str:
    return words("rehead.studio")[f"refused.{key}"].format(**values)


class Refused(DataError):  # noqa: N818 - it refuses what was asked for
    """What was asked for cannot be done.

    Parameters
    ----------
    key : str
        "refused.KEY" in the table of words.
    values
        What stands in its text.
    """

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(_sentence(key, values))
        self.key, self.values = key, values


class NotWritten(OutputError):  # noqa: N818
    """The folder cannot be written; as `Refused`."""

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(_sentence(key, values))
        self.key, self.values = key, values


def why_failed(said: str) -> str:
    """Why a command of `rehead` failed: its error, the last line of what it said."""
    last = said.strip().splitlines()[-1:] or [""]
    return last[0].removeprefix("rehead: ")


@contextlib.contextmanager
def said_in_words(place: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a `NotWritten` about `place`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NotWritten("full", name=place.name) from error
        if error.errno in _FORBIDDEN:
            raise NotWritten("forbidden", name=str(place)) from error
        if isinstance(error, FileNotFoundError):
            raise NotWritten("missing", name=place.name) from error
        raise NotWritten("unwritten", name=str(place), why=error.strerror or str(error)) from error
