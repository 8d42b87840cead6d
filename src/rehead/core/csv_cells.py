"""CSV that a person may open in a spreadsheet: no cell is taken for a formula, and rehead reads all back."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import Any, Protocol

__all__ = ["CsvWriter", "cell", "cell_text"]

# OWASP, "CSV Injection": a cell that begins so is run, "=cmd|..." above all
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")


class Lines(Protocol):
    """A file that is open for writing."""

    def write(self, text: str, /) -> Any: ...


def cell(value: object) -> object:
    """What to write for a value: text that a spreadsheet would run, such as "=1+1", gets a "'" before it."""
    runs = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if runs else value


def cell_text(text: str) -> str:
    """The text of a cell: the inverse of `cell`, for all text."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


class CsvWriter:
    """A `csv.writer` of such cells, with plain newlines.

    Parameters
    ----------
    file : text file
        Open for writing as UTF-8, with newline="".
    """

    def __init__(self, file: Lines) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def writerow(self, values: Iterable[object]) -> None:
        """Write a line; numbers are written as they are, None as nothing."""
        self._writer.writerow([cell(value) for value in values])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write lines."""
        for row in rows:
            self.writerow(row)
