from __future__ import annotations

import io
import json
import sys

import pytest

from rehead.cli import console

NAME = "[/old] thé😀\x1b[31m\nnext\u202e"
SHOWN = "[/old] thé😀\\x1b[31m\\nnext\\u202e"


@pytest.fixture
def console_of(monkeypatch: pytest.MonkeyPatch) -> object:
    """Make the standard output one of another encoding; what was printed to it, as bytes."""

    def make(encoding: str) -> io.BytesIO:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
        console.prepare_streams()
        return raw

    return make


@pytest.mark.parametrize("columns", ["0", "200", ""])
def test_all_text_is_shown_as_it_is(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console.say(NAME)
    console.say(NAME, fold=True)
    console.say(NAME, style="bold")
    console.warn(NAME)
    table = console.plain_table(NAME, "other")
    table.add_row(NAME, console.styled(NAME, "red"))
    console.print_table(table)
    row = console.rows_table({"photo": [NAME]}, "note")
    row(NAME, NAME)
    row(NAME, console.styled(NAME))
    out = capsys.readouterr().out
    assert out.count(SHOWN) == 4 + 3 + 4
    assert not set(out) & {"\x1b", "\u202e"}


def test_a_width_of_nothing_is_no_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert console.terminal_width() == 80
    monkeypatch.delenv("COLUMNS")
    assert console.terminal_width() > 1000
    console.say("a/long/path/" * 50, fold=True)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_data_are_utf_8_whatever_the_console(encoding: str, console_of: object) -> None:
    raw = console_of(encoding)  # type: ignore[operator]
    record = {"photo": "größe \udcff\x9b.jpg", "label": NAME, "n": 0.5}
    console.print_json([record])
    assert json.loads(raw.getvalue().decode("utf-8")) == [record]
    raw.seek(0)
    raw.truncate()
    console.print_jsonl([record, record])
    assert [json.loads(line) for line in raw.getvalue().splitlines()] == [record] * 2
    assert not set(raw.getvalue().decode("utf-8")) & {"\x1b", "\u202e", "\x9b"}
    raw.seek(0)
    raw.truncate()
    console.csv_output().writerow(["thé😀", "=1", -0.5])
    assert raw.getvalue().decode("utf-8") == "thé😀,'=1,-0.5\n"


def test_what_a_console_lacks_is_shown_otherwise(console_of: object) -> None:
    raw = console_of("cp1252")  # type: ignore[operator]
    console.say("96.9\N{NARROW NO-BREAK SPACE}% \N{MINUS SIGN}2 thé 😀")
    assert raw.getvalue().decode("cp1252") == "96.9 % -2 thé \\U0001f600\n"


def test_three_warnings_at_most_and_where_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_warnings([f"[b]warning {n}" for n in range(5)], "in run/report.html")
    said = capsys.readouterr().out.splitlines()
    assert said == [*(f"! [b]warning {n}" for n in range(3)), "  and 2 more in run/report.html"]
    console.show_warnings(["one"], "in run/report.html")
    assert capsys.readouterr().out == "! one\n"
