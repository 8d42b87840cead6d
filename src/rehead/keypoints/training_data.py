"""Annotated photos ready to train on: made of arrays, sampled, checked, and divided into folds by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.photos import Photos
from ..data import cv_folds
from ..data.inputs import photo_files, photo_names
from ..errors import DatasetError
from ..images import image_size
from .annotations import Annotations
from .flip import check_flip_idx, find_flip_idx
from .formats import CENTRE

__all__ = ["TrainingData", "annotate", "prepare_data"]

_MIN_PHOTOS, _FEW_PHOTOS = 4, 50  # below: refused; a warning


@dataclass(frozen=True)
class TrainingData:
    """Photos to train on.

    Parameters
    ----------
    rows : Annotations
        n photos.
    fold : int ndarray (n,)
        0 and up; photos of one person are in one fold.
    flip_idx : tuple of int or None
        The partner of each point in the mirrored photo; None where mirrored photos are not trained on.
    warnings : list of str
        Plain sentences on data that are few.
    """

    rows: Annotations
    fold: NDArray[np.intp]
    flip_idx: tuple[int, ...] | None
    warnings: list[str]


def prepare_data(
    rows: Annotations,
    *,
    cv: int,
    mirror: Literal["auto", False] | str | Sequence[int],
    max_photos: int,
    seed: int,
) -> TrainingData:
    """Check annotations and divide them into folds; of more than `max_photos`, draw a sample.

    Raises
    ------
    DataError
        Too few photos or people, a point that is known in too few, or a `mirror` that is no flip index.
    """
    warnings: list[str] = []
    if len(rows) < _MIN_PHOTOS:
        raise DatasetError(
            f"{rows.source}: {len(rows)} photo{'s'[: len(rows) != 1]} with points; at least {_MIN_PHOTOS} "
            f"are needed, and some {_FEW_PHOTOS} for results worth having"
        )
    if len(rows) > max_photos:
        warnings.append(
            f"{len(rows):,} photos are more than the closed form takes; it was trained on {max_photos:,} of "
            "them, drawn at random."
        )
        rows = rows.take(np.sort(np.random.default_rng(seed).choice(len(rows), max_photos, replace=False)))
    if len(rows) < _FEW_PHOTOS:
        warnings.append(f"{len(rows)} photos are few to train on; expect large errors.")
    fold = cv_folds(np.zeros(len(rows), dtype=int), rows.groups, count=cv, seed=seed)
    if fold.max() < 1:
        raise DatasetError(
            f"{rows.source}: all {len(rows)} photos belong to one person or group; at least two are "
            "needed, to test on one what was trained on the other (--group none takes every photo "
            "for itself)"
        )
    _check_points(rows, fold)
    flip_idx = None
    if isinstance(mirror, str):
        flip_idx = find_flip_idx(rows.units, rows.names)
        if flip_idx is None:
            warnings.append("The points show no left-right symmetry, so mirrored photos were not trained on.")
    elif mirror is not False:
        flip_idx = check_flip_idx(mirror, rows.points.shape[1])
    return TrainingData(rows, fold, flip_idx, warnings)


def _check_points(rows: Annotations, fold: NDArray[np.intp]) -> None:
    """Every point must be known in the training photos, whichever fold is held out."""
    known = ~np.isnan(rows.points[:, :, 0])
    for number in range(int(fold.max()) + 1):
        if (never := np.flatnonzero(~known[fold != number].any(axis=0))).size:
            point = int(never[0])
            name = f" ({rows.names[point]})" if rows.names else ""
            raise DatasetError(
                f"{rows.source}: point {point}{name} is given in {int(known[:, point].sum())} photos, "
                "all of one person or fold; give it in more, or leave its columns out"
            )


def annotate(photos: Photos, y: ArrayLike | None, groups: ArrayLike | None = None) -> Annotations:
    """Annotations of photos and arrays.

    Parameters
    ----------
    photos : path or sequence of paths
        n photos.
    y : array-like (n, K, 2) or (n, 2K)
        Points in pixels, the centre of the upper left one being (0, 0); NaN where missing.
    groups : array-like (n,), optional
        Person of each photo.

    Raises
    ------
    DatasetError
        Arrays that do not fit, or a photo without points.
    ImageError
        A photo is unreadable.
    """
    paths = photo_files(photos)
    names = photo_names(paths)
    try:
        points = np.asarray(y, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DatasetError(
            f"points are no array of numbers ({error}); expected ({len(paths)}, K, 2) pixels"
        ) from error
    if points.ndim == 2 and points.shape[1] % 2 == 0:
        points = points.reshape(len(points), -1, 2)
    if points.ndim != 3 or points.shape[0] != len(paths) or points.shape[2] != 2 or not points.size:
        raise DatasetError(
            f"{len(paths)} photos, and points of shape {points.shape}; expected ({len(paths)}, K, 2) pixels"
        )
    if np.isinf(points).any():
        raise DatasetError("points hold infinite numbers; expected pixels, NaN where one is missing")
    own = np.arange(len(paths)).astype(np.str_)
    group = own if groups is None else np.asarray(groups).astype(np.str_)
    if group.shape != own.shape:
        raise DatasetError(
            f"{len(paths)} photos, and groups of shape {group.shape}; expected one for each photo"
        )
    points = np.where(np.isnan(points).any(axis=2, keepdims=True), np.nan, points) + CENTRE
    if (bare := np.flatnonzero(np.isnan(points).all(axis=(1, 2)))).size:
        raise DatasetError(
            f"photo {bare[0]} ({names[bare[0]]}) has no point, one of {bare.size}; leave them out"
        )
    sizes = np.array([image_size(path) for path in paths], dtype=np.int64)
    return Annotations(Path("the photos"), tuple(names), tuple(paths), points, sizes, group)
