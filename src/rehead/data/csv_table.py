"""A CSV of photos: path,label[,split][,group][,keep].

The header's names are matched without regard to case, columns of other names are ignored, and
comma, semicolon or tab may separate. Paths are relative to the CSV's folder. `TableOptions` has other names
of columns, and another folder. Rows whose file is missing stay: reading the photo says so.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
import shlex
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..core.csv_cells import cell_text
from ..core.text import count
from ..errors import DatasetError
from ..images import IMAGE_SUFFIXES
from .options import TableOptions

__all__ = [
    "SPLIT_NAMES",
    "Row",
    "find_columns",
    "find_delimiter",
    "named_cells",
    "path_mode",
    "read_rows",
    "row_of",
]

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What a folder or a cell may call a split, in lower case, and what rehead calls it."""

_KEEP = {"": True, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_KEEP_COLUMN = "keep"
_MEANT = {
    "path": re.compile(r"(file|image|img|photo|pic(ture)?)?[ _-]?(path|name|id|file)s?|image|img|photo|file"),
    "label": re.compile(r"(class|category|target|labels?|breed|species|diagnosis|y)([ _-]?(name|id))?"),
}
"""What columns are called that hold the paths or the classes."""
_EXPECTED = "the first line must be path,label[,split][,group]"
_NAMED = 5  # rows that a message lists
_LOOKED_IN = 50  # folders that are looked in for the first photo of a CSV whose photos are not there


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


def read_rows(source: Path, table: TableOptions) -> tuple[list[Row], list[str]]:
    """Read a CSV.

    Parameters
    ----------
    source : Path
        The file.
    table : TableOptions

    Returns
    -------
    rows : list of Row
        In the file's order; at least one file is there, every label is given.
    left_out : list of str
        Ids of the rows whose `keep` says no; nothing else of them is checked.

    Raises
    ------
    DatasetError
        With the line where something is wrong.
    """
    lines = _read_lines(source, table)
    if not lines:
        raise DatasetError(f"{source}: the file is empty; {_EXPECTED}")
    columns = find_columns(source, lines[0][1], table)
    rows: list[Row] = []
    dropped: list[Row] = []
    for line, cells in lines[1:]:
        given = named_cells(source, line, cells, columns, len(lines[0][1]))
        row, keep = row_of(source, line, given, table)
        (rows if keep else dropped).append(row)
    if not rows:
        raise DatasetError(f"{source}: no photo is listed in it; expected a line for each below the first")
    _check_files(source, rows, table)
    _check_twice(source, rows)
    return rows, [row.id for row in dropped]


def named_cells(
    source: Path | str, line: int, cells: list[str], columns: dict[str, int], width: int
) -> dict[str, str]:
    """The known cells of a line; DatasetError where it has more than the `width` of the header."""
    if any(cell.strip() for cell in cells[width:]):
        raise DatasetError(
            f"{source}, line {line}: {len(cells)} cells under {width} columns; "
            "put a cell that holds the separator in double quotes"
        )
    return {name: cells[i] for name, i in columns.items() if i < len(cells)}


def _read_lines(source: Path, table: TableOptions) -> list[tuple[int, list[str]]]:
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
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=find_delimiter(text, table), strict=True)
    try:
        return [
            (reader.line_num, [cell_text(cell) for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise DatasetError(f"{source}, line {reader.line_num}: no valid CSV ({error})") from error


def find_delimiter(text: str, table: TableOptions) -> str:
    """The delimiter that gives most of our columns in the first line; a comma where none gives any."""
    wanted = {table.path_column.lower(), table.label_column.lower()}
    first = io.StringIO(text.lstrip(), newline=None).readline().lower()

    def score(delimiter: str) -> tuple[int, int]:
        names = [name.strip(' "\n') for name in first.split(delimiter)]
        return len(wanted & set(names)), len(names)

    return max(",;\t", key=score)


def find_columns(source: Path | str, header: list[str], table: TableOptions) -> dict[str, int]:
    """Index of each known column."""
    names = [name.strip().lower() for name in header]
    wanted = {
        "path": table.path_column.strip(),
        "label": table.label_column.strip(),
        "split": table.split_column.strip(),
        "group": table.group_column.strip(),
        "keep": _KEEP_COLUMN,
    }
    default = TableOptions()
    asked = {part for part in wanted if part != "keep" and wanted[part] != getattr(default, f"{part}_column")}
    for part, name in wanted.items():
        if name.lower() not in names and (part in ("path", "label") or part in asked):
            taken = {other.lower() for other in wanted.values()}
            free = [cell.strip() for cell in header if cell.strip().lower() not in taken]
            found = ", ".join(repr(cell.strip()) for cell in header)
            raise DatasetError(f"{source}: no column {name!r} (found: {found}); {_hint(part, name, free)}")
        if names.count(name.lower()) > 1:
            raise DatasetError(
                f"{source}: {names.count(name.lower())} columns are called {name!r}; keep one of them"
            )
    return {part: names.index(name.lower()) for part, name in wanted.items() if name.lower() in names}


def _hint(part: str, name: str, free: list[str]) -> str:
    """Which of the other columns was probably meant."""
    near = difflib.get_close_matches(name.lower(), [cell.lower() for cell in free], n=1, cutoff=0.7)
    meant = [cell for cell in free if near and cell.lower() == near[0]]
    meant = meant or [cell for cell in free if part in _MEANT and _MEANT[part].fullmatch(cell.lower())]
    meant = meant or (free if len(free) == 1 and part in _MEANT else [])
    if not meant:
        return _EXPECTED
    return f"did you mean {meant[0]!r}? Say it with --{part}-column {shlex.quote(meant[0])}"


def row_of(
    source: Path | str, line: int, cells: dict[str, str], table: TableOptions, *, look: bool = True
) -> tuple[Row, bool]:
    """One line as a Row, and whether it is to be kept; with `look` its path as the file system spells it."""

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
    if not look:
        path = Path(cells["path"].strip() + _lacking(cells["path"], table.suffix))
        return Row(path.as_posix(), path, cell("label"), split, cell("group"), line), keep
    root = table.root or Path(source).parent
    path = _find(root, cells["path"], table.suffix)
    return Row(_id(root, path), path, cell("label"), split, cell("group"), line), keep


def _find(root: Path, text: str, suffix: str) -> Path:
    """The file that is meant: spreadsheets add spaces, Windows turns slashes, macOS decomposes accents."""
    if _lacking(text, suffix):
        text = text.strip() + suffix
    slashed = text.strip().replace("\\", "/")
    spellings = (text, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")))
    for spelling in dict.fromkeys(spellings):
        if path_mode(root / spelling):
            return root / spelling
    return root / text.strip()


def _lacking(text: str, suffix: str) -> str:
    """The ending, where a path does not have it yet."""
    return "" if text.strip().lower().endswith(suffix.lower()) else suffix


def _id(root: Path, path: Path) -> str:
    """POSIX path relative to `root` where it lies below it, absolute elsewhere."""
    top, file = Path(os.path.abspath(root)), Path(os.path.abspath(path))  # noqa: PTH100 (resolve follows links)
    name = file.relative_to(top) if file.is_relative_to(top) else file
    return unicodedata.normalize("NFC", name.as_posix())


def _check_files(source: Path, rows: list[Row], table: TableOptions) -> None:
    """DatasetError where no file exists, or one is a folder."""
    modes = [(row, path_mode(row.path)) for row in rows]
    if not any(mode for _, mode in modes):
        named = ", ".join(f"line {row.line}: {row.id!r}" for row in rows[:_NAMED])
        root = table.root or source.parent
        where = "--root" if table.root else "the CSV's folder"
        hint = _elsewhere(root, rows[0].id) or "say with --root where they are, with --suffix how they end"
        raise DatasetError(
            f"{source}: none of its {count(len(rows), 'photo')} exists ({named}"
            f"{', ...' if len(rows) > _NAMED else ''}), with paths relative to {where}; {hint}"
        )
    for row, mode in modes:
        if stat.S_ISDIR(mode):
            raise DatasetError(
                f"{source}, line {row.line}: {row.id!r} is a folder; list each photo on a line"
            )


def _elsewhere(root: Path, name: str) -> str:
    """The options with which a photo would be there, where it is in a folder beside, or lacks its ending."""
    try:
        beside = sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir())
    except OSError:
        return ""
    for folder in [root, *beside[:_LOOKED_IN]]:
        for suffix in ("", *sorted(IMAGE_SUFFIXES)):
            for ending in dict.fromkeys((suffix, suffix.upper())):
                if path_mode(folder / f"{name}{ending}"):
                    words = ["--root", str(folder)] if folder != root else []
                    return f"did you mean {shlex.join([*words, *(['--suffix', ending] if ending else [])])}?"
    return ""


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
