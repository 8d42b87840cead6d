"""Which photos there are, and what is known of them: read from folders or from a CSV.

    photos/CLASS/**/*.jpg            the first level is the class
    photos/SPLIT/CLASS/**/*.jpg      where every first-level folder with photos is called like a split
    photos.csv                       path,label[,split][,group]

A split is called train or training; val, valid or validation; test or testing, in any case. One
folder of such a name that has photos directly in it, beside folders of other names, is a class;
any other mixture is refused. Hidden files and the clutter of operating systems are passed over.
"""

from __future__ import annotations

import difflib
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..images import is_image_name
from .csv_table import SPLIT_NAMES, Row, path_mode, read_rows

__all__ = ["Dataset", "check_labels", "check_trainable", "list_photos", "read_dataset"]

_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}
_EXPECTED = "expected photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg or a CSV with path,label"
_NAMED = 5  # how many culprits a message names before it only counts


@dataclass(frozen=True, eq=False)
class Dataset:
    """Photos and what is known of them; every column has one entry a photo, sorted by id.

    Parameters
    ----------
    root : Path
        The folder that ids are relative to.
    ids : tuple of str
        (n,) The row's name everywhere: POSIX path relative to `root` where the photo lies below
        it, absolute elsewhere; in Unicode's form NFC; no two alike.
    paths : tuple of Path
        (n,) The files to open.
    labels : array of str, shape (n,)
        The classes, in form NFC.
    splits : array of str, shape (n,)
        "train", "val", "test", or "" where nothing was said.
    groups : array of str, shape (n,)
        Photos that must stay on one side of a split share a name; "" where none was given.
    skipped : tuple of str
        Files that were found and not taken: no photo by name, or a photo outside the class folders.
    left_out : tuple of str
        Ids that the CSV's column `keep` leaves out.
    """

    root: Path
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.str_]
    splits: NDArray[np.str_]
    groups: NDArray[np.str_]
    skipped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, each once, sorted by code point."""
        return tuple(np.unique(self.labels).tolist())

    def take(self, rows: NDArray[np.bool] | NDArray[np.integer] | Sequence[int]) -> Dataset:
        """The dataset of some rows, given by number or by a mask, in that order."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            ids=tuple(self.ids[row] for row in chosen),
            paths=tuple(self.paths[row] for row in chosen),
            labels=self.labels[chosen],
            splits=self.splits[chosen],
            groups=self.groups[chosen],
        )


def read_dataset(source: str | os.PathLike[str]) -> Dataset:
    """Read a folder or a CSV, whichever `source` is.

    Photos are not opened: one that cannot be read is found when its features are taken.

    Parameters
    ----------
    source : path
        A folder in one of the forms above, or a file that ends in .csv or .tsv.

    Returns
    -------
    Dataset
        The same whatever order the file system lists its files in.

    Raises
    ------
    DatasetError
        There is nothing there, or not in one of the forms.
    """
    root = Path(source)
    mode = path_mode(root)
    if not mode:
        raise _not_there(root)
    if stat.S_ISDIR(mode):
        rows, skipped = _read_folder(root)
        return _dataset(root, rows, skipped=skipped)
    if root.suffix.lower() in {".csv", ".tsv"}:
        rows, left_out = read_rows(root)
        return _dataset(root.parent, rows, left_out=left_out)
    kind = "a single photo" if is_image_name(root.name) else "neither a folder nor a CSV"
    raise DatasetError(f"{root}: this is {kind}; {_EXPECTED}")


def list_photos(source: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The photos to predict: the file itself, or those at any depth of a folder.

    Parameters
    ----------
    source : path
        A file, taken whatever its name is, or a folder.

    Returns
    -------
    tuple of Path
        Sorted by path, at least one.

    Raises
    ------
    DatasetError
        There is nothing there, or no photo in the folder.
    """
    root = Path(source)
    mode = path_mode(root)
    if not mode:
        raise _not_there(root)
    if not stat.S_ISDIR(mode):
        return (root,)
    photos, _ = _walk(root, "", set())
    if not photos:
        raise DatasetError(
            f"{root}: no photo is in this folder; expected files such as photo.jpg or photo.png"
        )
    return tuple(path for _, path in sorted(photos))


def check_trainable(train: Dataset) -> None:
    """Refuse photos that nothing can be learned from.

    Raises
    ------
    DatasetError
        Fewer than two classes, or a class with a single photo: choosing the head's strength takes
        one to learn from and one to check on.
    """
    counts = Counter(train.labels.tolist())
    if not counts:
        raise DatasetError(f"{train.root}: no photo is there to train on; {_EXPECTED}")
    if len(counts) == 1:
        (label,) = counts
        inner = {tuple(name.split("/")[1:-1])[:1] for name in train.ids if name.startswith(f"{label}/")}
        meant = f"; did you mean {train.root / label}?" if len(inner) > 1 and () not in inner else ""
        raise DatasetError(
            f"{train.root}: all photos to train on are of one class, {label!r}; "
            f"give at least two classes, each in a folder of its own{meant}"
        )
    thin = [label for label, count in sorted(counts.items()) if count < 2]
    if thin:
        raise DatasetError(
            f"{train.root}: {_some(thin)} {'has' if len(thin) == 1 else 'have'} 1 photo to train on; "
            "add at least one more to each class or remove it"
        )


def check_labels(known: Iterable[str], other: Dataset) -> None:
    """Refuse photos of a class that was never learned.

    Parameters
    ----------
    known : iterable of str
        The labels that were trained on.
    other : Dataset
        The photos to validate or test on.

    Raises
    ------
    DatasetError
        Names the labels that `known` lacks.
    """
    learned = sorted(set(known))
    counts = Counter(label for label in other.labels.tolist() if label not in set(learned))
    if not counts:
        return
    strange = sorted(counts)
    near = difflib.get_close_matches(strange[0].lower(), [name.lower() for name in learned], n=1)
    meant = [name for name in learned if near and name.lower() == near[0]]
    hint = f"did you mean {meant[0]!r}?" if meant else f"trained on: {_some(learned)}"
    photos = "photo is" if counts.total() == 1 else "photos are"
    raise DatasetError(
        f"{other.root}: {counts.total()} {photos} labelled {_some(strange)}, which no training photo is; "
        f"{hint}"
    )


def _dataset(
    root: Path, rows: list[Row], *, skipped: Iterable[str] = (), left_out: Iterable[str] = ()
) -> Dataset:
    rows = sorted(rows, key=lambda row: row.id)
    for one, other in pairwise(rows):
        if one.id == other.id:
            raise DatasetError(
                f"{root}: two photos are called {one.id!r}, accents composed or not; rename one"
            )
    return Dataset(
        root=root,
        ids=tuple(row.id for row in rows),
        paths=tuple(row.path for row in rows),
        labels=np.array([row.label for row in rows], dtype=np.str_),
        splits=np.array([row.split for row in rows], dtype=np.str_),
        groups=np.array([row.group for row in rows], dtype=np.str_),
        skipped=tuple(sorted(skipped)),
        left_out=tuple(sorted(left_out)),
    )


def _read_folder(root: Path) -> tuple[list[Row], list[str]]:
    """The rows of a folder of classes, or of splits of classes, and what was not taken."""
    entries = _entries(root)
    folders = [entry.name for entry in entries if _is_dir(entry)]
    loose = [_nfc(entry.name) for entry in entries if not _is_dir(entry) and is_image_name(entry.name)]
    found = {name: _walk(root / name, name, {_key(root)}) for name in folders}
    photos = {name: listed for name, (listed, _) in found.items() if listed}
    skipped = [*loose, *(name for _, others in found.values() for name in others)]
    if not photos:
        raise _no_classes(root, loose, [entry.name for entry in entries])
    empty = found.keys() - photos.keys()
    if not _are_splits(root, photos):
        _check_empty(root, empty)
        rows = [Row(name, path, _nfc(label)) for label in photos for name, path in photos[label]]
        return rows, skipped
    _check_empty(root, {name for name in empty if name.lower() in SPLIT_NAMES})
    rows = [row for name, listed in photos.items() for row in _split_rows(root / name, listed)]
    taken = {row.id for row in rows}
    return rows, [*skipped, *(name for listed in photos.values() for name, _ in listed if name not in taken)]


def _split_rows(folder: Path, photos: list[tuple[str, Path]]) -> list[Row]:
    """The rows of one split: SPLIT/CLASS/**/*.jpg. Photos beside the class folders are not taken."""
    split = SPLIT_NAMES[folder.name.lower()]
    rows = [Row(name, path, name.split("/")[1], split) for name, path in photos if name.count("/") > 1]
    if not rows:
        raise DatasetError(
            f"{folder}: photos lie directly in it ({len(photos)}, first {photos[0][0]!r}); "
            f"put each class in a folder of its own: {folder.name}/CLASS/*.jpg"
        )
    classes = {_nfc(entry.name) for entry in _entries(folder) if _is_dir(entry)}
    _check_empty(folder, classes - {row.label for row in rows})
    return rows


def _are_splits(root: Path, by_folder: dict[str, list[tuple[str, Path]]]) -> bool:
    """Whether the first level is splits (True) or classes (False); a mixture is an error."""
    splits = [name for name in by_folder if name.lower() in SPLIT_NAMES]
    if len(splits) == len(by_folder) or not splits:
        return bool(splits)
    if len(splits) == 1 and any(name.count("/") == 1 for name, _ in by_folder[splits[0]]):
        return False
    others = [name for name in by_folder if name not in splits]
    raise DatasetError(
        f"{root}: {_some(splits)} could be splits or classes beside {_some(others)}; "
        f"move {_some(others)} away or into the splits, or rename the classes"
    )


def _no_classes(root: Path, loose: list[str], names: list[str]) -> DatasetError:
    if not loose:
        return DatasetError(f"{root}: no photo is in this folder; {_EXPECTED}")
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv"))]
    meant = f"; did you mean {root / tables[0]}?" if tables else ""
    return DatasetError(
        f"{root}: photos lie directly in it ({len(loose)}, first {loose[0]!r}); "
        f"put each class in a folder of its own: {root.name}/CLASS/*.jpg{meant}"
    )


def _check_empty(folder: Path, names: Iterable[str]) -> None:
    empty = sorted(names)
    if empty:
        raise DatasetError(f"{folder}: no photo is in {_some(empty)}; add photos or remove the folder")


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
            elif is_image_name(entry.name):
                photos.append((name, Path(entry.path)))
            else:
                others.append(name)
    return photos, others


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name, without hidden files and clutter."""
    try:
        with os.scandir(folder) as scan:
            found = [e for e in scan if not e.name.startswith(".") and e.name.lower() not in _CLUTTER]
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    for entry in found:
        if not entry.name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in entry.name):
            raise DatasetError(
                f"{folder}: the name {os.fsencode(entry.name)!r} is not UTF-8; rename the file"
            )
    return sorted(found, key=lambda entry: entry.name)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _key(folder: Path) -> tuple[int, int]:
    """What tells a folder from every other, whatever it is called."""
    try:
        info = folder.stat()
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be opened ({error.strerror or error})") from error
    return info.st_dev, info.st_ino


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _not_there(path: Path) -> DatasetError:
    """A missing path, with the nearest name beside it."""
    parent = path.parent
    try:
        beside = [entry.name for entry in os.scandir(parent)]
    except (OSError, ValueError):
        return DatasetError(f"{path}: does not exist, nor does the folder {parent}; check the path")
    near = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {parent / near[0]}?" if near else f"check the name in {parent}"
    return DatasetError(f"{path}: does not exist; {hint}")


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
