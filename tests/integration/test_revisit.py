from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehead import ImageClassifier, load_model, report, train
from rehead.cli import main
from rehead.errors import DataError, DatasetError
from rehead.workflows.run import Run

PhotoFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def first(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on photos of which some have wrong labels."""
    folder = tmp_path_factory.mktemp("first")
    photos = photo_folder(folder / "photos", {"blå": 20, "red fish": 20})
    for number in range(0, 20, 3):
        (photos / "blå" / f"{number:04d}.jpg").rename(photos / "red fish" / f"really blå {number}.jpg")
    return train(photos, folder / "run", classifier=ImageClassifier(tiny_onnx))


@pytest.fixture
def run(first: Run, tmp_path: Path) -> Path:
    """A copy of the run and its photos, to be changed."""
    shutil.copytree(first.folder.parent / "photos", tmp_path / "photos")
    shutil.copytree(first.folder, tmp_path / "run")
    record = read(tmp_path / "run" / "run.json")
    record["photos"]["folder"] = str(tmp_path / "photos")
    (tmp_path / "run" / "run.json").write_text(json.dumps(record), "utf-8")
    return tmp_path / "run"


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "splits.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(run: Path, rows: list[dict[str, str]]) -> None:
    with (run / "splits.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "split", "group"])
        writer.writeheader()
        writer.writerows(rows)


def test_nothing_changed_gives_the_same_numbers(run: Path) -> None:
    before, files = read(run / "metrics.json"), sorted(path.name for path in run.iterdir())
    model = (run / "model.onnx").read_bytes()
    found = report(run)
    after = read(run / "metrics.json")
    assert after["test"]["accuracy"] == before["test"]["accuracy"]
    assert after["test"]["log_loss"]["value"] == pytest.approx(before["test"]["log_loss"]["value"], abs=1e-4)
    assert after["head"] == before["head"]
    assert found.before == before["test"]["accuracy"]["value"]
    assert found.notes == []
    assert sorted(path.name for path in run.iterdir()) == files
    assert (run / "model.onnx").read_bytes() == model
    text = found.path.read_text("utf-8")
    assert "Model selection" in text
    assert 'class="views"' in text


def test_labels_mended_in_splits_csv_are_taken(run: Path) -> None:
    rows = rows_of(run)
    model = load_model(run / "model.onnx")
    for row in rows:
        if row["split"] == "test":
            (answer,) = model.predict(run.parent / "photos" / row["path"])
            row["label"] = answer.nearest
    write_rows(run, rows)
    found = report(run)
    assert found.before is not None
    assert found.before < found.evaluation.scores.accuracy.value == 1
    assert "every test photo was named correctly" in found.path.read_text("utf-8")
    assert any("splits.csv was changed" in note for note in found.notes)
    taught = next(row for row in rows if "really" in row["path"] and row["split"] == "train")
    taught["label"] = "blå"
    write_rows(run, rows)
    assert any("other classes now" in note for note in report(run).notes)


def test_photos_that_were_trained_on_are_never_tested_on(run: Path) -> None:
    rows = rows_of(run)
    tested = sum(row["split"] == "test" for row in rows)
    taught = [row for row in rows if row["split"] == "train"][:3]
    for row in taught:
        row["split"] = "test"
    write_rows(run, rows)
    found = report(run)
    assert found.evaluation.photos == tested
    assert any(note.startswith("3 photos that were trained on") for note in found.notes)


def test_more_photos_are_tested_on_and_copies_of_training_photos_are_not(
    run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"blå": 6, "red fish": 6}, seed=9)
    taught = [row["path"] for row in rows_of(run) if row["split"] == "train"][:4]
    for n, name in enumerate(taught):
        shutil.copy(tmp_path / "photos" / name, more / "blå" / f"another name {n}.jpg")
    (more / "blå" / "broken.jpg").write_bytes(b"")
    before = (run / "metrics.json").read_bytes()
    found = report(run, more, out=tmp_path / "elsewhere")
    assert found.evaluation.photos == 12
    assert any("4 of 17 were" in note for note in found.notes)
    names = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
    assert names == ["metrics.json", "predictions.csv", "report.html"]
    assert (run / "metrics.json").read_bytes() == before
    text = (tmp_path / "elsewhere" / "report.html").read_text("utf-8")
    assert "blå/broken.jpg" in text
    assert "all that are no training photos" in text


def test_what_cannot_be_reported_is_said(run: Path, tmp_path: Path, photo_folder: PhotoFolder) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(DataError, match=r"photos: not a run directory.*run\.json"):
        report(tmp_path / "photos")
    with pytest.raises(DatasetError, match="did you mean 'red fish'"):
        report(run, photo_folder(tmp_path / "odd", {"Red fish": 3, "blå": 3}, seed=5))
    only = tmp_path / "only"
    for row in rows_of(run):
        if row["split"] == "train":
            (only / row["label"]).mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "photos" / row["path"], only / row["label"])
    with pytest.raises(
        DatasetError, match="none of its readable photos is one that the model was not trained"
    ):
        report(run, only)
    (tmp_path / "photos").rename(tmp_path / "moved")
    with pytest.raises(DatasetError, match=r"none of the run's 40 photos can be read.*--photos"):
        report(run)
    assert report(run, tmp_path / "moved", out=tmp_path / "o").evaluation.photos > 0
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    write_rows(run, [{"path": "a.jpg", "label": "", "split": "test", "group": "1"}])
    with pytest.raises(DataError, match=r"splits\.csv, line 2: label missing"):
        report(run)


def test_the_command_says_what_became_of_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rehead", "report", str(run)])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    assert (end.value.code or 0, shown.err) == (0, "")
    assert "correct before." in shown.out
    assert "report.html" in shown.out


@pytest.mark.parametrize(
    ("name", "entry", "value"),
    [
        ("run.json", "photos", []),
        ("run.json", "photos", {"folder": 3}),
        ("run.json", "backbone", {"name": "x"}),
        ("run.json", "seed", "0"),
        ("run.json", "versions", None),
        ("run.json", "unreadable", [3]),
        ("run.json", "training", {"curves": [1]}),
        ("run.json", "audit", {"summary": "x", "command": "y"}),
        ("metrics.json", "head", {"path": [{"l2": 0}]}),
        ("metrics.json", "test", {"accuracy": [1]}),
    ],
)
def test_a_record_with_entries_of_other_types_is_said(
    run: Path, name: str, entry: str, value: object
) -> None:
    record = read(run / name)
    (run / name).write_text(json.dumps({**record, entry: value}), "utf-8")
    with pytest.raises(DataError, match=rf"damaged one; {name} cannot be read \({entry} is "):
        report(run)
    (run / name).write_text("[]", "utf-8")
    with pytest.raises(DataError, match=rf"{name} cannot be read \(not a record\)"):
        report(run)
