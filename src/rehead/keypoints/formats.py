"""Annotation files: CSV, COCO keypoints JSON, iBUG .pts.

Their coordinates differ. Here all become those of `rehead.core.geometry`, in which the upper left pixel
reaches from (0, 0) to (1, 1): a CSV and COCO count pixels from 0 (dlib, OpenCV), so half a pixel is added;
.pts files count them from 1 (Matlab), so half a pixel is subtracted.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.csv_cells import CsvWriter, cell_text
from ..errors import DatasetError
from ..images import IMAGE_SUFFIXES, is_image_name

__all__ = ["CENTRE", "Table", "read_table", "to_csv"]

CENTRE = 0.5
"""Where the centre of the upper left pixel is: what a CSV calls (0, 0)."""

_GROUP_COLUMNS = ("group", "person", "subject", "identity")
_MATLAB = -0.5
_MISSING = ("", "nan", "na", "none", "null")
_MOST = 1e6  # pixels from the corner: a JPEG has at most 65,535 a side, and beyond 1e154 squares overflow
_AXES = {"x": 0, "col": 0, "y": 1, "row": 1}
_AXIS_FIRST = re.compile(r"(x|y|col|row)(?:[ _.-]?(\d+)|[ _.-](.+))?", re.I)  # x0, x_nose, x
_AXIS_LAST = re.compile(r"(.+?)([ _.-]?)(x|y|col|row)", re.I)  # nose_x, noseX


@dataclass(frozen=True)
class Table:
    """Contents of an annotation file, before any photo is read.

    Parameters
    ----------
    photos : tuple of str
        Names of the photos, as the file gives them.
    points : float64 ndarray (n, K, 2)
        In pixels of each photo; NaN where a point is missing.
    groups : tuple of str
        Person or group of each photo; "" where the file does not say.
    names : tuple of str
        Of the K points; empty where they have none.
    notes : tuple of str
        On what was left out, in plain sentences.
    """

    photos: tuple[str, ...]
    points: NDArray[np.float64]
    groups: tuple[str, ...]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_table(source: Path) -> Table:
    """Read a CSV, a COCO JSON, a .pts file or a folder of them; DatasetError on invalid contents."""
    if source.is_dir():
        return _read_pts(source, sorted(source.rglob("*.[pP][tT][sS]")))
    suffix = source.suffix.lower()
    if suffix == ".pts":
        return _read_pts(source.parent, [source])
    text = _text(source)
    return _read_coco(source, text) if suffix == ".json" else _read_csv(source, text)


def to_csv(photos: Sequence[str], points: NDArray[np.float64]) -> str:
    """CSV of photos and their points (n, K, 2), in the form that `read_table` takes."""
    out = io.StringIO()
    writer = CsvWriter(out)
    writer.writerow(["name", *(f"{axis}{k}" for k in range(points.shape[1]) for axis in "xy")])
    for photo, row in zip(photos, points - CENTRE, strict=True):
        writer.writerow([photo, *("" if math.isnan(v) else f"{v:.3f}" for v in row.ravel().tolist())])
    return out.getvalue()


def _text(source: Path) -> str:
    try:
        return source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{source}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{source}: not UTF-8 text; expected a CSV, COCO JSON or .pts of keypoints"
        ) from error


# CSV


def _read_csv(source: Path, text: str) -> Table:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [
            (reader.line_num, [cell_text(cell) for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise DatasetError(f"{source}, line {reader.line_num}: no valid CSV ({error})") from error
    if not lines:
        raise DatasetError(f"{source}: the file is empty; expected lines of name,x0,y0,x1,y1,...")
    header = [] if is_image_name(lines[0][1][0].strip()) else [cell.strip() for cell in lines[0][1]]
    body = lines[1:] if header else lines
    if not body:
        raise DatasetError(f"{source}: only a header; expected lines of name,x0,y0,x1,y1,...")
    column = next((i for i, name in enumerate(header) if i and name.lower() in _GROUP_COLUMNS), None)
    width = len(header) if header else len(body[0][1])
    where = [i for i in range(1, width) if i != column]
    found = _named_columns(source, {i: header[i] for i in where}) if header else None
    where, names, notes = found or (where, (), [])
    if len(where) % 2 or not where:
        raise DatasetError(
            f"{source}, line {lines[0][0]}: {len(where)} coordinates, an odd number or none; expected x "
            "and y of every point, after the photo's name"
        )
    photos, rows, groups = [], [], []
    for line, cells in body:
        if len(cells) != width:
            raise DatasetError(
                f"{source}, line {line}: {(len(cells) - 1) / 2:g} points, the first line has "
                f"{len(where) // 2}; give every photo the same points and leave the cells of missing ones "
                "empty"
            )
        if not cells[0].strip():
            raise DatasetError(f"{source}, line {line}: the photo's name is empty")
        photos.append(cells[0].strip())
        rows.append([_number(source, line, cells[i]) for i in where])
        groups.append(cells[column].strip() if column is not None else "")
    points = np.array(rows, dtype=np.float64).reshape(len(rows), -1, 2) + CENTRE
    return Table(tuple(photos), _whole(points), tuple(groups), names, tuple(notes))


def _number(source: Path, line: int, cell: str) -> float:
    if cell.strip().lower() in _MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if abs(value) > _MOST:
        raise DatasetError(
            f"{source}, line {line}: {cell!r} is no coordinate; expected a number of pixels, or an empty "
            "cell for a missing point"
        )
    return value


def _whole(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A point of which one coordinate is missing is missing."""
    points[np.isnan(points).any(axis=2)] = np.nan
    return points


def _named_columns(
    source: Path, header: Mapping[int, str]
) -> tuple[list[int], tuple[str, ...], list[str]] | None:
    """Columns of x and y, point after point, as their names say, whatever their order; names, and notes.

    None where no column names an axis. Points that are only numbered have no names, and stand by number.
    """
    places: dict[tuple[str, int], list[int | None]] = {}  # a name that comes twice is of two points
    sure: set[int] = set()
    for column, name in header.items():
        if first := _AXIS_FIRST.fullmatch(name):
            stem, axis, apart = first[2] or first[3] or "", first[1].lower(), True
        elif last := _AXIS_LAST.fullmatch(name):
            stem, axis, apart = last[1], last[3].lower(), bool(last[2])
        else:
            continue
        if apart and axis in "xy":  # others may be words that end so, such as quality or eyebrow
            sure.add(column)
        side, n = _AXES[axis], 0
        while places.setdefault((stem, n), [None, None])[side] is not None:
            n += 1
        places[stem, n][side] = column
    pairs = {key: (x, y) for key, (x, y) in places.items() if x is not None and y is not None}
    used = {column for pair in pairs.values() for column in pair}
    if alone := sorted(sure - used):
        raise DatasetError(
            f"{source}: the header names {header[alone[0]]!r}, but not the other coordinate of that point; "
            "expected x and y of each, such as x0,y0 or nose_x,nose_y"
        )
    if not pairs:
        return None
    stems = [stem for stem, _ in pairs]
    numbered = all(stem.isdecimal() for stem in stems)
    order = sorted(pairs, key=lambda key: (int(key[0]), key[1])) if numbered else list(pairs)
    others = [repr(name) for column, name in header.items() if column not in used]
    named = not numbered and all(stems) and len(set(stems)) == len(stems)
    return (
        [column for key in order for column in pairs[key]],
        tuple(stems) if named else (),
        [f"Columns that name no coordinate were passed over: {', '.join(others)}."] if others else [],
    )


# COCO


def _read_coco(source: Path, text: str) -> Table:
    try:
        record = json.loads(text)
        files = {image["id"]: str(image["file_name"]) for image in record["images"]}
        found: dict[Any, list[Mapping[str, Any]]] = {}
        for annotation in record["annotations"]:
            if any(annotation["keypoints"][2::3]):
                found.setdefault(annotation["image_id"], []).append(annotation)
        names = tuple(str(name) for name in record.get("categories", [{}])[0].get("keypoints", ()))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DatasetError(
            f"{source}: not a COCO keypoints file ({type(error).__name__}: {error}); expected images, "
            "annotations with keypoints, and categories"
        ) from error
    single = {image: of[0] for image, of in found.items() if len(of) == 1 and image in files}
    if not single:
        raise DatasetError(f"{source}: no photo with the keypoints of one object is listed in it")
    photos = tuple(files[image] for image in single)
    points = _coco_points(source, photos, [of["keypoints"] for of in single.values()])
    several = len(found) - len(single)
    notes = [f"{several} photos of several objects were left out; crop them to one each."] if several else []
    return Table(
        photos,
        points[:, :, :2] + CENTRE,
        ("",) * len(single),
        names if len(names) == points.shape[1] else (),
        tuple(notes),
    )


def _coco_points(source: Path, photos: Sequence[str], keypoints: Sequence[Any]) -> NDArray[np.float64]:
    """x, y and visibility (n, K, 3) of the photos' keypoints; NaN where a point is not visible."""
    rows = []
    for photo, values in zip(photos, keypoints, strict=True):
        try:
            row = np.array(values, dtype=np.float64)  # ValueError: text; Overflow: an integer of 400 digits
        except (ValueError, TypeError, OverflowError):
            row = np.array(math.inf)
        if row.ndim != 1 or (np.abs(row) > _MOST).any():
            raise DatasetError(
                f"{source}: the keypoints of {photo!r} are no list of coordinates; expected numbers of "
                "pixels: x, y, visibility of each point"
            )
        rows.append(row)
    if any(row.size != rows[0].size or row.size % 3 for row in rows):
        raise DatasetError(
            f"{source}: objects with different numbers of keypoints, or not x, y, visibility of each"
        )
    points = np.stack(rows).reshape(len(rows), -1, 3)
    points[~(points[:, :, 2] > 0)] = np.nan
    return _whole(points)


# .pts


def _read_pts(folder: Path, files: Sequence[Path]) -> Table:
    if not files:
        raise DatasetError(
            f"{folder}: no .pts file is in it; expected a CSV, a COCO JSON or a folder of .pts files"
        )
    photos: list[str] = []
    rows: list[list[float]] = []
    for file in files:
        match = re.search(r"n_points:\s*(\d{1,9})\s*\{(.*?)\}", _text(file), re.S)
        try:
            values = [float(v) for v in match[2].split()] if match else []
        except ValueError:
            values = []
        if any(abs(v) > _MOST for v in values):
            values = []
        if match is None or len(values) != 2 * int(match[1]) or not values:
            raise DatasetError(
                f"{file}: no valid .pts file; expected n_points: K and K lines of x y in braces"
            )
        if rows and len(values) != len(rows[0]):
            raise DatasetError(f"{file}: {len(values) // 2} points, {files[0].name} has {len(rows[0]) // 2}")
        photos.append(_beside(folder, file))
        rows.append(values)
    points = np.array(rows, dtype=np.float64).reshape(len(rows), -1, 2) + _MATLAB
    return Table(tuple(photos), _whole(points), ("",) * len(photos))


def _beside(folder: Path, file: Path) -> str:
    """The photo of the same name, relative to `folder`; the name with .jpg where there is none."""
    candidates = [file.with_suffix(s) for s in (".jpg", ".png", *sorted(IMAGE_SUFFIXES))]
    photo = next((path for path in candidates if path.is_file()), candidates[0])
    return photo.relative_to(folder).as_posix()
