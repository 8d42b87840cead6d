"""Photos in folders: the first level is the class, or the split above the class.

    photos/CLASS/**/*.jpg
    photos/SPLIT/CLASS/**/*.jpg      where every first-level folder with photos is named like a split

A split is called train or training; val, valid or validation; test or testing, in any case. Beside
folders of other names it is an error, and so are class folders that are rather not the classes, see
`class_level`. What is a photo is decided by its ending, else by its first bytes. Hidden files, the clutter
of operating systems and folders that say they are no class (`NOT_A_CLASS`) are ignored.
"""

from __future__ import annotations

import difflib
import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ..core.text import count, first_of
from ..errors import DatasetError
from ..images import is_image_file
from .class_level import check_class_level
from .csv_table import SPLIT_NAMES, Row, path_mode

__all__ = [
    "CLUTTER",
    "EXPECTED_LAYOUT",
    "NOT_A_CLASS",
    "class_folder_names",
    "class_folders",
    "find_photos",
    "list_photos",
    "missing_path",
    "read_folder",
]

EXPECTED_LAYOUT = "expected photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg or a CSV with path,label"
"""The end of an error about photos that are in none of the forms."""

NOT_A_CLASS = ".not-a-class"
"""A file by which a folder says that what is in it belongs to no class, such as runs beside the classes."""

_WEB = {"http", "https", "ftp", "s3", "gs"}  # of addresses, whose two slashes a path makes one
CLUTTER = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"))
"""Names, in lower case, of what operating systems leave in folders."""


def read_folder(root: Path) -> tuple[list[Row], list[str]]:
    """The rows of a folder of classes, or of splits of classes, and the ids of ignored files."""
    entries = _entries(root)
    files = [entry for entry in entries if not _is_dir(entry)]
    loose = [_nfc(entry.name) for entry in files if is_image_file(entry.path)]
    found = class_folders(root)
    photos = {name: listed for name, (listed, _) in found.items() if listed}
    skipped = [*loose, *(name for _, others in found.values() for name in others)]
    if not photos:
        raise _no_classes(root, loose, [entry.name for entry in entries])
    empty = found.keys() - photos.keys()
    if not all(name.lower() in SPLIT_NAMES for name in photos):
        check_class_level(root, [name for listed in photos.values() for name, _ in listed])
        _check_empty(root, empty)
        rows = [Row(name, path, _nfc(label)) for label in photos for name, path in photos[label]]
        return rows, skipped
    _check_empty(root, {name for name in empty if name.lower() in SPLIT_NAMES})
    rows = [row for name, listed in photos.items() for row in _split_rows(root / name, listed)]
    taken = {row.id for row in rows}
    return rows, [*skipped, *(name for listed in photos.values() for name, _ in listed if name not in taken)]


def class_folders(root: Path) -> dict[str, tuple[list[tuple[str, Path]], list[str]]]:
    """The folders in a folder: (id, path) of the photos of each at any depth, and ids of its other files.

    An id is the POSIX path below `root`, in Unicode's form NFC. DatasetError where one cannot be listed.
    """
    return {name: _walk(root / name, name, {_key(root)}) for name in class_folder_names(root)}


def class_folder_names(root: Path) -> list[str]:
    """The names of the folders in a folder, as `class_folders` has them."""
    return [entry.name for entry in _entries(root) if _is_dir(entry)]


def list_photos(source: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The photos to predict: the file itself, or those at any depth of a folder.

    Parameters
    ----------
    source : path
        A file of any name, or a folder.

    Returns
    -------
    tuple of Path
        Sorted by path, at least one.

    Raises
    ------
    DatasetError
        There is nothing there, or no photo in the folder.
    """
    return find_photos(source)[0]


def find_photos(source: str | os.PathLike[str]) -> tuple[tuple[Path, ...], list[str]]:
    """`list_photos`, and the names of the files of a folder that were passed over, as they are no photos."""
    root = Path(source)
    mode = path_mode(root)
    if not mode:
        raise missing_path(root)
    if not stat.S_ISDIR(mode):
        return (root,), []
    photos, others = _walk(root, "", set())
    if not photos:
        found = f" ({count(len(others), 'other file')}, first {others[0]!r})" if others else ""
        raise DatasetError(
            f"{root}: no photo is in this folder{found}; expected files such as photo.jpg or photo.png"
        )
    return tuple(path for _, path in sorted(photos)), sorted(others)


def _split_rows(folder: Path, photos: list[tuple[str, Path]]) -> list[Row]:
    """The rows of one split: SPLIT/CLASS/**/*.jpg. Photos beside the class folders are ignored."""
    split = SPLIT_NAMES[folder.name.lower()]
    rows = [Row(name, path, name.split("/")[1], split) for name, path in photos if name.count("/") > 1]
    if not rows:
        raise DatasetError(
            f"{folder}: photos lie directly in it ({len(photos)}, first {photos[0][0]!r}); "
            f"put each class in a folder of its own: {folder.name}/CLASS/*.jpg"
        )
    check_class_level(folder, [row.id.partition("/")[2] for row in rows])
    classes = {_nfc(entry.name) for entry in _entries(folder) if _is_dir(entry)}
    _check_empty(folder, classes - {row.label for row in rows})
    return rows


def _no_classes(root: Path, loose: list[str], names: list[str]) -> DatasetError:
    if not loose:
        return DatasetError(f"{root}: no photo is in this folder; {EXPECTED_LAYOUT}")
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv"))]
    meant = f"; did you mean {root / tables[0]}?" if tables else ""
    return DatasetError(
        f"{root}: photos lie directly in it ({len(loose)}, first {loose[0]!r}); "
        f"put each class in a folder of its own: {root.name}/CLASS/*.jpg{meant}"
    )


def _check_empty(folder: Path, names: Iterable[str]) -> None:
    if empty := sorted(names):
        raise DatasetError(f"{folder}: no photo is in {first_of(empty)}; add photos or remove the folder")


def _walk(folder: Path, prefix: str, above: set[tuple[int, int]]) -> tuple[list[tuple[str, Path]], list[str]]:
    """(id, path) of every photo at any depth, and ids of the other files.

    Links are followed; a folder is entered once, and never one of those `above`.
    """
    photos, others, entered, waiting = [], [], set(above), [(folder, _nfc(prefix))]
    while waiting:
        here, prefix = waiting.pop()
        if _key(here) in entered:
            continue
        entered.add(_key(here))
        for entry in _entries(here):
            name = f"{prefix}/{_nfc(entry.name)}" if prefix else _nfc(entry.name)
            if _is_dir(entry):
                waiting.append((Path(entry.path), name))
            elif is_image_file(entry.path):
                photos.append((name, Path(entry.path)))
            else:
                others.append(name)
    return photos, others


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder, sorted by name, without hidden files and clutter."""
    try:
        with os.scandir(folder) as scan:
            found = [e for e in scan if not e.name.startswith(".") and e.name.lower() not in CLUTTER]
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    for entry in found:
        if not entry.name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in entry.name):
            raise DatasetError(
                f"{folder}: the name {os.fsencode(entry.name)!r} is not UTF-8; rename the file"
            )
    kept = [e for e in found if not (_is_dir(e) and Path(e.path, NOT_A_CLASS).exists())]
    return sorted(kept, key=lambda entry: entry.name)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _key(folder: Path) -> tuple[int, int]:
    """Device and inode, the identity of a folder."""
    try:
        info = folder.stat()
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be opened ({error.strerror or error})") from error
    return info.st_dev, info.st_ino


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def missing_path(path: Path) -> DatasetError:
    """The error of a missing path, with the most similar name beside it."""
    scheme, _, rest = path.as_posix().partition(":/")
    if scheme in _WEB and rest:
        return DatasetError(
            f"{scheme}://{rest}: an address, not a file; download the photos and give their folder"
        )
    parent = path.parent
    try:
        beside = [entry.name for entry in os.scandir(parent)]
    except (OSError, ValueError):
        return DatasetError(f"{path}: does not exist, nor does the folder {parent}; check the path")
    near = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {parent / near[0]}?" if near else f"check the name in {parent}"
    return DatasetError(f"{path}: does not exist; {hint}")
