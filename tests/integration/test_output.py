"""What is printed and where: answers as they come, to a file, and to a reader that has gone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rehead import ImageClassifier
from rehead.cli.predict import _print_csv, _print_table

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def photos(photo_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("made") / "photos", {"thé😀": 8, "blå": 8})


@pytest.fixture(scope="module")
def model(photos: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = sorted(photos.rglob("*.jpg"))
    fitted = ImageClassifier(backbone=tiny_onnx, cache=False).fit(paths, [path.parent.name for path in paths])
    fitted.save(out := tmp_path_factory.mktemp("model") / "model.onnx")
    return out


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rehead", *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=120, **options)


# data and encodings


@pytest.mark.parametrize(("encoding", "form"), [("ascii", "jsonl"), ("cp1252", "csv"), ("ascii", "table")])
def test_answers_are_utf_8_whatever_the_console(encoding: str, form: str, model: Path, photos: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    folder = photos / "thé😀"
    done = process("predict", model, folder, "-f", form, env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    if form == "table":
        assert "th\\xe9\\U0001f600/0000.jpg" in done.stdout.decode(encoding)
        return
    text = done.stdout.decode("utf-8")
    lines = text.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else list(map(json.loads, lines))
    assert [Path(row["photo"]) for row in rows] == sorted(folder.iterdir())


def test_columns_of_nothing_still_print(
    cli: Cli, model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    code, out, _ = cli("predict", model, photos)
    assert (code, "probability" in out) == (0, True)
    code, out, _ = cli("evaluate", model, photos)
    assert (code, "Accuracy" in out) == (0, True)


def test_a_pipe_has_no_width(cli: Cli, model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    _, out, _ = cli("predict", model, photos)
    assert all(str(path) in out for path in photos.rglob("*.jpg"))


# answers


def answer(name: str, reason: str = "") -> dict[str, Any]:
    return {
        "photo": name,
        "label": "unknown" if reason else "cat",
        "nearest": "cat",
        "probability": 0.75,
        "reason": reason,
        "note": "",
    }


def test_the_probability_stands_beside_the_class_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table([answer("a.jpg", "unlike the others"), answer("b.jpg")], ["a.jpg", "b.jpg"], ["cat"])
    refused, named = (line.split("  ") for line in capsys.readouterr().out.splitlines()[-2:])
    assert [cell.strip() for cell in refused if cell.strip()] == [
        "a.jpg",
        "unknown",
        "unlike the others; nearest cat, probability 0.750",
    ]
    assert [cell.strip() for cell in named if cell.strip()] == ["b.jpg", "cat", "0.750"]
    _print_csv([answer("a.jpg", "unlike the others")], ("cat",), None)
    header, row = csv.reader(capsys.readouterr().out.splitlines())
    assert header[header.index("nearest") + 1] == "probability"
    assert row[header.index("probability")] == "0.75"


def test_rows_of_the_table_come_as_the_answers_do(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def records() -> Iterator[dict[str, Any]]:
        for name in ("a.jpg", "b.jpg"):
            yield answer(name)
            shown.append(capsys.readouterr().out)

    _print_table(records(), ["a.jpg", "b.jpg"], ["cat"])
    assert [("photo" in text, "a.jpg" in text, "b.jpg" in text) for text in shown] == [
        (True, True, False),
        (False, False, True),
    ]


def test_a_photo_or_a_list_of_paths_from_standard_input(
    cli: Cli, model: Path, photos: Path, tmp_path: Path
) -> None:
    files = sorted(photos.rglob("*.jpg"))
    records = json.loads(cli("predict", model, photos, "-f", "json")[1])
    (one,) = json.loads(cli("predict", model, "-", "-f", "json", stdin=files[0].read_bytes())[1])
    assert one == records[0] | {"photo": "-"}
    for ends in ("\n", "\0"):
        listed = "".join(f"{path}{ends}" for path in files).encode()
        assert json.loads(cli("predict", model, "-", "-f", "json", stdin=listed)[1]) == records
    assert json.loads(cli("predict", model, "-", "-f", "json", stdin=f"{photos}\r\n".encode())[1]) == records
    odd = tmp_path / "a\x1b[1m.jpg"
    odd.write_bytes(files[0].read_bytes())
    (one,) = json.loads(cli("predict", model, "-", "-f", "json", stdin=f"\ufeff{odd}\n".encode())[1])
    assert one == records[0] | {"photo": str(odd)}
    code, out, err = cli("predict", model, "-", stdin=f"{files[0]}\nnowhere.jpg\n".encode())
    assert (code, "there is no such file" in out) == (0, True)
    assert err == "rehead: 1 of 2 photos could not be read\n"
    code, out, err = cli("predict", model, "-", stdin=files[0].read_bytes()[:600])
    assert (code, "truncated" in err) == (2, True)
    assert cli("predict", model, "-")[2].startswith("rehead: the standard input is empty; expected a photo")


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_answers_go_to_a_file(form: str, cli: Cli, model: Path, photos: Path, tmp_path: Path) -> None:
    code, printed, _ = cli("predict", model, photos, "-f", form)
    for given in (["--out", tmp_path / f"a.{form}"], ["--out", tmp_path / "answers", "-f", form]):
        code, out, err = cli("predict", model, photos, *given)
        assert (code, out, err) == (0, f"wrote {given[1]}\n", "")
        assert Path(str(given[1])).read_bytes().decode("utf-8") == printed


def test_a_file_of_answers_is_whole_or_not_there(
    cli: Cli, model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("kept")

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rehead.cli.predict.answer_record", broken)
        assert cli("predict", model, photos, "--out", tmp_path / "a.csv")[0] == 130
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
    assert cli("predict", model, photos, "--out", tmp_path / "a.txt")[0] == 2
    assert cli("predict", model, photos, "--out", tmp_path / "a.csv", "-f", "table")[0] == 2
    code, _, err = cli("predict", model, photos, "--out", tmp_path / "a.csv" / "b.csv")
    assert (code, "cannot be written" in err) == (2, True)


# a reader that goes


def to_nobody(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return process(*arguments, stdout=writing)
    finally:
        os.close(writing)


@pytest.mark.skipif(os.name == "nt", reason="pipes are POSIX")
def test_a_reader_that_has_gone_changes_no_exit_code(
    model: Path, photos: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    for form in ("table", "jsonl"):
        done = to_nobody("predict", model, photos, "-f", form)
        assert (done.returncode, done.stderr) == (0, b""), form
    done = to_nobody("train", photos, "--out", tmp_path / "run", "--backbone", tiny_onnx)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "run" / "model.onnx").is_file()
    (photos / "blå" / "torn.jpg").write_bytes(b"torn")
    try:
        done = to_nobody("audit", photos, "--backbone", tiny_onnx, "--fail-on", "unreadable")
        assert (done.returncode, done.stderr) == (1, b"rehead: found unreadable, as --fail-on asks\n")
    finally:
        (photos / "blå" / "torn.jpg").unlink()
