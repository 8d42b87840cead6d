"""What the entries of a model file's manifest must be: its digest is no signature, anybody can write it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DataError

__all__ = ["check_manifest"]


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Check the entries that are there and that rehead uses; DataError, a phrase, about the first wrong."""
    for name, (fits, expected) in _ENTRIES.items():
        if name in manifest and not fits(manifest[name]):
            raise DataError(f"{name} is {manifest[name]!r:.60}, expected {expected}")


def _number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _names(value: object) -> bool:
    return isinstance(value, list) and _words(value) and 0 < len(set(value)) == len(value)


def _record(**entries: Callable[[Any], bool]) -> Callable[[object], bool]:
    """Of records: whether the named entries are there and fit."""
    return lambda value: (
        isinstance(value, dict) and all(name in value and fits(value[name]) for name, fits in entries.items())
    )


def _values(fits: Callable[[Any], bool]) -> Callable[[object], bool]:
    """Of records: whether all values fit."""
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _text(value: object) -> bool:
    return isinstance(value, str)


def _count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


def _points(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _count(value.get("count"))
        and value["count"] > 0
        and (not value.get("names") or (_words(value["names"]) and len(value["names"]) == value["count"]))
        and (value.get("frame") is None or _frame(value["frame"]))
    )


def _box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_number, value))


_frame = _record(box=_box, aspect=_number)

_ENTRIES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "kind": (_text, "a word"),
    "labels": (_names, "classes, each once"),
    "depths": (_names, "names of feature levels, each once"),
    "preprocess": (_record(), "a record"),
    "operating_point": (_values(_number), "finite numbers"),
    "points": (_points, "how many points there are, and a name for each"),
    "backbone": (_record(name=_text, sha256=_text, licences=_values(_text)), "name, sha256 and licences"),
    "photos": (lambda value: _count(value) or _values(_count)(value), "counts of photos"),
    "faces": (_record(), "a record"),
    "metrics": (lambda value: value is None or _record()(value), "a record"),
    "head": (lambda value: isinstance(value, dict | list), "a record"),
    "unreadable": (_words, "names of photos"),
    "seen": (_text, "digests"),
    "split": (_text, "a digest"),
}
