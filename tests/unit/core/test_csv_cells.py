from __future__ import annotations

import csv
import io

import pytest

from rehead.core.csv_cells import CsvWriter, cell, cell_text

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''@x"]
PLAIN = ["a", "", "'", "'quoted'", "a=b", "x/-1.jpg", "😀", "-5", "+1.25", "-1e-07"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_gets_a_quote(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_and_numbers_stay(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize("text", [*FORMULAS, *PLAIN])
def test_all_text_is_read_back(text: str) -> None:
    assert cell_text(str(cell(text))) == text


def test_rows_are_written_with_plain_newlines() -> None:
    file = io.StringIO(newline="")
    CsvWriter(file).writerows([["path", "n"], ["=a,b.jpg", -0.5], ["c", None]])
    assert file.getvalue() == 'path,n\n"\'=a,b.jpg",-0.5\nc,\n'
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert cell_text(rows[1][0]) == "=a,b.jpg"
