from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, load_model
from rehead.data import read_dataset, split_fingerprint
from rehead.errors import DatasetError, ImageError, OutputError
from rehead.workflows.run import Run
from rehead.workflows.train import train

PhotoFolder = Callable[..., Path]
FILES = ["metrics.json", "model.onnx", "predictions.csv", "report.html", "run.json", "splits.csv"]


@pytest.fixture
def photos(photo_folder: PhotoFolder, tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "photos", {"red fish": 15, "blå": 15})


@pytest.fixture
def run(tiny_onnx: Path, photos: Path, tmp_path: Path) -> Run:
    return train(photos, tmp_path / "run", classifier=ImageClassifier(tiny_onnx), command=["rehead", "train"])


def read(path: Path) -> Any:
    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{path.name} holds {name}, which is no JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def splits(folder: Path) -> list[dict[str, str]]:
    with (folder / "splits.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sides(folder: Path) -> dict[str, str]:
    return {row["path"]: row["split"] for row in splits(folder)}


def nothing_left(folder: Path) -> bool:
    """Neither the run directory nor anything that was written beside it."""
    return not [path for path in folder.parent.iterdir() if folder.name in path.name]


# what a run leaves


def test_a_run_directory_holds_all_it_should(run: Run, photos: Path) -> None:
    assert sorted(path.name for path in run.folder.iterdir()) == FILES
    assert run.folder.stat().st_mode & 0o777 == 0o755
    assert run.evaluation is not None
    metrics, record = read(run.folder / "metrics.json"), read(run.folder / "run.json")
    assert metrics["test"] == json.loads(json.dumps(run.evaluation.to_dict()))
    assert sum(point["chosen"] for point in metrics["head"]["path"]) == 1
    assert metrics["warnings"] == record["warnings"] == run.warnings
    assert record["command"] == ["rehead", "train"]
    assert record["seconds"].keys() >= {"weights", "features", "head", "evaluation", "model file", "report"}
    assert record["photos"] == {"folder": str(photos), "train": 24, "test": 6}
    assert {"python", "numpy", "onnxruntime"} <= record["versions"].keys()
    html = (run.folder / "report.html").read_text("utf-8")
    assert "blå" in html
    assert "of 6 test photos were named correctly" in html


def test_predictions_are_those_that_the_metrics_count(run: Run) -> None:
    with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [
        name for name, side in sides(run.folder).items() if side == "test"
    ]
    test = read(run.folder / "metrics.json")["test"]
    right = [row["answer"] == row["true"] for row in rows]
    assert sum(right) / len(right) == pytest.approx(test["accuracy"]["value"], abs=1e-6)
    answered = [row["unknown"] == "no" for row in rows]
    assert sum(answered) / len(answered) == pytest.approx(test["coverage"]["value"], abs=1e-6)
    assert [bool(row["reason"]) for row in rows] == [not each for each in answered]
    photos = Path(read(run.folder / "run.json")["photos"]["folder"])
    given = load_model(run.folder / "model.onnx").predict([photos / row["path"] for row in rows])
    for row, answer in zip(rows, given, strict=True):
        assert float(row["probability"]) == pytest.approx(answer.probability, abs=1e-4)
        assert float(row["outlier_score"]) == pytest.approx(answer.outlier_score, abs=1e-3)
        assert row["answer"] == answer.nearest


def test_the_split_names_every_photo_and_its_digest_is_in_the_model(run: Run, photos: Path) -> None:
    rows = splits(run.folder)
    dataset = read_dataset(photos)
    assert [row["path"] for row in rows] == list(dataset.ids)
    assert [row["label"] for row in rows] == dataset.labels.tolist()
    assert {row["split"] for row in rows} == {"train", "test"}
    found = split_fingerprint(
        [row["path"] for row in rows], [row["label"] for row in rows], [row["split"] for row in rows]
    )
    model = load_model(run.folder / "model.onnx")
    assert model.manifest["split"] == read(run.folder / "run.json")["split"] == found


def test_the_split_can_be_given_back_beside_the_photos(
    run: Run, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(run.folder / "splits.csv", photos / "splits.csv")  # its paths are relative to the photos
    again = train(photos / "splits.csv", tmp_path / "again", classifier=ImageClassifier(tiny_onnx))
    assert sides(again.folder) == sides(run.folder)
    assert again.evaluation is not None
    assert run.evaluation is not None
    assert again.evaluation.to_dict() == run.evaluation.to_dict()


def test_the_model_file_answers_as_the_run_was_measured(run: Run, photos: Path) -> None:
    model = load_model(run.folder / "model.onnx")
    tested = [row for row in splits(run.folder) if row["split"] == "test"]
    answers = model.predict([photos / row["path"] for row in tested])
    right = np.mean([answer.nearest == row["label"] for answer, row in zip(answers, tested, strict=True)])
    assert run.evaluation is not None
    assert model.manifest["metrics"]["accuracy"]["value"] == pytest.approx(right)


def test_the_same_seed_gives_the_same_run_and_another_another(
    run: Run, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    again = train(photos, tmp_path / "again", classifier=ImageClassifier(tiny_onnx, cache=False))
    other = train(photos, tmp_path / "other", classifier=ImageClassifier(tiny_onnx, random_state=1))
    for name in ("metrics.json", "splits.csv"):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()
    assert sides(other.folder) != sides(run.folder)


def test_no_cache_is_written_down_as_such(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    model = ImageClassifier(tiny_onnx, cache=False)
    train(photos, tmp_path / "run", classifier=model)
    assert read(tmp_path / "run" / "run.json")["options"]["cache"] is False
    assert model.cache is False


@pytest.mark.parametrize("each", [2, 3])
def test_too_few_photos_to_hold_any_out(
    each: int, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "few", {"a": each, "b": each})
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert any("Fewer than 10 photos" in warning for warning in run.warnings)
    assert (tmp_path / "run" / "model.onnx").is_file()
    metrics = read(tmp_path / "run" / "metrics.json")
    tested = "test" in sides(run.folder).values()
    assert (metrics["test"] is not None) == (run.evaluation is not None) == tested
    assert (tmp_path / "run" / "report.html").exists() == tested
    assert tested == (each == 3)


# which side a photo stands on


def test_near_duplicates_never_stand_on_both_sides(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(photos.glob("*/*.jpg"))[::3]):
        image = Image.open(path)
        image.save(path.with_name(f"{path.stem}-again.jpg"), quality=60)
        image.resize((60, 47)).save(path.with_name(f"{path.stem}-small.png"))
        if number % 2:
            shutil.copy(path, path.with_name(f"{path.stem}-copy.jpg"))
    for seed in range(3):
        out = tmp_path / f"run{seed}"
        train(photos, out, classifier=ImageClassifier(tiny_onnx, random_state=seed, mirror=False))
        rows = splits(out)
        stands: dict[str, set[str]] = {}
        for row in rows:
            stands.setdefault(row["path"].split("-")[0].removesuffix(".jpg"), set()).add(row["split"])
        assert all(len(side) == 1 for side in stands.values())
        assert "test" in {row["split"] for row in rows}
        assert read(out / "run.json")["groups_kept_together"] >= 10


def test_groups_of_a_csv_stay_on_one_side(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    rows = [
        (path.relative_to(photos), path.parent.name, f"roll {number % 5}")
        for number, path in enumerate(sorted(photos.glob("*/*.jpg")))
    ]
    with (photos / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    train(photos / "list.csv", tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    side = sides(tmp_path / "run")
    stands = {group: {side[path.as_posix()] for path, _, g in rows if g == group} for _, _, group in rows}
    assert all(len(found) == 1 for found in stands.values())


def given(photo_folder: PhotoFolder, root: Path, **counts: int) -> Path:
    for seed, (side, count) in enumerate(counts.items()):
        photo_folder(root / side, {"a": count, "b": count}, seed=seed)
    return root


def test_a_given_split_is_kept(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    folder = given(photo_folder, tmp_path / "p", train=8, val=3, test=4)
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    expected = {"train": "train", "val": "train", "test": "test"}
    assert all(side == expected[path.split("/")[0]] for path, side in sides(run.folder).items())
    assert len(run.classifier.fitted_.trained_on.paths) == 22
    assert any("validation photos are trained on too" in warning for warning in run.warnings)


def test_validation_photos_alone_serve_as_test(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = given(photo_folder, tmp_path / "p", train=8, val=3)
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert all((side == "test") == path.startswith("val/") for path, side in sides(run.folder).items())
    assert run.evaluation is not None
    assert run.evaluation.photos == 6
    assert any("No test photos were given" in warning for warning in run.warnings)


def test_training_copies_of_test_photos_are_left_out_and_said(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = given(photo_folder, tmp_path / "p", train=8, test=4)
    shutil.copy(folder / "test" / "a" / "0000.jpg", folder / "train" / "a" / "leak.jpg")
    Image.open(folder / "test" / "b" / "0001.jpg").save(folder / "train" / "b" / "leak.jpg", quality=60)
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    left_out = {path for path, side in sides(run.folder).items() if side == "left out"}
    assert left_out == {"train/a/leak.jpg", "train/b/leak.jpg"}
    assert len(run.classifier.fitted_.trained_on.paths) == 16
    assert any("2" in warning and "left out of training" in warning for warning in run.warnings)
    assert read(run.folder / "run.json")["photos"]["left out"] == 2


def test_a_class_that_a_given_test_lacks_is_said_as_it_is(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = given(photo_folder, tmp_path / "p", train=8, test=4)
    photo_folder(folder / "train", {"c": 8}, seed=5)
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    about = [warning for warning in run.warnings if warning.startswith("No test photos")]
    assert len(about) == 1
    assert "'c'" in about[0]


def test_report_shows_mistakes_with_their_maps_and_neighbours(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "photos", {"blå": 20, "red fish": 20})
    for number in range(0, 20, 3):  # wrong labels, so that there are mistakes
        (folder / "blå" / f"{number:04d}.jpg").rename(folder / "red fish" / f"really blå {number}.jpg")
    (folder / "red fish" / "broken.jpg").write_bytes(b"")
    (folder / "red fish" / "notes.txt").write_text("no photo")
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    text = (run.folder / "report.html").read_text("utf-8")
    wrong = round((1 - run.evaluation.scores.accuracy.value) * run.evaluation.photos) if run.evaluation else 0
    assert wrong
    assert text.count('class="views"') == wrong
    assert text.count('alt="A training photo of') == 3 * wrong
    assert text.count('alt="Where the evidence for') == wrong
    assert "Excluded files" in text
    assert "Files that could not be read: 1" in text
    assert "red fish/notes.txt" in text
    assert "drawn at random within each class (seed 0)" in text
    assert "2-fold" in text or "5-fold" in text


# unreadable photos


def test_unreadable_photos_are_listed_counted_and_left_out_or_refused(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = given(photo_folder, tmp_path / "p", train=8, test=4)
    whole = (folder / "test" / "a" / "0000.jpg").read_bytes()
    (folder / "test" / "a" / "0000.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "train" / "b" / "text.jpg").write_text("not a photo")
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    names = ["test/a/0000.jpg", "train/b/text.jpg"]
    assert [name for name, _ in run.unreadable] == names
    record = read(run.folder / "run.json")
    assert [entry["photo"] for entry in record["unreadable"]] == names
    assert record["photos"]["unreadable"] == 2
    assert [path for path, side in sides(run.folder).items() if side == "unreadable"] == names
    assert run.evaluation is not None
    assert run.evaluation.photos == 7
    assert load_model(run.folder / "model.onnx").manifest["unreadable"] == names
    assert names[0] in (run.folder / "report.html").read_text("utf-8")
    with pytest.raises(ImageError, match=r"0000\.jpg"):
        train(folder, tmp_path / "strict", classifier=ImageClassifier(tiny_onnx, strict=True))
    assert nothing_left(tmp_path / "strict")


# what is refused


def test_what_can_be_seen_from_the_names_is_refused_before_any_photo_is_opened(
    photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    """The backbone does not even exist."""
    nowhere = ImageClassifier(tmp_path / "nowhere.onnx")
    one = photo_folder(tmp_path / "one", {"a": 3, "b": 1})
    reserved = photo_folder(tmp_path / "reserved", {"a": 3, "unknown": 3})
    strange = given(photo_folder, tmp_path / "strange", train=3, test=2)
    (strange / "test" / "b").rename(strange / "test" / "c")
    for folder, message in ((one, "'b' has 1 photo"), (reserved, "'unknown'"), (strange, "'c'")):
        with pytest.raises(DatasetError, match=message):
            train(folder, tmp_path / "run", classifier=nowhere)
        assert nothing_left(tmp_path / "run")


def test_an_earlier_run_is_replaced_only_when_asked(run: Run, tiny_onnx: Path, photos: Path) -> None:
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        train(photos, run.folder, classifier=ImageClassifier(tiny_onnx))
    assert (run.folder / "run.json").read_bytes() == before
    (run.folder / "old.txt").write_text("of the run before")
    train(photos, run.folder, classifier=ImageClassifier(tiny_onnx, cv=3), overwrite=True)
    assert read(run.folder / "run.json")["options"]["cv"] == 3
    assert sorted(path.name for path in run.folder.iterdir()) == FILES
    assert sorted(path.name for path in run.folder.parent.iterdir()) == ["photos", "run"]


def test_other_files_are_never_replaced(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="other files"):
            train(photos, tmp_path / "thesis", classifier=ImageClassifier(tiny_onnx), overwrite=overwrite)
        with pytest.raises(OutputError, match="in the way"):
            train(photos, tmp_path / "thesis" / "chapter1.tex", overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


def test_an_empty_folder_and_missing_parents_are_taken(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new" / "deep" / "run"):
        train(photos, out, classifier=ImageClassifier(tiny_onnx))
        assert sorted(path.name for path in out.iterdir()) == FILES


def test_a_place_that_cannot_be_written_is_refused_at_once(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = ImageClassifier(tmp_path / "nowhere.onnx")
    for out in (tmp_path / "file" / "run", tmp_path / ("x" * 300), Path("/proc/run")):
        with pytest.raises(OutputError, match="cannot be written"):
            train(photos, out, classifier=nowhere)


def test_a_disk_that_is_full_leaves_nothing_and_what_was_there(
    run: Run, tiny_onnx: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    real = Path.write_bytes

    def full(path: Path, data: Any) -> int:
        if "model.onnx" in path.name:
            real(path, bytes(data)[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        train(photos, run.folder, classifier=ImageClassifier(tiny_onnx), overwrite=True)
    with pytest.raises(OutputError, match="No space left"):
        train(photos, tmp_path / "new", classifier=ImageClassifier(tiny_onnx))
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "run"]


@pytest.mark.parametrize("where", ["run_files.evaluate", "train.write_splits", "train._report"])
def test_a_run_that_is_interrupted_leaves_nothing(
    where: str, tiny_onnx: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"rehead.workflows.{where}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(photos, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert nothing_left(tmp_path / "run")


# odd names


def test_names_that_are_no_plain_text(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "p", {"[bold]": 8, '<b>"q"</b>': 8})
    odd = ["two\nlines.jpg", "comma, 'quote\" and [red].jpg", "日本.jpg"]
    for name, path in zip(odd, sorted((folder / "[bold]").glob("*.jpg")), strict=False):
        path.rename(path.with_name(name))
    run = train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert {f"[bold]/{name}" for name in odd} <= sides(run.folder).keys()
    html = (run.folder / "report.html").read_text("utf-8")
    assert '<b>"q"</b>' not in html


def test_names_that_are_no_text_at_all(tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 8, "b": 8})
    latin = os.fsencode(folder / "a") + b"/caf\xe9.jpg"
    try:
        os.rename(os.fsencode(folder / "a" / "0003.jpg"), latin)  # noqa: PTH104 (a name in bytes)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    with pytest.raises(DatasetError, match=r"b'caf\\xe9\.jpg' is not UTF-8; rename"):
        train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert nothing_left(tmp_path / "run")


def test_labels_that_look_like_numbers_stay_text(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "p", {"01": 8, "1": 8, "nan": 8})
    train(folder, tmp_path / "run", classifier=ImageClassifier(tiny_onnx))
    assert load_model(tmp_path / "run" / "model.onnx").labels == ("01", "1", "nan")
    assert [row["label"] for row in splits(tmp_path / "run")] == ["01"] * 8 + ["1"] * 8 + ["nan"] * 8
