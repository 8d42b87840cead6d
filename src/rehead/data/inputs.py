"""Photos and labels as the estimators' `fit` takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.photos import File, Photos, as_files
from ..core.rejection import UNKNOWN
from ..core.text import first_of
from ..errors import DatasetError
from .dataset import Dataset, read_dataset
from .folder import list_photos

__all__ = [
    "LabelledPhotos",
    "Photos",
    "as_labels",
    "check_names",
    "photo_files",
    "photo_names",
    "read_labelled",
    "training_rows",
    "warnings",
]


class LabelledPhotos(NamedTuple):
    """Photos to fit on, one entry of each column a photo.

    Parameters
    ----------
    names : list of str
    paths : list of path or bytes
    labels : ndarray (n,)
        Of str, or of the integers that were given.
    groups : ndarray (n,) or None
    splits : ndarray of str (n,)
        "train", "val", or "" where nothing was said.
    weights : float64 ndarray (n,) or None
        Positive weight of each photo, None where all weigh the same.
    """

    names: list[str]
    paths: list[File]
    labels: NDArray[Any]
    groups: NDArray[Any] | None
    splits: NDArray[np.str_]
    weights: NDArray[np.float64] | None = None

    def as_dataset(self, keep: NDArray[np.bool_]) -> Dataset:
        """The rows that are kept, as a `Dataset` for its checks."""
        rows = np.flatnonzero(keep)
        blank = np.full(len(rows), "")
        return Dataset(
            Path("the photos"),
            tuple(self.names[n] for n in rows),
            tuple(Path(self.names[n]) for n in rows),
            self.labels[rows].astype(np.str_),
            blank,
            blank,
        )


def photo_files(X: Photos) -> list[File]:
    """Paths or bytes of the photos that were given; of a folder those at any depth, sorted by name."""
    if isinstance(X, str | os.PathLike):
        return list(list_photos(X))
    return [file if isinstance(file, bytes) else Path(file) for file in as_files(X)]


def photo_names(files: Sequence[File]) -> list[str]:
    """What messages call the photos: the path, and the number in the list where there is none."""
    return [f"photo {n}" if isinstance(file, bytes) else str(file) for n, file in enumerate(files)]


def as_labels(y: ArrayLike) -> NDArray[Any]:
    """Labels (n,) as they are where they are numbers or truth values, and as text otherwise.

    Parameters
    ----------
    y : array-like (n,) or (n, 1)
        Also a column of a data frame, or one whose elements are objects of one such type.

    Raises
    ------
    DatasetError
        A label is missing or no label at all, or numbers and text are mixed.
    """
    plain = isinstance(y, list | tuple)
    labels = _of_objects(y) if plain else np.asarray(y)  # type: ignore[arg-type]
    if labels.shape[1:] == (1,):
        labels = labels[:, 0]
    if labels.dtype.kind == "O":
        labels = _typed(labels)
    if labels.dtype.kind == "f" and (missing := np.flatnonzero(np.isnan(labels))).size:
        raise _no_label(missing.tolist())
    return labels if labels.dtype.kind in "iubf" else labels.astype(np.str_)


def _of_objects(labels: Sequence[Any]) -> NDArray[Any]:
    """One entry a label, even where labels are lists, which numpy would take for columns."""
    found = np.empty(len(labels), dtype=object)
    found[:] = labels
    return found


def _typed(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels that are objects, as an array of the one type that they have."""
    values = labels.ravel().tolist()
    if missing := [row for row, label in enumerate(values) if _is_missing(label)]:
        raise _no_label(missing)
    for row, label in enumerate(values):
        if isinstance(label, Iterable) and not isinstance(label, str):
            raise DatasetError(
                f"the label of photo {row} is a {type(label).__name__}, {label!r:.40}; a photo has one class"
            )
    kinds = {_family(label): type(label).__name__ for label in values}
    if len(kinds) > 1:
        raise DatasetError(f"labels are of {' and '.join(sorted(kinds.values()))}; give all of one type")
    return np.array(values).reshape(labels.shape)


def _family(label: Any) -> str:
    if isinstance(label, bool | np.bool_):
        return "truth"
    return "text" if isinstance(label, str) else "number"


def _is_missing(label: Any) -> bool:
    try:
        return label is None or not bool(label == label)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA, which is neither equal to itself nor not
        return True


def _no_label(rows: list[int]) -> DatasetError:
    return DatasetError(f"photo {rows[0]} has no label, one of {len(rows)}; give every photo one")


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


def training_rows(
    X: Photos, y: ArrayLike | None, groups: ArrayLike | None, sample_weight: ArrayLike | None = None
) -> LabelledPhotos:
    """The photos to fit on: a list with its labels, or a folder or CSV but for its test photos.

    Photos of weight zero are left out.
    """
    given = None if groups is None else np.asarray(groups)
    weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if y is None:
        dataset = read_labelled(X)
        dataset = dataset.take(dataset.splits != "test")
        paths: list[File] = list(dataset.paths)
        names, labels, splits = list(dataset.ids), dataset.labels, dataset.splits
        given = dataset.groups if given is None else given
    else:
        paths, labels = photo_files(X), as_labels(y)
        names = photo_names(paths)
        splits = np.full(len(paths), "")
    for name, column in (("labels", labels), ("groups", given), ("sample_weight", weights)):
        if column is not None and column.shape != (len(paths),):
            raise DatasetError(
                f"{len(paths)} photos, and {name} of shape {column.shape}; expected one for each photo"
            )
    check_names(labels)
    rows = LabelledPhotos(names, paths, labels, given, splits, weights)
    return rows if weights is None else _weighing(rows, weights)


def _weighing(rows: LabelledPhotos, weights: NDArray[np.float64]) -> LabelledPhotos:
    """The photos that weigh anything."""
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise DatasetError("sample_weight holds negative or infinite numbers, NaN, or only zeros")
    keep = weights > 0
    return LabelledPhotos(
        list(compress(rows.names, keep)),
        list(compress(rows.paths, keep)),
        rows.labels[keep],
        None if rows.groups is None else rows.groups[keep],
        rows.splits[keep],
        weights[keep],
    )


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
