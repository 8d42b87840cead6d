"""Annotations: photos and their points, read, checked, and grouped by person."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from ..core.photos import File
from ..core.text import count
from ..errors import DatasetError, ImageError
from ..images import file_digest, image_size, read_bytes, read_image
from .annotation_checks import FAR, far_outside, placeholders, shape_misfits
from .formats import CENTRE, Table, read_table

__all__ = ["Annotations", "checked", "read_annotations"]

_PREVIEW = (64, 64)  # pixels: a JPEG is decoded at an eighth to check that it can be
_MAX_NAMED = 5  # photos that a message names, before "..."
_MANY = 0.2  # of all points: if so many lie far outside of their photo, they are in another unit
_UNIT = 2.0  # pixels: no photo has all its points in so small a corner, but fractions of the side do
_MIN_GROUPS = 5  # as many as folds: names that give fewer people mean something else


@dataclass(frozen=True)
class Annotations:
    """Photos with their points, a row for each photo.

    Parameters
    ----------
    source : Path
        The file or folder of annotations.
    ids : tuple of str
        Names of the photos, as the file gives them.
    paths : tuple of path or bytes
    points : float64 ndarray (n, K, 2)
        In pixels of the upright photo, whose upper left corner is (0, 0); NaN where a point is missing.
    sizes : int ndarray (n, 2)
        Width and height of the upright photos.
    groups : ndarray of str (n,)
        Photos of one person have the same; each photo its own where nothing is known.
    names : tuple of str
        Of the points; empty where they have none.
    unreadable : tuple of (str, str)
        Name and reason of each photo that was left out.
    notes : tuple of str
        On the file, in plain sentences.
    photos : tuple of path or bytes
        The photos that `paths` were cut out of; empty where they are the photos themselves.
    corners : float64 ndarray (n, 2) or None
        Where in them, in pixels.
    """

    source: Path
    ids: tuple[str, ...]
    paths: tuple[File, ...]
    points: NDArray[np.float64]
    sizes: NDArray[np.int64]
    groups: NDArray[np.str_]
    names: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    photos: tuple[File, ...] = ()
    corners: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def units(self) -> NDArray[np.float64]:
        """Points in units of the photo's sides, 0..1 within it: (n, K, 2)."""
        return np.asarray(self.points / self.sizes[:, None, :])

    def digests(self) -> list[str]:
        """By which the model file knows the photos: the first 12 letters of each file's SHA-256."""
        return [file_digest(path)[:12] for path in self.photos or self.paths]

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Annotations:
        """These rows only."""
        index = np.asarray(rows, dtype=np.intp)
        return replace(
            self,
            ids=tuple(self.ids[n] for n in index),
            paths=tuple(self.paths[n] for n in index),
            points=self.points[index],
            sizes=self.sizes[index],
            groups=self.groups[index],
            photos=tuple(self.photos[n] for n in index) if self.photos else (),
            corners=None if self.corners is None else self.corners[index],
        )

    def ordered_as(self, names: Sequence[str]) -> Annotations:
        """The same with points in the order of these names; as it is where they are not all of its own."""
        if sorted(names) != sorted(self.names) or not names:
            return self
        order = [self.names.index(name) for name in names]
        return replace(self, points=self.points[:, order], names=tuple(names))


def read_annotations(
    source: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    group: str = "auto",
    strict: bool = False,
) -> Annotations:
    """Read points, and check the photos that they belong to, and the points themselves (`checked`).

    Parameters
    ----------
    source : path
        A CSV (name, x0, y0, x1, y1, ... in pixels, the centre of the upper left pixel being (0, 0); a header
        is optional, says by its names which column is which, and may have a column `group` or `person`), a
        COCO keypoints JSON, a .pts file or a folder of them.
    images : path, optional
        Folder that the names are relative to; that of `source` by default.
    group : str
        Which photos show the same person: "auto" (the file's column; else names that differ only in the
        numbers at their end), "none", or a regular expression whose first group, or whole match, names the
        person.
    strict : bool
        Whether an unreadable photo, or one whose points are wrong, is an error; otherwise it is left out and
        listed.

    Returns
    -------
    Annotations

    Raises
    ------
    DatasetError, ImageError
    """
    file = Path(source)
    table = read_table(file)
    folder = Path(images) if images is not None else (file if file.is_dir() else file.parent)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder of photos; give it as --images")
    paths = [folder / name for name in table.photos]
    _check_photos(file, folder, table.photos, paths)
    sizes = list(map_in_order(_size, paths))
    errors = [(n, s) for n, s in enumerate(sizes) if isinstance(s, ImageError)]
    if errors and (strict or len(errors) == len(paths)):
        raise errors[0][1]
    bad = {n for n, _ in errors}
    keep = [n for n in range(len(paths)) if n not in bad]
    groups, note = _groups(file, table, group)
    rows = Annotations(
        file,
        tuple(table.photos[n] for n in keep),
        tuple(paths[n] for n in keep),
        table.points[keep],
        np.array([sizes[n] for n in keep], dtype=np.int64),
        groups[keep],
        table.names,
        tuple((table.photos[n], error.reason) for n, error in errors),
        table.notes,
    )
    rows = checked(rows, strict=strict)
    return replace(rows, notes=(*rows.notes, *note))


def checked(rows: Annotations, *, strict: bool = False) -> Annotations:
    """Take placeholders for missing points, and leave out photos whose points are wrong; it is all said.

    Raises
    ------
    DatasetError
        No photo has a point, the points are in another unit, or, if `strict`, a photo would be left out.
    """
    missing, places = placeholders(rows.points - CENTRE, rows.sizes)
    points = np.where(missing[:, :, None], np.nan, rows.points)
    notes = list(rows.notes)
    if places:
        where = " or ".join(f"({x:g}, {y:g})" for x, y in places)
        notes.append(
            f"Taken for missing: {count(int(missing.sum()), 'point')} at {where}, in "
            f"{count(int(missing.any(axis=1).sum()), 'photo')}."
        )
    blank = np.isnan(points).all(axis=(1, 2))
    if blank.all():
        raise DatasetError(f"{rows.source}: no photo has a point; expected coordinates in pixels")
    if blank.any():
        notes.append(f"Left out: {count(int(blank.sum()), 'photo')} without any point.")
    rows = replace(rows, points=points).take(np.flatnonzero(~blank))
    _check_unit(rows)
    wrong, odd = _wrong(rows)
    if wrong and strict:
        n, reason = min(wrong.items())
        raise DatasetError(f"{rows.source}: {rows.ids[n]!r}: {reason}; correct its points, or leave it out")
    listed = [(rows.ids[n], reason) for n, reason in sorted(wrong.items())]
    kept = rows.take([n for n in range(len(rows)) if n not in wrong])
    notes += [*_left_out(listed), *_another_kind([rows.ids[n] for n in odd]), *_outside(kept)]
    return replace(kept, unreadable=(*rows.unreadable, *listed), notes=tuple(notes))


def _size(path: Path) -> tuple[int, int] | ImageError:
    """Size of a photo that can be decoded: a header may be intact where the pixels are not."""
    try:
        data = read_bytes(path)
        read_image(data, at_least=_PREVIEW)
        return image_size(data)
    except ImageError as error:
        return ImageError(path, error.reason)


def _check_photos(source: Path, folder: Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    # os.path, as Path raises an error on a name that is too long
    if missing := [name for name, path in zip(names, paths, strict=True) if not os.path.exists(path)]:  # noqa: PTH110
        raise DatasetError(
            f"{source}: {len(missing)} of {len(names)} photos are not in {folder} ({_named(missing)}); give "
            "the folder of the photos as --images"
        )
    if twice := sorted(name for name, times in Counter(names).items() if times > 1)[:_MAX_NAMED]:
        raise DatasetError(f"{source}: listed twice: {', '.join(map(repr, twice))}; keep one line a photo")


def _check_unit(rows: Annotations) -> None:
    """Refuse points in another unit."""
    known = ~np.isnan(rows.points[:, :, 0])
    raw = rows.points[known] - CENTRE
    if len(raw) > 1 and raw.min() >= -_UNIT and raw.max() <= _UNIT:
        raise DatasetError(
            f"{rows.source}: all coordinates lie between {raw.min():.3g} and {raw.max():.3g}, so they look "
            "like shares of the side; expected pixels: multiply x by the photo's width and y by its height"
        )
    far = far_outside(rows.points, rows.sizes)
    if far.sum() > _MANY * known.sum():
        n = int(np.argmax(far.any(axis=1)))
        raise DatasetError(
            f"{rows.source}: {far.sum():,} of {known.sum():,} points lie far outside of their photos, the "
            f"first in {rows.ids[n]!r} of {rows.sizes[n, 0]} x {rows.sizes[n, 1]} pixels; expected pixels of "
            "the photo as it is"
        )


def _wrong(rows: Annotations) -> tuple[dict[int, str], list[int]]:
    """Why photos cannot be used, by row; and rows whose points are of another kind than most."""
    known = ~np.isnan(rows.points[:, :, 0])
    given, far = known.sum(axis=1), far_outside(rows.points, rows.sizes).sum(axis=1)
    raw = np.abs(rows.points - CENTRE).max(axis=2, where=known[:, :, None], initial=0).max(axis=1)
    single, odd = shape_misfits(rows.points)
    wrong = dict.fromkeys(single.tolist(), "its points have another shape than those of the other photos")
    wrong |= dict.fromkeys(
        np.flatnonzero((given > 1) & (raw <= _UNIT)).tolist(), "its points look like shares of the side"
    )
    outside = f"most of its points lie far outside of the photo, more than {FAR:g} of its side"
    wrong |= dict.fromkeys(np.flatnonzero(2 * far > given).tolist(), outside)
    return wrong, [n for n in odd.tolist() if n not in wrong]


def _left_out(listed: Sequence[tuple[str, str]]) -> list[str]:
    if not listed:
        return []
    names = [name for name, _ in listed]
    return [
        f"Left out: {count(len(listed), 'photo')} whose points are wrong ({_named(names)}); look whether x "
        "and y, or the order of the points, were exchanged there."
    ]


def _another_kind(photos: Sequence[str]) -> list[str]:
    if not photos:
        return []
    return [
        f"Used as given: the points of {count(len(photos), 'photo')}, of another shape than most, but one in "
        f"common ({_named(photos)}); look whether left and right, or x and y, were exchanged there."
    ]


def _outside(rows: Annotations) -> list[str]:
    outside = np.asarray(((rows.units < 0) | (rows.units > 1)).any(axis=2))
    if not outside.any():
        return []
    photos = [rows.ids[n] for n in np.flatnonzero(outside.any(axis=1)).tolist()]
    return [
        f"Used as given: {count(int(outside.sum()), 'point')} outside of the photo, in "
        f"{count(len(photos), 'photo')} ({_named(photos)})."
    ]


def _named(photos: Sequence[str]) -> str:
    return ", ".join(map(repr, photos[:_MAX_NAMED])) + ", ..." * (len(photos) > _MAX_NAMED)


def _groups(source: Path, table: Table, rule: str) -> tuple[NDArray[np.str_], list[str]]:
    """The group of each photo, and notes."""
    own = np.array(table.photos)
    if rule == "none":
        return own, []
    if rule == "auto":
        if any(table.groups):
            return np.array([g or name for g, name in zip(table.groups, table.photos, strict=True)]), []
        stems = np.array([re.sub(r"[ _.-]*\d+$", "", os.path.splitext(name)[0]) for name in table.photos])  # noqa: PTH122
        people = len(set(stems.tolist()))
        if not _MIN_GROUPS <= people < len(stems) or "" in stems:
            return own, []
        return stems, [
            "Photos whose names differ only in the number at the end are taken to show the same person: "
            f"{people} people in {len(stems)} photos. --group says otherwise."
        ]
    try:
        found = [re.search(rule, name) for name in table.photos]
    except re.error as error:
        raise DatasetError(f"--group {rule!r}: not a regular expression ({error})") from error
    for name, match in zip(table.photos, found, strict=True):
        if match is None:
            raise DatasetError(f"--group {rule!r}: does not match {name!r} of {source}")
    return np.array([m[1] if m.re.groups else m[0] for m in found if m]), []
