"""Photos and labels as the estimators' `fit` takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.rejection import UNKNOWN
from ..core.text import first_of
from ..errors import DatasetError
from .dataset import Dataset, read_dataset
from .folder import list_photos

__all__ = [
    "LabelledPhotos",
    "Photos",
    "as_labels",
    "as_paths",
    "check_names",
    "read_labelled",
    "training_rows",
    "warnings",
]


Photos = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class LabelledPhotos(NamedTuple):
    """Photos to fit on, one entry of each column a photo.

    Parameters
    ----------
    names : list of str
    paths : list of Path
    labels : ndarray (n,)
        Of str, or of the integers that were given.
    groups : ndarray (n,) or None
    splits : ndarray of str (n,)
        "train", "val", or "" where nothing was said.
    """

    names: list[str]
    paths: list[Path]
    labels: NDArray[Any]
    groups: NDArray[Any] | None
    splits: NDArray[np.str_]

    def as_dataset(self, keep: NDArray[np.bool_]) -> Dataset:
        """The rows that are kept, as a `Dataset` for its checks."""
        rows = np.flatnonzero(keep)
        blank = np.full(len(rows), "")
        return Dataset(
            Path("the photos"),
            tuple(self.names[n] for n in rows),
            tuple(self.paths[n] for n in rows),
            self.labels[rows].astype(np.str_),
            blank,
            blank,
        )


def as_paths(X: Photos) -> list[Path]:
    """The photos of a list, or those of a folder at any depth, sorted by name."""
    if isinstance(X, str | os.PathLike):
        return list(list_photos(X))
    return [Path(path) for path in X]


def as_labels(y: ArrayLike) -> NDArray[Any]:
    """Labels as they are where they are integers or truth values, and as text otherwise."""
    labels = np.asarray(y)
    if labels.dtype.kind in "iub":
        return labels
    missing = [row for row, label in enumerate(labels.ravel().tolist()) if label is None or label != label]
    if missing:
        raise DatasetError(f"photo {missing[0]} has no label, one of {len(missing)}; give every photo one")
    return labels.astype(np.str_)


def read_labelled(X: Photos) -> Dataset:
    """The dataset of a folder or CSV; DatasetError for a list of photos, whose classes are not known."""
    if not isinstance(X, str | os.PathLike):
        raise DatasetError("a list of photos needs the class of each; give it as the second argument, y")
    return read_dataset(X)


def check_names(labels: NDArray[Any]) -> None:
    """Refuse a class whose name would make answers ambiguous; DatasetError."""
    if UNKNOWN in labels.tolist():
        raise DatasetError(
            f"a class is called {UNKNOWN!r}, which is the answer for photos of no class; "
            "give it another name, such as 'other'"
        )


def training_rows(X: Photos, y: ArrayLike | None, groups: ArrayLike | None) -> LabelledPhotos:
    """The photos to fit on: a list with its labels, or a folder or CSV but for its test photos."""
    given = None if groups is None else np.asarray(groups)
    if y is None:
        dataset = read_labelled(X)
        dataset = dataset.take(dataset.splits != "test")
        names, paths, labels, splits = list(dataset.ids), list(dataset.paths), dataset.labels, dataset.splits
        given = dataset.groups if given is None else given
    else:
        paths = as_paths(X)
        names, labels = [str(path) for path in paths], as_labels(y)
        splits = np.full(len(paths), "")
    for name, column in (("labels", labels), ("groups", given)):
        if column is not None and column.shape != (len(paths),):
            raise DatasetError(
                f"{len(paths)} photos, and {name} of shape {column.shape}; expected one for each photo"
            )
    check_names(labels)
    return LabelledPhotos(names, paths, labels, given, splits)


def warnings(counts: Mapping[str, int], fold: NDArray[np.intp], coverage: float) -> list[str]:
    """Warnings about a head that was fitted on few photos.

    Parameters
    ----------
    counts : mapping of str to int
        Training photos of each class.
    fold : int ndarray (n,)
        Fold of each training photo, -1 where it could not be held out.
    coverage : float
        Fraction of photos of known classes to accept.

    Returns
    -------
    list of str
    """
    found = []
    if thin := [name for name, count in counts.items() if count < 10]:
        found.append(
            f"Fewer than 10 photos to learn from: {first_of(thin)}. The head's strength and its confidence "
            "rest on very little; expect them to change with more photos."
        )
    if (alone := int((fold < 0).sum())) > 0:
        found.append(
            f"{alone} photos are of classes that consist of near-duplicates or of one group; they are "
            "trained on, but could not be used to check."
        )
    if len(fold) * (1 - coverage) < 2:
        found.append(
            f'{len(fold)} photos are too few to set the limits for "unknown" at {coverage:.0%}; '
            "they are those of the oddest photo that was seen."
        )
    return found
