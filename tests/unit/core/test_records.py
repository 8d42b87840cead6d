from __future__ import annotations

import json
from pathlib import Path

import pytest

from rehead.core import records
from rehead.errors import DataError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not a record"),
        (b"\xff", "not JSON"),
        (b"[" * 99_999, "JSON"),
    ],
)
def test_what_is_no_record_is_said(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(DataError, match=said):
        records.read_record(tmp_path / "run.json")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        records.read_record(tmp_path / "run.json")


def test_entries_are_what_they_must_be() -> None:
    entries: records.Entries = {
        "n": (records.count, "a whole number"),
        "of": (records.either(None, records.record(x=records.number)), "x"),
    }
    records.check_entries({"n": 3, "of": {"x": 0.5}}, entries, needed=True)
    records.check_entries({"n": 3}, entries, needed=True)
    records.check_entries({}, entries)
    for found, said in (
        ({"n": -1}, "n is -1, expected a whole number"),
        ({"n": "3"}, "n is '3'"),
        ({"n": 3, "of": {}}, r"of is \{\}, expected x"),
        ({"n": 3, "of": {"x": json.loads("NaN")}}, "of is"),
        ({"n": 3, "of": {"x": 10**400}}, "of is"),
        ({"of": None}, "n is None"),
    ):
        with pytest.raises(DataError, match=said):
            records.check_entries(found, entries, needed=True)
