from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.atomic import check_place, output_errors, replacing, write_bytes, write_text
from rehead.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=20, deadline=None)
@given(first=st.binary(max_size=50), second=st.binary(max_size=50))
def test_the_last_write_is_there_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, first: bytes, second: bytes
) -> None:
    folder = tmp_path_factory.mktemp("atomic")
    for data in (first, second):
        write_bytes(folder / "result.bin", data)
        assert (folder / "result.bin").read_bytes() == data
    assert names(folder) == ["result.bin"]


def test_text_is_utf8_with_plain_newlines(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "blå.txt", "rød\nfisk\n")
    assert (tmp_path / "deep" / "er" / "blå.txt").read_bytes() == b"r\xc3\xb8d\nfisk\n"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_what_was_there_stays_when_the_writer_fails(tmp_path: Path, error: BaseException) -> None:
    place = tmp_path / "result.bin"
    place.write_bytes(b"before")
    with pytest.raises(type(error)), replacing(place) as beside:
        beside.write_bytes(b"half of")
        raise error
    assert place.read_bytes() == b"before"
    assert names(tmp_path) == ["result.bin"]


def test_nothing_is_in_place_before_the_block_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "result.bin") as beside:
        beside.write_bytes(b"all")
        assert not (tmp_path / "result.bin").exists()
        assert beside.parent == tmp_path
    assert names(tmp_path) == ["result.bin"]


def test_a_file_in_the_way_of_a_parent_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"taken/result\.bin: cannot be written .* choose another place"):
        write_bytes(tmp_path / "taken" / "result.bin", b"")


def test_a_folder_in_the_way_is_an_output_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "result.bin").mkdir()
    with pytest.raises(OutputError, match=r"result\.bin: cannot be written"):
        write_bytes(tmp_path / "result.bin", b"data")
    assert names(tmp_path) == ["result.bin"]
    assert (tmp_path / "result.bin").is_dir()


def test_a_place_is_checked_under_its_own_name_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    check_place(tmp_path / "new" / "folder" / "clean.csv")
    check_place(tmp_path / "taken")
    with pytest.raises(OutputError, match=r"taken/clean\.csv: cannot be written"):
        check_place(tmp_path / "taken" / "clean.csv")
    with pytest.raises(OutputError, match="a folder is in the way"):
        check_place(tmp_path)
    assert names(tmp_path) == ["taken"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")  # noqa: PTH110
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), output_errors(tmp_path / "result.bin"):
        Path("/dev/full").write_bytes(b"data")


def test_only_operating_system_errors_are_turned(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), output_errors(tmp_path):
        raise ValueError("mine")


def test_names_that_are_no_text_are_written_as_escapes(tmp_path: Path) -> None:
    name = "caf\udce9"
    write_text(tmp_path / "a.json", json.dumps([name], ensure_ascii=False))
    assert (tmp_path / "a.json").read_bytes() == b'["caf\\udce9"]'
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [name]
