"""Names of classes that are probably one class, or several in one, or that no folder can have."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from ..core.rejection import UNKNOWN
from ..errors import DataError

__all__ = ["DEVICE", "check_folder_name", "is_forbidden", "joined_names", "similar_names"]

# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file, which has all that others refuse too
_RESERVED = frozenset('<>:"/\\|?*')
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control and format characters, halves of others, line ends
# Windows' names of devices, with any ending
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_LONGEST = 200  # bytes, of the 255 that file systems take

_SEPARATORS = ";|"  # a comma stands in names of people and places too
_MANY = 0.1  # share of the photos from which a table means several labels by it; a choice


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in case or spaces only, those of one kind together: [("Cat", "cat ")]."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(" ".join(name.casefold().split()), []).append(name)
    return [tuple(alike) for alike in found.values() if len(alike) > 1]


def joined_names(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Names such as "round;red" and "round;blue" that hold several labels, where many photos have such.

    `counts` are the photos of each class. At least one label is in two of the names.
    """
    for separator in _SEPARATORS:
        parts = {name: [part.strip() for part in name.split(separator)] for name in counts}
        joined = sorted(name for name in counts if len(parts[name]) > 1 and all(parts[name]))
        seen = Counter(part for own in parts.values() for part in set(own))
        again = any(seen[part] > 1 for name in joined for part in parts[name])
        if again and sum(counts[name] for name in joined) >= _MANY * sum(counts.values()):
            return tuple(joined)
    return ()


def is_forbidden(letter: str) -> bool:
    """Whether a letter cannot stand in the name of a folder on every system, or would not be seen there."""
    # what joins and parts letters of Persian and Indic words, and the parts of an emoji
    joins = letter in "\u200c\u200d" or "\U000e0020" <= letter <= "\U000e007f"
    return letter in _RESERVED or (unicodedata.category(letter) in _UNSEEN and not joins)


def check_folder_name(name: str) -> None:
    """DataError where not every system takes a folder of this name, or it would mean something else."""
    if not name.strip():
        raise DataError("a class needs a name; type one")
    if name == UNKNOWN:
        raise DataError(f"{name!r} is what photos of no class are called; choose another name")
    if len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        raise DataError(
            f"{name[:20]!r}...: the name of a class is too long for a folder; choose a shorter one"
        )
    bad = next(filter(is_forbidden, name), None)
    if bad is not None:
        raise DataError(f"{name!r}: a folder cannot have {bad!r} in its name; choose another name")
    if name != name.strip() or name[0] == "." or name[-1] == "." or DEVICE.fullmatch(name):
        raise DataError(f"{name!r}: not every system takes a folder of this name; choose another name")
