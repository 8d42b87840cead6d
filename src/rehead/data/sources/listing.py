"""Photos that are files of their own: those of a folder, or those that a CSV lists, of any length.

Neither is ever listed as a whole: a CSV is read twice, once for where its parts begin and once a part, and a
folder one class after the other.
"""

from __future__ import annotations

import csv
import itertools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from ...core.csv_cells import cell_text
from ...core.text import first_of
from ...errors import DatasetError
from ...images import is_image_name
from ..csv_table import SPLIT_NAMES, find_columns, find_delimiter, named_cells, row_of
from ..options import TableOptions
from .files import is_address, join, list_folder, open_file, reading
from .source import Sample

__all__ = ["CsvPart", "FilesPart", "PhotoFolder", "PhotoTable"]

_PHOTOS = 1024  # of a part: as many as a block of features has


@dataclass(frozen=True)
class PhotoTable:
    """A CSV of photos, as `data.csv_table` has them.

    Parameters
    ----------
    name : str
        Path or address of the CSV.
    table : TableOptions
    """

    name: str
    table: TableOptions

    def parts(self) -> Iterator[CsvPart]:
        """A part every 1,024 rows."""
        number = 0
        with open_file(self.name) as file, reading(self.name):
            lines = _Lines(self.name, file)
            header = lines.header(self.table)
            while True:
                start, line = lines.offset, lines.line
                rows = sum(1 for _ in itertools.islice(lines.records(header), _PHOTOS))
                if not rows:
                    break
                name = f"{self.name}:{number}"
                yield CsvPart(name, self.name, start, line, rows, header, self.table)
                number += 1
        if not number:
            raise DatasetError(
                f"{self.name}: no photo is listed in it; expected a line for each below the first"
            )

    def count(self) -> None:
        """The lines are not counted before they are read."""


@dataclass(frozen=True)
class _Header:
    """The first line of a CSV."""

    delimiter: str
    names: tuple[str, ...]


class _Lines:
    """A CSV that is read line by line, and where in the file it stands, bytes."""

    def __init__(self, name: str, file: IO[bytes], offset: int = 0, line: int = 0) -> None:
        self._name, self._file, self.offset, self.line = name, file, offset, line
        if offset:
            file.seek(offset)

    def _text(self) -> Iterator[str]:
        while data := self._file.readline():
            self.line += 1
            try:
                text = data.decode("utf-8-sig" if not self.offset else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{self._name}, line {self.line}: not UTF-8 text; save it as 'CSV UTF-8'"
                ) from error
            self.offset += len(data)
            yield text

    def header(self, table: TableOptions) -> _Header:
        """The names of the columns."""
        for text in self._text():
            if text.strip():
                delimiter = find_delimiter(text, table)
                names = next(csv.reader([text], delimiter=delimiter, strict=True))
                return _Header(delimiter, tuple(map(cell_text, names)))
        raise DatasetError(
            f"{self._name}: the file is empty; the first line must be path,label[,split][,group]"
        )

    def records(self, header: _Header) -> Iterator[tuple[int, list[str]]]:
        """Number of the last line, and cells, of each record that is not blank."""
        reader = csv.reader(self._text(), delimiter=header.delimiter, strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield self.line, [cell_text(cell) for cell in cells]
        except csv.Error as error:
            raise DatasetError(f"{self._name}, line {self.line}: no valid CSV ({error})") from error


@dataclass(frozen=True)
class CsvPart:
    """So many rows of a CSV from a line on, which begins at byte `start`."""

    name: str
    place: str
    start: int
    line: int
    rows: int
    header: _Header
    table: TableOptions
    version = ""  # the CSV does not tell whether photos were written over

    def samples(self) -> Iterator[Sample]:
        """See `Part`; rows whose `keep` says no are no samples."""
        columns = find_columns(self.place, list(self.header.names), self.table)
        remote = is_address(self.place)
        root = str(self.table.root) if self.table.root else self.place.rpartition("/")[0]
        with open_file(self.place) as file, reading(self.place):
            records = _Lines(self.place, file, self.start, self.line).records(self.header)
            for line, cells in itertools.islice(records, self.rows):
                given = named_cells(self.place, line, cells, columns, len(self.header.names))
                listed = is_address(given.get("path", "").strip())
                row, keep = row_of(self.place, line, given, self.table, look=not (remote or listed))
                if not keep:
                    continue
                place = str(row.path)
                if listed:
                    place = given["path"].strip()
                elif remote:
                    place = join(root, row.path.as_posix())
                name = place if listed else row.id
                yield Sample(name, place, row.label, row.split, row.group)


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of class folders, or of splits of them, at a path or an address.

    Parameters
    ----------
    name : str
    """

    name: str

    def parts(self) -> Iterator[FilesPart]:
        """A part every 1,024 photos of a class."""
        found = False
        for label, split, folder in self._classes():
            above = "/".join(folder.split("/")[-2 if split else -1 :])
            photos = (
                (f"{above}/{name[len(folder) + 1 :]}", name) for name, _ in list_folder(folder, deep=True)
            )
            named = ((name, place) for name, place in photos if is_image_name(PurePosixPath(name)))
            for number in itertools.count():
                if not (some := tuple(itertools.islice(named, _PHOTOS))):
                    break
                found = True
                yield FilesPart(f"{folder}:{number}", some, label, split)
        if not found:
            raise DatasetError(f"{self.name}: no photo is in this folder; expected {self.name}/CLASS/*.jpg")

    def _classes(self) -> Iterator[tuple[str, str, str]]:
        """Class, split and folder, of each class of each split."""
        folders = [place for place, is_dir in list_folder(self.name) if is_dir]
        names = [PurePosixPath(place).name for place in folders]
        if not folders:
            raise DatasetError(
                f"{self.name}: no folder of a class is in it; expected {self.name}/CLASS/*.jpg, or a name "
                "that ends in .tar, .parquet or .csv"
            )
        splits = [SPLIT_NAMES.get(name.lower(), "") for name in names]
        if any(splits) and not all(splits):
            both = first_of([name for name, split in zip(names, splits, strict=True) if split])
            raise DatasetError(
                f"{self.name}: {both} is named like a split, and stands beside classes; rename it"
            )
        for name, split, folder in zip(names, splits, folders, strict=True):
            if not split:
                yield unicodedata.normalize("NFC", name), "", folder
                continue
            for place, is_dir in list_folder(folder):
                if is_dir:
                    yield unicodedata.normalize("NFC", PurePosixPath(place).name), split, place

    def count(self) -> None:
        """The photos are not counted before they are listed."""


@dataclass(frozen=True)
class FilesPart:
    """Some files of one class: (id, path or address) of each."""

    name: str
    files: tuple[tuple[str, str], ...]
    label: str
    split: str
    version = ""

    def samples(self) -> Iterator[Sample]:
        """See `Part`."""
        for name, place in self.files:
            yield Sample(unicodedata.normalize("NFC", name), place, self.label, self.split)
