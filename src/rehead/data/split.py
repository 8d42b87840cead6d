"""The split into training and test photos, and splits.csv."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import atomic
from ..core.csv_cells import CsvWriter, cell_text
from ..core.text import count, first_of
from ..errors import DataError
from .dataset import Dataset, check_labels, check_trainable
from .duplicates import merge_groups
from .inputs import check_names
from .options import SplitOptions
from .partition import holdout_mask, split_fingerprint

__all__ = ["Split", "check_classes", "make_split", "read_splits", "write_splits"]

_COLUMNS = ("path", "label", "split", "group")  # of splits.csv


@dataclass(frozen=True, eq=False)
class Split:
    """A split of n photos into training and test photos; runs that share it test on the same photos.

    Parameters
    ----------
    dataset : Dataset
    assignment : ndarray of str (n,)
        "train", "test", "unreadable", or "left out" of training because of a near-duplicate in the test.
    copies, bursts : int ndarray (n,)
        Near-duplicates share a number in the one, photos of one burst in the other.
    group : int ndarray (n,)
        What stays on one side: near-duplicates, photos of one given group and, unless `keep_bursts` is
        false, those of one burst share a number.
    notes : tuple of str
        Plain sentences about the split, but for `untested`.
    """

    dataset: Dataset
    assignment: NDArray[np.str_]
    copies: NDArray[np.intp]
    bursts: NDArray[np.intp]
    group: NDArray[np.intp]
    notes: tuple[str, ...]

    @property
    def keeps_bursts(self) -> bool:
        """Whether no burst is divided."""
        return len(np.unique(self.group)) == len(np.unique(merge_groups(self.group, self.bursts)))

    @property
    def tested(self) -> NDArray[np.intp]:
        """Rows of the test photos."""
        return np.flatnonzero(self.assignment == "test")

    @property
    def untested(self) -> list[str]:
        """A sentence about the classes without test photos; none where every class has some."""
        train, test = (
            set(self.dataset.labels[self.assignment == side].tolist()) for side in ("train", "test")
        )
        if not train - test:
            return []
        given = (self.dataset.splits != "").any()
        why = (
            "No test photos were given of"
            if given
            else "Too few different photos to hold any out for testing"
        )
        return [f"{why}: {first_of(sorted(train - test))}."]

    @property
    def fingerprint(self) -> str:
        """Digest of the split's content."""
        return split_fingerprint(self.dataset.ids, self.dataset.labels, self.assignment)


def check_classes(dataset: Dataset) -> None:
    """Check the classes before any photo is opened; `make_split` checks the readable photos again."""
    tested = dataset.splits == ("test" if "test" in dataset.splits.tolist() else "val")
    check_names(dataset.labels)
    check_trainable(dataset.take(~tested))
    check_labels(dataset.take(~tested).classes, dataset.take(tested))


def make_split(
    dataset: Dataset,
    copies: NDArray[np.intp],
    bursts: NDArray[np.intp],
    readable: NDArray[np.bool_],
    options: SplitOptions,
    *,
    seed: int,
) -> Split:
    """Hold out test photos: those that the dataset says, else a stratified random choice.

    Parameters
    ----------
    dataset : Dataset
    copies, bursts : int ndarray (n,)
        Near-duplicates share a number in the one, photos of one burst in the other, as of
        `backbones.features.photo_groups`.
    readable : bool ndarray (n,)
    options : SplitOptions
    seed : int

    Returns
    -------
    Split

    Raises
    ------
    DatasetError
        Too few classes or photos to train on; a class that is only tested on.
    """
    group = merge_groups(copies, dataset.groups, *([bursts] if options.keep_bursts else []))
    notes: list[str] = []
    assignment = np.full(len(dataset), "train", dtype="<U10")
    splits = set(dataset.splits.tolist())
    if splits & {"train", "val", "test"}:
        tested = "test" if "test" in splits else "val"
        assignment[dataset.splits == tested] = "test"
        if tested == "val":
            notes.append(
                "No test photos were given; the validation photos serve as such and are not trained on."
            )
        if "" in splits:
            notes.append("Photos without a split are trained on.")
    else:
        assignment[readable] = np.where(
            holdout_mask(dataset.labels[readable], group[readable], fraction=options.test_share, seed=seed),
            "test",
            "train",
        )
    assignment[~readable] = "unreadable"
    _leave_out_leaks(dataset, assignment, group, notes)
    divided = len(np.intersect1d(bursts[assignment == "train"], bursts[assignment == "test"]))
    if divided and not options.keep_bursts:
        notes.append(
            f"{divided} {'burst stands' if divided == 1 else 'bursts stand'} on both sides of the split, as "
            "was asked for: the test may be too kind."
        )
    return Split(dataset, assignment, copies, bursts, group, tuple(notes))


def _leave_out_leaks(
    dataset: Dataset, assignment: NDArray[np.str_], group: NDArray[np.intp], notes: list[str]
) -> None:
    """Take photos of a test photo's group out of training; change `assignment` and `notes`."""
    _check_parts(dataset, assignment)
    leaked = np.isin(group, group[assignment == "test"]) & (assignment == "train")
    if leaked.any():
        assignment[leaked] = "left out"
        n = int(leaked.sum())
        notes.append(
            f"{count(n, 'photo')} {'was' if n == 1 else 'were'} left out of training, because a "
            "near-duplicate or a photo of the same burst or group is tested on."
        )
        _check_parts(dataset, assignment)


def _check_parts(dataset: Dataset, assignment: NDArray[np.str_]) -> None:
    trained, tested = assignment == "train", assignment == "test"
    check_trainable(dataset.take(trained))
    if tested.any():
        check_labels(set(dataset.labels[trained].tolist()), dataset.take(tested))


def write_splits(path: Path, dataset: Dataset, assignment: NDArray[np.str_], group: NDArray[np.intp]) -> None:
    """Write each photo's `assignment` (n,) and group (n,) as CSV."""
    with atomic.replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.writerow(_COLUMNS)
        writer.writerows(
            zip(dataset.ids, dataset.labels.tolist(), assignment.tolist(), group.tolist(), strict=True)
        )


def read_splits(path: Path, root: Path) -> tuple[Dataset, NDArray[np.str_]]:
    """The photos of splits.csv, relative to `root`, and their assignment (n,); DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [
                {name: cell_text(cell or "") for name, cell in line.items() if name}
                for line in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    for number, line in enumerate(lines, 2):
        if lacking := [name for name in _COLUMNS if not line.get(name)]:
            raise DataError(
                f"{path}, line {number}: {' and '.join(lacking)} missing; expected {','.join(_COLUMNS)}"
            )
    if not lines:
        raise DataError(
            f"{path}: no photo is listed in it; expected {','.join(_COLUMNS)} and a line for each"
        )
    lines.sort(key=lambda line: line["path"])
    labels, splits, groups = (
        np.array([line[name] for line in lines], dtype=np.str_) for name in _COLUMNS[1:]
    )
    ids = tuple(line["path"] for line in lines)
    dataset = Dataset(root, ids, tuple(root / name for name in ids), labels, splits, groups)
    return dataset, splits.astype("<U10")
