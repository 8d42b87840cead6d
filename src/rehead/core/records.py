"""JSON records that rehead wrote and reads again: anybody may have changed them since."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DataError

__all__ = [
    "Entries",
    "check_entries",
    "count",
    "either",
    "flag",
    "list_of",
    "names",
    "now",
    "number",
    "read_record",
    "record",
    "text",
    "values",
    "words",
]

Fits: TypeAlias = Callable[[Any], bool]
"""Whether a value from JSON is what it must be."""

Entries: TypeAlias = Mapping[str, tuple[Fits, str]]
"""Of a record: what each entry must be, as a test and as a phrase."""


def now() -> str:
    """The time as records have it: ISO 8601, UTC, seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON file that holds a record; DataError, with the reason as a phrase, where it does not."""
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError("not a record")
    return found


def check_entries(found: Mapping[str, Any], entries: Entries, *, needed: bool = False) -> None:
    """Check a record; DataError, as a phrase, about its first wrong entry.

    Entries that are not there pass, or with `needed` only where their test admits None.
    """
    for name, (fits, expected) in entries.items():
        if (name in found or needed) and not fits(found.get(name)):
            raise DataError(f"{name} is {found.get(name)!r:.60}, expected {expected}")


def number(value: object) -> bool:
    """A finite number."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def count(value: object) -> bool:
    """A whole number from 0."""
    return isinstance(value, int) and 0 <= value < 2**63


def flag(value: object) -> bool:
    """True or false."""
    return isinstance(value, bool)


def text(value: object) -> bool:
    """A string."""
    return isinstance(value, str)


def list_of(fits: Fits) -> Fits:
    """A list of such values."""
    return lambda value: isinstance(value, list) and all(map(fits, value))


words = list_of(text)
"""A list of strings."""


def names(value: object) -> bool:
    """A list of strings, not empty and each once."""
    return isinstance(value, list) and words(value) and 0 < len(set(value)) == len(value)


def record(**entries: Fits) -> Fits:
    """A record with at least these entries; those whose test admits None may be missing."""
    return lambda value: (
        isinstance(value, dict) and all(fits(value.get(name)) for name, fits in entries.items())
    )


def values(fits: Fits) -> Fits:
    """A record of such values."""
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def either(*fits: Fits | None) -> Fits:
    """Any of these; None is null, or nothing."""
    return lambda value: any(value is None if one is None else one(value) for one in fits)
