"""`rehead audit` and `rehead.audit_photos` on photos with planted faults, from files to findings."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rehead
from rehead.errors import DatasetError, OutputError, UnknownNameError

PhotoFolder = Callable[..., Path]
CLASSES = {"red fish": 14, "blå, [b]": 14, "green": 14}


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "rehead", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, **options)


@pytest.fixture(scope="module")
def faulty(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three classes, split, with a fault of nearly every kind."""
    made = photo_folder(tmp_path_factory.mktemp("made") / "plain", CLASSES, size=(96, 80))
    root = made.parent / "my photos"
    for name in CLASSES:
        for n, path in enumerate(sorted((made / name).iterdir())):
            target = root / ("test" if n % 4 == 0 else "train") / name / f"{chr(97 + n)}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    red, blue = root / "train" / "red fish", root / "train" / "blå, [b]"
    shutil.copy(red / "b.jpg", red / "copy of b.jpg")
    shutil.copy(red / "c.jpg", root / "test" / "red fish" / "leaked.jpg")
    with Image.open(blue / "b.jpg") as photo:
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(red / "mirrored.jpg", quality=70)
    shutil.move(root / "train" / "green" / "d.jpg", blue / "moved.jpg")
    (red / "cut.jpg").write_bytes((red / "f.jpg").read_bytes()[:300])
    Image.new("RGB", (96, 80), (90, 90, 200)).save(blue / "blank.jpg")
    with Image.open(blue / "g.jpg") as photo:
        photo.resize((20, 16)).save(blue / "tiny.png")
        photo.point(lambda level: level // 6).save(blue / "night.png")
    (blue / "g.jpg").unlink()
    return root


@pytest.fixture(scope="module")
def found(faulty: Path, tiny_onnx: Path) -> rehead.Audit:
    return rehead.audit_photos(faulty, backbone=tiny_onnx)


def photos_of(found: rehead.Audit, kind: str) -> list[set[str]]:
    return [set(issue.photos) for issue in found.of(kind)]


def test_planted_faults_are_found(found: rehead.Audit) -> None:
    assert photos_of(found, "unreadable") == [{"train/red fish/cut.jpg"}]
    assert {"train/red fish/b.jpg", "train/red fish/copy of b.jpg"} in photos_of(found, "copy")
    assert {"train/red fish/c.jpg", "test/red fish/leaked.jpg"} in photos_of(found, "leak")
    pair = {"train/blå, [b]/b.jpg", "train/red fish/mirrored.jpg"}
    assert pair in photos_of(found, "contradiction")
    assert photos_of(found, "blank") == [{"train/blå, [b]/blank.jpg"}]
    assert photos_of(found, "tiny") == [{"train/blå, [b]/tiny.png"}]
    assert photos_of(found, "dark") == [{"train/blå, [b]/night.png"}]
    issues = {issue.photos[0]: issue for issue in found.of("label")}
    moved = issues["train/blå, [b]/moved.jpg"]
    assert moved.suggested == "green"
    assert [name.split("/")[1] for name in moved.beside] == ["green", "blå, [b]"]


def test_what_is_left_out(found: rehead.Audit) -> None:
    assert set(found.left_out) >= {
        "train/red fish/cut.jpg",
        "train/red fish/copy of b.jpg",
        "train/red fish/c.jpg",
        "train/red fish/mirrored.jpg",
        "train/blå, [b]/b.jpg",
        "train/blå, [b]/blank.jpg",
    }
    assert "test/red fish/leaked.jpg" not in found.left_out
    assert "train/blå, [b]/moved.jpg" not in found.left_out


def test_the_command_writes_whole_files_and_the_list_trains(
    faulty: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in faulty.rglob("*") if path.is_file()}
    out, clean = tmp_path / "audit", tmp_path / "clean.csv"
    done = process(
        *("audit", faulty, "--out", out, "--write-csv", clean, "--backbone", tiny_onnx, "--fail-on", "burst")
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("unreadable", "contradiction", "leak", "Labels in doubt", "looks like 'green'", str(clean)):
        assert line in done.stdout
    assert before == {path: path.read_bytes() for path in faulty.rglob("*") if path.is_file()}
    said = " ".join(done.stdout.split())
    assert "clean.csv leaves out" in said
    assert "only a person can tell what is wrong; change it in the column 'label'" in said

    record = json.loads((out / "audit.json").read_text("utf-8"))
    assert record["counts"]["unreadable"] == 1
    assert record["issues"][0]["photos"] == ["train/red fish/cut.jpg"]
    assert len(record["summary"]) == len(record["counts"])
    page = (out / "audit.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") > 10
    assert not re.search(r"<script|https?://|<link", page)
    assert "moved.jpg" in page
    assert "blå, [b]" in page

    listed = list(csv.DictReader(clean.read_text("utf-8").splitlines()))
    rows = {Path(row["path"]).name: row for row in listed}
    assert rows["moved.jpg"]["suggested"] == "green"
    assert rows["cut.jpg"]["keep"] == "no"
    trained = process("train", clean, "--out", tmp_path / "run", "--backbone", tiny_onnx)
    assert (trained.returncode, trained.stderr) == (0, "")
    run = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert len(run["left_out"]) == sum(row["keep"] == "no" for row in listed)
    assert "label" in run["audit"]["counts"]
    assert any("label may be wrong" in w or "labels may be wrong" in w for w in run["warnings"])
    assert any(warning.endswith("`rehead audit` shows which.") for warning in run["warnings"])
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert report.index("Audit of the photos") < report.index("photos named correctly")
    assert f"<code>rehead audit {clean} --out audit</code>" in report
    assert "files (rows whose column keep says no)" in report
    assert "Audit of the photos" in rehead.report(tmp_path / "run").path.read_text("utf-8")


def test_fail_on(faulty: Path, tiny_onnx: Path) -> None:
    failed = process("audit", faulty, "--backbone", tiny_onnx, "--json", "--fail-on", "leak, burst,tiny")
    assert failed.returncode == 1
    assert failed.stderr == "rehead: found leak, tiny, as --fail-on asks\n"
    assert json.loads(failed.stdout)["counts"]["leak"] >= 1
    for wrong, said in (("leaks", "did you mean 'leak'?"), (" ,", "names no kind")):
        refused = process("audit", faulty, "--fail-on", wrong)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_photos_in_which_nothing_is_wrong(photo_folder: PhotoFolder, tiny_onnx: Path, tmp_path: Path) -> None:
    photo_folder(tmp_path / "photos", {"one": 15}, seed=3)
    for n, path in enumerate(sorted((tmp_path / "photos" / "one").iterdir())):
        path.rename(path.with_name(f"{chr(97 + n)}.jpg"))  # numbered, they would be a burst
    done = process("audit", tmp_path / "photos", "--backbone", tiny_onnx, "--out", tmp_path / "audit")
    assert (done.returncode, done.stderr) == (0, "")
    assert "15 photos of 1 class: 'one' 15.\nNothing was found in 15 photos." in done.stdout
    assert "Nothing was found" in (tmp_path / "audit" / "audit.html").read_text("utf-8")


@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_of_very_few_photos(
    count: int, photo_folder: PhotoFolder, tiny_onnx: Path, tmp_path: Path
) -> None:
    found = rehead.audit_photos(
        photo_folder(tmp_path / "photos", {"only": count}), backbone=tiny_onnx, cache=False
    )
    assert found.counts == {"balance": 1}
    assert found.summary() == [f"A small class: 'only'; {count} different picture{'s' * (count > 1)}."]


def test_a_folder_in_which_nothing_can_be_read(tiny_onnx: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "x.jpg").write_text("no photo")
    found = rehead.audit_photos(tmp_path / "photos", backbone=tiny_onnx)
    assert found.counts == {"unreadable": 2, "balance": 2}
    assert len(found.left_out) == 2


def test_every_photo_the_same(tiny_onnx: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for n in range(3):
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{n}.png")
    found = rehead.audit_photos(tmp_path / "photos", backbone=tiny_onnx)
    assert found.counts["contradiction"] == 1
    assert len(found.left_out) == 6


def test_bad_input(tmp_path: Path, faulty: Path, tiny_onnx: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        rehead.audit_photos(tmp_path / "nothing")
    with pytest.raises(UnknownNameError, match="did you mean"):
        rehead.audit_photos(faulty, backbone="efficientnet_lite")
    (tmp_path / "file").touch()
    for option, place in (("--write-csv", tmp_path / "file" / "clean.csv"), ("--write-csv", tmp_path)):
        refused = process("audit", faulty, "--backbone", tiny_onnx, option, place)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"rehead: {place}: ")
    blocked = process("audit", faulty, "--backbone", tiny_onnx, "--out", tmp_path / "file")
    assert blocked.returncode == 2
    assert blocked.stderr.count("\n") == 1
    assert str(tmp_path / "file") in blocked.stderr
    assert OutputError.__name__ not in blocked.stderr
