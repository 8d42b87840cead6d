"""Names of classes and photos that every file system and `rehead train` take."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..core.rejection import UNKNOWN
from ..data.class_names import DEVICE, is_forbidden
from ..data.csv_table import SPLIT_NAMES
from ..data.folder import CLUTTER
from ..errors import DataError
from .refused import Refused

__all__ = [
    "REMOVED",
    "RUNS",
    "burst_name",
    "class_name",
    "classes_of",
    "file_name",
    "mended_class_name",
    "numbered",
    "same_name",
]

RUNS, REMOVED = "runs", "removed"
"""Folders beside the classes: the runs, and the photos that were removed."""

_LONGEST = 100  # letters; of four bytes each they would be 400, and 255 is what file systems take
_BYTES = 200  # leaves room within those 255 for a number and for the name of a file that is being written
_TAKEN = {RUNS, REMOVED, UNKNOWN, *SPLIT_NAMES, *CLUTTER}
_STAMP = re.compile(r"\d{17}")


def class_name(text: str) -> str:
    """The name of a class as its folder is called: in form NFC, without spaces around it.

    Raises
    ------
    Refused
        No folder can be called so everywhere, or it would mean something else.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise Refused("name-empty")
    if found := next(filter(is_forbidden, name), ""):
        if found.isprintable():
            raise Refused("name-letter", letter=found)
        raise Refused("name-unseen")
    if len(name) > _LONGEST or len(name.encode()) > _BYTES:
        raise Refused("name-long")
    if name[0] == "." or name[-1] in ". " or DEVICE.fullmatch(name):
        raise Refused("name-folder", name=name)
    if name.casefold() in _TAKEN:
        raise Refused("name-taken", name=name)
    return name


def mended_class_name(text: str) -> str:
    """The nearest name that `class_name` takes, for a folder that was dropped."""
    name = _bare(text)
    if not name or name.casefold() in _TAKEN or DEVICE.fullmatch(name):
        name = f"class {name}"
    return class_name(_bare(_shortened(name, _LONGEST, _BYTES)))


def file_name(text: str) -> str:
    """A name for a file that was uploaded under this one, which every file system takes; never hidden."""
    name = _bare(text)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    suffix = suffix if len(suffix) <= 10 else ""
    stem = stem if suffix else name
    name = _shortened(stem, _LONGEST, _BYTES - len(suffix.encode())).rstrip(". ") + suffix
    if not name or name == suffix:
        name = f"photo{suffix}"
    return f"_{name}" if DEVICE.fullmatch(name) else name


def burst_name(stamp: str, number: int) -> str:
    """What the photo `number` of the burst that began at `stamp` is called, see `data.bursts`.

    `stamp` is the time to a millisecond, 17 digits; DataError where it is none.
    """
    if not _STAMP.fullmatch(stamp):
        raise DataError("A burst is named by 17 digits.")
    return f"IMG_{number:05d}_BURST{stamp}.jpg"


def numbered(path: Path) -> Iterator[Path]:
    """The path, and then others beside it: "photo (2).jpg"."""
    yield path
    for number in range(2, 1_000_000):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def classes_of(paths: Sequence[str]) -> list[str]:
    """The class of each file of folders that were dropped, by its path: FOLDER/CLASS/**/photo.jpg.

    Photos directly in FOLDER are of a class of its name. FOLDER/SPLIT/CLASS is FOLDER/CLASS. A file without a
    folder has the class "", which is to be asked for.
    """
    split = [[part for part in path.split("/") if part] for path in paths]
    deep = Counter(parts[0] for parts in split if len(parts) > 2)
    return [_class_of(parts, inside=parts[0] in deep if parts else False) for parts in split]


def _class_of(parts: Sequence[str], *, inside: bool) -> str:
    if len(parts) < 2:
        return ""
    if len(parts) > 3 and parts[1].casefold() in SPLIT_NAMES:
        return mended_class_name(parts[2])
    return mended_class_name(parts[1] if inside and len(parts) > 2 else parts[0])


def same_name(names: Iterable[str], name: str) -> str | None:
    """The one of `names` that is this name but for capitals, which some file systems do not tell apart."""
    return next((other for other in names if other.casefold() == name.casefold()), None)


def _bare(name: str) -> str:
    """In form NFC, of letters that may be, without the spaces and dots around it in whatever order."""
    letters = ("_" if is_forbidden(letter) else letter for letter in unicodedata.normalize("NFC", name))
    return re.sub(r"^[\s.]+|[\s.]+$", "", "".join(letters))


def _shortened(name: str, letters: int, size: int) -> str:
    name = name[:letters]
    while len(name.encode()) > size:
        name = name[:-1]
    return name
