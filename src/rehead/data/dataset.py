"""A dataset: photos with their classes, splits and groups, from folders or from a CSV.

photos/CLASS/**/*.jpg            `folder`
photos/SPLIT/CLASS/**/*.jpg
photos.csv                       path,label[,split][,group], `csv_table`
"""

from __future__ import annotations

import difflib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.options import arguments_of
from ..core.text import count, first_of, listed
from ..errors import DatasetError
from ..images import is_image_name
from .class_level import class_level
from .class_names import joined_names
from .csv_table import Row, path_mode, read_rows
from .folder import EXPECTED_LAYOUT, missing_path, read_folder
from .options import TableOptions

__all__ = [
    "Dataset",
    "as_dataset",
    "check_labels",
    "check_trainable",
    "class_sentence",
    "passed_over",
    "read_dataset",
]

_NOT_TAKEN = "no photos, or outside of the class folders"
_NAMED = 10  # classes that a sentence lists


@dataclass(frozen=True, eq=False)
class Dataset:
    """Photos with labels, splits and groups; every column has one entry a photo, sorted by id.

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
        "train", "val", "test", or "" where none is given.
    groups : array of str, shape (n,)
        Photos that must stay in one part of a split share a name; "" where none is given.
    skipped : tuple of str
        Files that were passed over: no images, or images outside of the class folders.
    left_out : tuple of str
        Ids that the CSV's column `keep` excludes.
    source : Path or None
        The folder or CSV that was read.
    """

    root: Path
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.str_]
    splits: NDArray[np.str_]
    groups: NDArray[np.str_]
    skipped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    source: Path | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted by code point."""
        return tuple(np.unique(self.labels).tolist())

    @property
    def counts(self) -> dict[str, int]:
        """Photos of each class."""
        names, counts = np.unique(self.labels, return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    def summary(self) -> list[str]:
        """What was listed, in plain sentences: the photos of each class, and what was passed over."""
        return [class_sentence(self.counts), *passed_over(self.skipped, _NOT_TAKEN)]

    def take(self, rows: NDArray[np.bool] | NDArray[np.integer] | Sequence[int]) -> Dataset:
        """The subset of some rows, given by number or by a mask, in that order."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            ids=tuple(self.ids[row] for row in chosen),
            paths=tuple(self.paths[row] for row in chosen),
            labels=self.labels[chosen],
            splits=self.splits[chosen],
            groups=self.groups[chosen],
        )


def class_sentence(counts: Mapping[str, int]) -> str:
    """The photos of each class in a sentence, of many classes those of the first."""
    photos, classes = count(sum(counts.values()), "photo"), count(len(counts), "class", "classes")
    each = [f"'{name}' {number:,}" for name, number in counts.items()]
    if len(each) <= _NAMED:
        return f"{photos} of {classes}: {', '.join(each)}."
    shown, more = ", ".join(each[: _NAMED - 1]), len(each) - _NAMED + 1
    least, most = min(counts.values()), max(counts.values())
    of_each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f"{photos} of {classes}, {of_each} of each: {shown} and {more} more."


def passed_over(names: Sequence[str], why: str = "no photos") -> list[str]:
    """A sentence about files that were passed over when a folder was listed; none where there are none."""
    if not names:
        return []
    were = "was" if len(names) == 1 else "were"
    return [f"{count(len(names), 'file')} {were} passed over ({why}): {listed(names, 3)}."]


def read_dataset(source: str | os.PathLike[str] | Dataset, table: TableOptions | None = None) -> Dataset:
    """Read a folder or a CSV, whichever `source` is.

    Photos are not opened, but for the first bytes of files whose ending is of no image: unreadable ones are
    found when features are extracted.

    Parameters
    ----------
    source : path or Dataset
        A folder in one of the forms above, or a file that ends in .csv or .tsv; what was read before is
        returned as it is.
    table : TableOptions, optional
        How a CSV is read.

    Returns
    -------
    Dataset
        The same whatever order the file system lists its files in.

    Raises
    ------
    DatasetError
        There is nothing there, or not in one of the forms.
    """
    if isinstance(source, Dataset):
        return source
    root = Path(source)
    mode = path_mode(root)
    if not mode:
        raise missing_path(root)
    if stat.S_ISDIR(mode):
        if table not in (None, TableOptions()):
            raise DatasetError(f"{root}: this is a folder; {', '.join(arguments_of(table)[::2])} need a CSV")
        rows, skipped = read_folder(root)
        return replace(as_dataset(root, rows, skipped=skipped), source=root)
    if root.suffix.lower() in {".csv", ".tsv"}:
        table = table or TableOptions()
        rows, left_out = read_rows(root, table)
        return replace(as_dataset(table.root or root.parent, rows, left_out=left_out), source=root)
    kind = "a single photo" if is_image_name(root.name) else "neither a folder nor a CSV"
    raise DatasetError(f"{root}: this is {kind}; {EXPECTED_LAYOUT}")


def check_trainable(train: Dataset) -> None:
    """Check that a dataset can be trained on.

    Raises
    ------
    DatasetError
        Fewer than two classes, or a class with a single photo: cross-validation needs one to train on and
        one to hold out.
    """
    counts = Counter(train.labels.tolist())
    if not counts:
        raise DatasetError(f"{train.root}: no photo is there to train on; {EXPECTED_LAYOUT}")
    if len(counts) == 1:
        (label,) = counts
        inner = class_level(train.ids)
        meant = f"; did you mean {train.root.joinpath(*inner)}?" if inner and label in inner else ""
        raise DatasetError(
            f"{train.root}: all photos to train on are of one class, {label!r}; "
            f"give at least two classes, each in a folder of its own{meant}"
        )
    thin = [label for label, count in sorted(counts.items()) if count < 2]
    if thin:
        several = joined_names(counts)
        do = "a photo has one class here, and these names hold several labels: choose one for each photo"
        raise DatasetError(
            f"{train.root}: {first_of(thin)} {'has' if len(thin) == 1 else 'have'} 1 photo to train on; "
            f"{do if several else 'add at least one more to each class or remove it'}"
        )


def check_labels(known: Iterable[str], other: Dataset) -> None:
    """Check that all classes of a dataset were trained on.

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
    hint = f"did you mean {meant[0]!r}?" if meant else f"trained on: {first_of(learned)}"
    photos = "photo is" if counts.total() == 1 else "photos are"
    raise DatasetError(
        f"{other.root}: {counts.total()} {photos} labelled {first_of(strange)}, which no training photo is; "
        f"{hint}"
    )


def as_dataset(
    root: Path, rows: list[Row], *, skipped: Iterable[str] = (), left_out: Iterable[str] = ()
) -> Dataset:
    """The dataset of rows, sorted by id; DatasetError where two are called alike."""
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
