"""A CSV of photos: path,label[,split][,group][,keep].

The header's names are matched without regard to case, columns of other names are ignored, and
comma, semicolon or tab may separate. Paths are relative to the CSV's folder.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..core.csv_cells import cell_text
from ..errors import DatasetError

__all__ = ["SPLIT_NAMES", "Row", "path_mode", "read_rows"]

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What a folder or a cell may call a split, in lower case, and what rehead calls it."""

_KEEP = {"": True, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_MEANT = {
    **dict.fromkeys(("file", "filename", "file_name", "filepath", "image", "photo", "name", "id"), "path"),
    **dict.fromkeys(("class", "category", "target", "labels", "y"), "label"),
}
_EXPECTED = "the first line must be path,label[,split][,group]"
_NAMED = 5  # rows that a message lists


@dataclass(frozen=True)
class Row:
    """One photo: its id, the file to open, and the other cells of its row ("" where empty)."""

    id: str
    path: Path
    label: str
    split: str = ""
    group: str = ""
    line: int = 0


def path_mode(path: Path) -> int:
    """Mode bits of what is at `path`, symbolic links followed; 0 where nothing can be reached."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # also a name that is too long or holds a NUL
        return 0


def read_rows(source: Path) -> tuple[list[Row], list[str]]:
    """Read a CSV.

    Parameters
    ----------
    source : Path
        The file.

    Returns
    -------
    rows : list of Row
        In the file's order; every file is there, every label is given.
    left_out : list of str
        Ids of the rows whose `keep` says no; nothing else of them is checked.

    Raises
    ------
    DatasetError
        With the line where something is wrong.
    """
    lines = _read_lines(source)
    if not lines:
        raise DatasetError(f"{source}: the file is empty; {_EXPECTED}")
    columns = _columns(source, lines[0][1])
    rows: list[Row] = []
    dropped: list[Row] = []
    for line, cells in lines[1:]:
        if any(cell.strip() for cell in cells[len(lines[0][1]) :]):
            raise DatasetError(
                f"{source}, line {line}: {len(cells)} cells under {len(lines[0][1])} columns; "
                "put a cell that holds the separator in double quotes"
            )
        row, keep = _row(source, line, {name: cells[i] for name, i in columns.items() if i < len(cells)})
        (rows if keep else dropped).append(row)
    if not rows:
        raise DatasetError(f"{source}: no photo is listed in it; expected a line for each below the first")
    _check_files(source, rows)
    _check_twice(source, rows)
    return rows, [row.id for row in dropped]


def _read_lines(source: Path) -> list[tuple[int, list[str]]]:
    """Every line that is not blank, with its last line number."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise DatasetError(f"{source}: cannot be read ({error.strerror or error})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{source}, line {line}: not UTF-8 text; save it as 'CSV UTF-8'") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        return [
            (reader.line_num, [cell_text(cell) for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise DatasetError(f"{source}, line {reader.line_num}: no valid CSV ({error})") from error


def _delimiter(text: str) -> str:
    """The delimiter that gives most of our columns in the first line; a comma where none gives any."""
    first = io.StringIO(text.lstrip(), newline=None).readline().lower()

    def score(delimiter: str) -> tuple[int, int]:
        names = [name.strip(' "\n') for name in first.split(delimiter)]
        return len({"path", "label"} & set(names)), len(names)

    return max(",;\t", key=score)


def _columns(source: Path, header: list[str]) -> dict[str, int]:
    """Index of each known column."""
    names = [name.strip().lower() for name in header]
    for name in ("path", "label"):
        if name not in names:
            near = [found for found in names if _MEANT.get(found) == name]
            near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]!r}? rename it to {name!r}" if near else _EXPECTED
            found = ", ".join(repr(cell.strip()) for cell in header)
            raise DatasetError(f"{source}: no column {name!r} (found: {found}); {hint}")
    for name in ("path", "label", "split", "group", "keep"):
        if names.count(name) > 1:
            raise DatasetError(f"{source}: {names.count(name)} columns are called {name!r}; keep one of them")
    return {name: names.index(name) for name in ("path", "label", "split", "group", "keep") if name in names}


def _row(source: Path, line: int, cells: dict[str, str]) -> tuple[Row, bool]:
    """One line as a Row, and whether it is to be kept."""

    def cell(name: str) -> str:
        return unicodedata.normalize("NFC", cells.get(name, "").strip())

    if not cell("path"):
        raise DatasetError(f"{source}, line {line}: the path is empty; give every row the path of a photo")
    keep = _KEEP.get(cell("keep").lower())
    if keep is None:
        raise DatasetError(f"{source}, line {line}: keep is {cell('keep')!r}; expected yes or no")
    split = SPLIT_NAMES.get(cell("split").lower(), "")
    if keep and cell("split") and not split:
        raise DatasetError(f"{source}, line {line}: split is {cell('split')!r}; expected train, val or test")
    if keep and not cell("label"):
        raise DatasetError(f"{source}, line {line}: the label is empty; give every photo one or drop the row")
    path = _find(source.parent, cells["path"])
    return Row(_id(source.parent, path), path, cell("label"), split, cell("group"), line), keep


def _find(root: Path, text: str) -> Path:
    """The file that is meant: spreadsheets add spaces, Windows turns slashes, macOS decomposes accents."""
    slashed = text.strip().replace("\\", "/")
    spellings = (text, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")))
    for spelling in dict.fromkeys(spellings):
        if path_mode(root / spelling):
            return root / spelling
    return root / text.strip()


def _id(root: Path, path: Path) -> str:
    """POSIX path relative to `root` where it lies below it, absolute elsewhere."""
    top, file = Path(os.path.abspath(root)), Path(os.path.abspath(path))  # noqa: PTH100 (resolve follows links)
    name = file.relative_to(top) if file.is_relative_to(top) else file
    return unicodedata.normalize("NFC", name.as_posix())


def _check_files(source: Path, rows: list[Row]) -> None:
    """DatasetError for rows whose file does not exist."""
    modes = [(row, path_mode(row.path)) for row in rows]
    if missing := [f"line {row.line}: {row.id!r}" for row, mode in modes if not mode]:
        named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        raise DatasetError(
            f"{source}: {len(missing)} of {len(rows)} photos do not exist ({named}); "
            "paths are relative to the CSV's folder"
        )
    for row, mode in modes:
        if stat.S_ISDIR(mode):
            raise DatasetError(
                f"{source}, line {row.line}: {row.id!r} is a folder; list each photo on a line"
            )


def _check_twice(source: Path, rows: list[Row]) -> None:
    """DatasetError for a photo that is listed twice."""
    rows_by_id: dict[str, Row] = {}
    for row in rows:
        first = rows_by_id.setdefault(row.id, row)
        where = f"{source}: {row.id!r} is listed twice, lines {first.line} and {row.line}"
        if first.label != row.label:
            raise DatasetError(f"{where}, as {first.label!r} and as {row.label!r}; keep the true one")
        if first is not row:
            raise DatasetError(f"{where}; remove one")
