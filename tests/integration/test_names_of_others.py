"""Names of classes, files and people with all that a file system takes, through every verb and table."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehead.core.csv_cells import CsvWriter, cell_text
from rehead.core.text import printable
from rehead.data import read_dataset
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification import calibration
from rehead.faces.verification.calibration import Calibration

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows takes no such names")

Cli = Callable[..., str]

NAMES = ["[cat]", "[/old]", "=1+1 thé😀", "-x\x1b[31m\n\u202eend"]
FOLDERS = ["[cat]", "@b", "=1+1 thé😀", "-x\x1b[31m\n\u202eend"]
"""As names, but no folder's name holds a slash."""
TRICKY = "@a [b]\x1b]0;t\x07\nc.jpg"


@pytest.fixture
def cli(
    cli: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    face_pipeline: FacePipeline,
    face_calibration: Calibration,
) -> Cli:
    """Run the command line; what it printed for people, of which each line is to be seen as it is."""
    for verb in ("enroll", "identify", "verify", "cluster", "gallery"):
        monkeypatch.setattr(f"rehead.cli.faces.{verb}.load_pipeline", lambda *_: face_pipeline)
    monkeypatch.setattr(calibration, "_all", lambda: {face_calibration.fingerprint: face_calibration})

    def run(*arguments: object, code: int = 0) -> str:
        ended, out, err = cli(*arguments)
        assert ended == code, err
        text = out + err
        assert [printable(line) for line in text.splitlines()] == text.splitlines()
        return text

    return run


def named(text: str, *names: str) -> bool:
    """Whether all names are shown in full."""
    return all(printable(name) in text for name in names)


@pytest.fixture(scope="module")
def photos(photo_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with classes.csv."""
    folder = photo_folder(tmp_path_factory.mktemp("made") / "[my]", dict.fromkeys(FOLDERS, 8))
    for name in FOLDERS:
        (folder / name / "0007.jpg").rename(folder / name / TRICKY)
    (folder / FOLDERS[0] / f"torn {TRICKY}").write_bytes(b"\xff\xd8\xff")
    with (folder / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.writerow(["path", "label"])
        for name, label in zip(FOLDERS, NAMES, strict=True):
            writer.writerows(
                (path.relative_to(folder).as_posix(), label) for path in (folder / name).iterdir()
            )
    return folder


@pytest.fixture(scope="module")
def run(tiny_onnx: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["train", photos / "classes.csv", "--out", out, "--backbone", tiny_onnx]
    command = [sys.executable, "-m", "rehead", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert named(done.stdout, f"torn {TRICKY}")
    assert not set(done.stdout) & {"\x1b", "\x07", "\u202e"}
    return out


def test_predict(cli: Cli, run: Path, photos: Path) -> None:
    out = cli("predict", run / "model.onnx", photos)
    assert named(out, *(f"{photos}/{name}/{TRICKY}" for name in FOLDERS))
    lines = cli("predict", run / "model.onnx", photos, "-f", "jsonl").splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(records) == 33
    assert all(Path(record["photo"]).is_file() for record in records)
    assert {record["nearest"] for record in records if "nearest" in record} <= set(NAMES)


def test_csv_cells_run_nothing_and_name_what_is_there(run: Path, photos: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rehead",
        "predict",
        "-f",
        "csv",
        "--",
        str(run / "model.onnx"),
        *FOLDERS,
    ]
    done = subprocess.run(command, capture_output=True, timeout=120, cwd=photos, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode("utf-8"), newline="")))
    assert all((photos / cell_text(row["photo"])).is_file() for row in rows)
    assert {cell_text(row["nearest"]) for row in rows} <= {*NAMES, ""}
    cells = [cell for row in csv.reader(io.StringIO(done.stdout.decode("utf-8"), newline="")) for cell in row]
    assert not [text for text in cells if text[:1] in tuple("=+@\t\r\n")]  # a number may begin with "-"
    assert sorted({row["photo"][:2] for row in rows if row["photo"].startswith("'")}) == ["'-", "'=", "'@"]


def test_train_evaluate_report_explain_similar(cli: Cli, run: Path, photos: Path, tmp_path: Path) -> None:
    assert named(
        cli("evaluate", run / "model.onnx", photos / "classes.csv", "--out", tmp_path / "e"), f"torn {TRICKY}"
    )
    again = cli("report", run, "--out", tmp_path / "r")
    assert "test photos" in again
    photo = photos / FOLDERS[3] / TRICKY
    shown = cli("explain", run / "model.onnx", photo, "--out", tmp_path / "x.png", "--classes", 4)
    assert named(shown, *NAMES)
    found = cli("similar", photos, "--to", photo, "--out", tmp_path / "s.png", "--count", 40)
    assert named(found, f"{FOLDERS[2]}/{TRICKY}", f"torn {TRICKY}")


def test_audit_writes_a_csv_that_is_read_as_it_was(
    cli: Cli, photos: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(photos, tmp_path / "own")
    shutil.copy(own / FOLDERS[2] / TRICKY, own / FOLDERS[3] / "=copy.jpg")
    out = cli(
        "audit", own, "--backbone", tiny_onnx, "--out", tmp_path / "a", "--write-csv", own / "clean.csv"
    )
    assert named(out, f"{FOLDERS[3]}/=copy.jpg", f"torn {TRICKY}")
    before, after = read_dataset(own), read_dataset(own / "clean.csv")
    labels = dict(zip(before.ids, before.labels.tolist(), strict=True))
    assert {name: labels[name] for name in after.ids} == dict(
        zip(after.ids, after.labels.tolist(), strict=True)
    )
    assert {*after.ids, *after.left_out} == set(before.ids)
    text = (own / "clean.csv").read_text("utf-8")
    assert not [
        cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row if cell[:1] in tuple("=-@")
    ]


def test_compare(cli: Cli, photos: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    other = shutil.copy(tiny_onnx, tmp_path / "[bold]net.onnx")
    shutil.copy(tiny_onnx.with_suffix(".json"), tmp_path / "[bold]net.json")
    out = cli("compare", photos / "classes.csv", "--with", f"{tiny_onnx},{other}", "--out", tmp_path / "c")
    assert "[bold]net" in out


def test_faces(cli: Cli, face_photo: Callable[..., Path], tmp_path: Path) -> None:
    for person, name in enumerate(FOLDERS[:3], 1):
        for variant in range(2):
            face_photo(tmp_path / "people" / name / f"{variant}.png", person, variant=variant)
    (tmp_path / "people" / FOLDERS[0] / TRICKY).write_bytes(b"torn")
    options: list[Any] = ["--gallery", tmp_path / "p.db", "--key-file", tmp_path / "p.key"]
    key = ["--key-file", tmp_path / "p.key"]
    assert named(cli("faces", "enroll", tmp_path / "people", *options), *FOLDERS[:3], TRICKY)
    assert named(cli("faces", "gallery", "list", tmp_path / "p.db", *key), *FOLDERS[:3])
    assert named(cli("faces", "gallery", "show", tmp_path / "p.db", FOLDERS[1], *key), FOLDERS[1])
    group = face_photo(tmp_path / "[g]\x1b[1m.png", 1, 2, 3, variant=5)
    assert named(cli("faces", "identify", group, *options), *FOLDERS[:3], group.name)
    plain = face_photo(tmp_path / "group.png", 1, 2, 3, variant=5)
    rows = csv.reader(io.StringIO(cli("faces", "identify", plain, *options, "-f", "csv"), newline=""))
    assert [cell_text(row[1]) for row in rows][1:] == FOLDERS[:3]
    assert named(cli("faces", "cluster", tmp_path / "people", group), group.name)
    first = tmp_path / "people" / FOLDERS[0] / "0.png"
    assert named(cli("faces", "verify", first, group), group.name)


def test_keypoints(cli: Cli, drawn_faces: Callable[..., Path], tiny_onnx: Path, tmp_path: Path) -> None:
    table = drawn_faces(tmp_path / "drawn", 12)
    lines = table.read_text("utf-8").splitlines()
    name = "=1+1 [b].png"
    (tmp_path / "drawn" / lines[1].split(",")[0]).rename(tmp_path / "drawn" / name)
    torn = "[t]\x1b[1m.png"
    (tmp_path / "drawn" / torn).write_bytes(b"torn")
    lines[1] = ",".join([f"'{name}", *lines[1].split(",")[1:]])
    lines.append(",".join([torn, *lines[1].split(",")[1:]]))
    table.write_text("\n".join(lines) + "\n", "utf-8")
    train = ["keypoints", "train", table, "--backbone", tiny_onnx, "--group", "none"]
    assert named(cli(*train, "--out", tmp_path / "run"), torn)
    splits = list(csv.reader(io.StringIO((tmp_path / "run/splits.csv").read_text("utf-8"), newline="")))
    assert f"'{name}" in [row[0] for row in splits]
    shown = cli(
        "keypoints",
        "predict",
        tmp_path / "run/model.onnx",
        tmp_path / "drawn" / name,
        tmp_path / "drawn" / torn,
    )
    assert named(shown, name, torn)


def test_errors_show_names(cli: Cli, run: Path, tmp_path: Path) -> None:
    assert named(cli("predict", run / "model.onnx", tmp_path / TRICKY, code=2), TRICKY)
