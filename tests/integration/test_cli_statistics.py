"""`rehead train --keep-statistics`, `update`, `forget`, `merge`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rehead import ImageClassifier
from rehead.classification.statistics_file import read_statistics
from rehead.cli import main
from rehead.core import atomic
from rehead.core.cache import cache_root
from rehead.core.model_file import read_model_file
from rehead.serving.models import ModelSet

PhotoFolder = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("cli") / "photos", {"ant": 14, "bee": 14})


@pytest.fixture(scope="module")
def trained(tiny_onnx: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory."""
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys,
            "argv",
            [
                "rehead",
                "train",
                *map(str, [photos, "--out", out, "--backbone", tiny_onnx]),
                "--keep-statistics",
                "--mirror",
                "no",
                "-q",
            ],
        )
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_photos_and_classes_are_added_and_forgotten_in_place(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    before = files_of(run)
    more = photo_folder(tmp_path / "more", {"ant": 3, "none": 0, "cat": 5}, seed=4)
    (more / "none").rmdir()
    code, out, err = cli("update", run / "model.onnx", more)
    assert (code, "8 photos added" in out, "new: cat" in out) == (0, True, True)
    assert "not measured since the last change" in out + err
    assert sorted(files_of(run)) == ["metrics.json", "model.onnx", "run.json", "statistics.npz"]
    assert read_model_file(run / "model.onnx").manifest["labels"] == ["ant", "bee", "cat"]
    for command in (
        ["show", run / "model.onnx"],
        ["check", run / "model.onnx"],
        ["predict", run / "model.onnx", more],
    ):
        code, out, err = cli(*command)
        assert code == 0
        assert "not measured since the last change (8 photos added)" in " ".join((out + err).split())
    cli("forget", run, more / "ant")
    code, out, err = cli("forget", run, more / "cat", "--class", "cat")
    assert (code, "5 photos forgotten" in out, "forgotten: cat" in out) == (0, True, True)
    saved = [read_statistics(run / "statistics.npz")[0].photos, None]
    (tmp_path / "old.npz").write_bytes(before["statistics.npz"])
    saved[1] = read_statistics(tmp_path / "old.npz")[0].photos
    assert saved[0] is not None
    assert saved[1] is not None
    assert saved[0].learnt.digests == saved[1].learnt.digests
    np.testing.assert_array_equal(saved[0].plain.gram, saved[1].plain.gram)
    assert "0000.jpg" not in (run / "run.json").read_text("utf-8")  # no names of what was forgotten


def test_photos_to_check_give_every_number(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"ant": 3, "bee": 3}, seed=4)
    check = photo_folder(tmp_path / "check", {"ant": 9, "bee": 9}, seed=6)
    code, out, err = cli("update", run, more, "--out", tmp_path / "new", "--check", check)
    assert (code, err) == (0, "")
    assert "18 test photos" in out
    manifest = read_model_file(tmp_path / "new" / "model.onnx").manifest
    assert "unmeasured" not in manifest
    assert manifest["metrics"]["photos"] == 18
    assert json.loads((tmp_path / "new" / "metrics.json").read_text("utf-8"))["test"]["photos"] == 18


def test_two_places_are_merged(
    cli: Cli, run: Path, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    there = photo_folder(tmp_path / "there", {"none": 0, "bee": 9, "cow": 9}, seed=8)
    (there / "none").rmdir()
    cli(
        "train",
        there,
        "--out",
        tmp_path / "b",
        "--backbone",
        tiny_onnx,
        "--keep-statistics",
        "--mirror",
        "no",
    )
    code, out, _ = cli("merge", run, tmp_path / "b", "--out", tmp_path / "c")
    assert (code, "new: cow" in out) == (0, True)
    model = ImageClassifier.load(tmp_path / "c")
    assert model.classes_.tolist() == ["ant", "bee", "cow"]
    assert (model.predict(sorted(there.glob("cow/*"))) == "cow").mean() > 0.5
    code, _, err = cli("merge", tmp_path / "c", run, "--out", tmp_path / "d")
    assert (code, err.count("\n"), "both learnt" in err) == (2, 1, True)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "ant"], "--statistics-by-class"),
        (["{photo}"], "never learnt"),
        ([], "nothing to forget"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path, arguments: list[str], message: str
) -> None:
    photo = photo_folder(tmp_path / "p", {"a": 1}, seed=31) / "a" / "0000.jpg"
    before = files_of(run)
    code, out, err = cli("forget", run, *(word.format(photo=photo) for word in arguments))
    assert (code, out, err.count("\n"), message in err) == (2, "", 1, True)
    assert files_of(run) == before


def test_an_altered_file_or_place_is_refused(cli: Cli, run: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(run / "model.onnx", tmp_path / "other.onnx")
    code, _, err = cli("update", tmp_path / "other.onnx", photos)
    assert (code, "not a run directory" in err) == (2, True)
    code, _, err = cli("update", tmp_path / "other.onnx", photos, "--out", tmp_path / "new")
    assert (code, "other.statistics.npz" in err) == (2, True)
    data = bytearray((run / "statistics.npz").read_bytes())
    data[-400] ^= 1
    (run / "statistics.npz").write_bytes(bytes(data))
    code, _, err = cli("update", run, photos)
    assert (code, err.count("\n")) == (2, 1)
    assert (run / "statistics.npz").read_bytes() == bytes(data)


def test_an_interrupted_update_leaves_the_old_files(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(run)
    more = photo_folder(tmp_path / "more", {"ant": 3}, seed=4)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "_move", interrupted)
    code, _, _ = cli("update", run, more)
    assert code == 130
    assert files_of(run) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "run"]


def test_features_of_forgotten_photos_leave_the_cache(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"ant": 3}, seed=44)
    cli("update", run, more)
    digests = set(read_model_file(run / "model.onnx").manifest["seen"].split())

    def kept() -> bytes:
        return b"".join(path.read_bytes() for path in cache_root().glob("features/*/*.rows"))

    code, out, _ = cli("forget", run, more, "--drop-cache")
    gone = digests - set(read_model_file(run / "model.onnx").manifest["seen"].split())
    assert (code, len(gone), "rows of features taken out" in out) == (0, 3, True)
    assert not any(digest.encode() in kept() for digest in gone)
    code, out, _ = cli("update", run, more)  # what is left of the cache can be read
    assert code == 0


def test_statistics_of_a_trained_network_are_refused(
    cli: Cli, photos: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    code, _, err = cli("train", photos, "--out", tmp_path / "x", "--train", "scratch", "--keep-statistics")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = cli(
        "train",
        photos,
        "--out",
        tmp_path / "x",
        "--backbone",
        tiny_onnx,
        "--engine",
        "openvino",
        "--keep-statistics",
    )
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "x").exists()


def test_enough_photos_to_check_choose_levels_and_strength_again(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"ant": 3, "bee": 3}, seed=4)
    check = photo_folder(tmp_path / "check", {"ant": 52, "bee": 52}, seed=6)
    code, out, _ = cli("update", run, more, "--out", tmp_path / "new", "--check", check)
    said = json.loads((tmp_path / "new" / "run.json").read_text("utf-8"))["head"]
    assert (code, 100 <= said["photos"] <= 104, said["tried"]) == (0, True, 22)
    assert said["why"] in " ".join(out.split())
    saved = read_statistics(tmp_path / "new" / "statistics.npz")[0].photos.point
    assert (saved.n_levels, saved.l2) == (said["chosen"]["n_levels"], said["chosen"]["l2"])
    head = read_model_file(tmp_path / "new" / "model.onnx").manifest["head"]
    assert (head["depths"], head["strength"]) == (saved.n_levels, saved.l2)


def test_a_class_is_forgotten_by_its_name_or_with_photos_that_training_held_out(
    cli: Cli, run: Path, photos: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    cow = photo_folder(tmp_path / "more", {"none": 0, "x": 0, "cow": 5}, seed=8)
    for empty in ("none", "x"):
        (cow / empty).rmdir()
    cli("update", run, cow)
    code, out, _ = cli("forget", run, "--class", "cow", "--out", tmp_path / "without")
    assert (code, "5 photos forgotten" in out, "forgotten: cow" in out) == (0, True, True)
    learnt = set(read_model_file(run / "model.onnx").manifest["photos"].items())
    code, out, err = cli("forget", run, photos / "ant", "--class", "ant")
    held_out = 14 - dict(learnt)["ant"]
    assert held_out > 0
    assert (code, f"{held_out} photos of those given were never learnt" in out + err) == (0, True)


def test_unreadable_files_among_photos_to_forget_are_left_out(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"ant": 3}, seed=4)
    (more / "ant" / "broken.jpg").write_bytes(b"nothing")
    cli("update", run, more)
    code, out, err = cli("forget", run, more)
    assert (code, "3 photos forgotten" in out, "1 unreadable photo was left out" in out) == (0, True, True)
    assert "broken" not in (run / "run.json").read_text("utf-8")
    code, _, err = cli("forget", run, more / "ant" / "broken.jpg")
    assert (code, err.count("\n"), "broken.jpg" in err) == (2, 1, True)


@pytest.mark.parametrize("split", ["test", "val"])
def test_photos_to_test_on_are_not_learnt(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path, split: str
) -> None:
    more = tmp_path / "more"
    photo_folder(more / "train", {"ant": 3, "bee": 2}, seed=4)
    photo_folder(more / split, {"ant": 4, "bee": 4}, seed=5)
    code, out, err = cli("update", run, more, "--out", tmp_path / "new")
    assert (code, "5 photos added" in out, f"8 photos of the {split} split" in out + err) == (0, True, True)
    shutil.rmtree(more / "train")
    code, _, err = cli("update", run, more, "--out", tmp_path / "other")
    assert (code, err.count("\n"), "--check" in err) == (2, 1, True)


def test_a_run_in_a_run_directory_is_refused(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"ant": 3}, seed=4)
    before = files_of(run)
    code, _, err = cli("update", run, more, "--out", run / "new")
    assert (code, err.count("\n"), "lies in the run directory" in err) == (2, 1, True)
    assert files_of(run) == before


def test_the_report_of_a_changed_run_takes_photos(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    more = photo_folder(tmp_path / "more", {"ant": 3}, seed=4)
    cli("update", run, more)
    code, _, err = cli("report", run)
    assert (code, err.count("\n"), "--photos" in err) == (2, 1, True)
    test = photo_folder(tmp_path / "test", {"ant": 6, "bee": 6}, seed=9)
    code, out, err = cli("report", run, "--photos", test)
    assert (code, "12 test photos" in out) == (0, True)
    page = (run / "report.html").read_text("utf-8")
    assert "solved from sums" in page
    assert "not measured since the last change" in page
    assert json.loads((run / "metrics.json").read_text("utf-8"))["test"]["photos"] == 12


@pytest.mark.parametrize(("target", "file"), [("python", "README.md"), ("triton", "README.md")])
def test_an_export_says_what_was_not_measured(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path, target: str, file: str
) -> None:
    cli("export", run / "model.onnx", "--to", tmp_path / "before", "--for", target)
    assert "not measured" not in (tmp_path / "before" / file).read_text("utf-8")
    cli("update", run, photo_folder(tmp_path / "more", {"ant": 3}, seed=4))
    code, out, _ = cli("export", run / "model.onnx", "--to", tmp_path / "after", "--for", target)
    assert (code, "not measured since the last change" in " ".join(out.split())) == (0, True)
    assert "not measured since the last change (3 photos added)" in (tmp_path / "after" / file).read_text(
        "utf-8"
    )


def test_a_service_says_what_was_not_measured(
    cli: Cli, run: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    cli("update", run, photo_folder(tmp_path / "more", {"ant": 3}, seed=4))
    served = ModelSet([run / "model.onnx"]).get()
    assert "not measured since the last change (3 photos added)" in served.accuracy
