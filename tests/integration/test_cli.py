from __future__ import annotations

import csv
import html
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead.cli import main
from rehead.core.model_file import read_model_file, write_model_file
from rehead.core.text import percent
from rehead.images import write_png

PhotoFolder = Callable[..., Path]
Result = tuple[int, str, str]
Cli = Callable[..., Result]


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "rehead", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, **options)


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = photo_folder(tmp_path_factory.mktemp("made") / "my photos", {"red fish": 12, "blå, [b]": 12})
    (folder / "red fish" / "0000.jpg").rename(folder / "red fish" / "größe 'x\".jpg")
    return folder


@pytest.fixture(scope="module")
def model(tiny_onnx: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained by the command line, as a process of its own."""
    out = tmp_path_factory.mktemp("trained") / "run"
    done = process("train", photos, "--out", out, "--backbone", tiny_onnx, "--seed", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert "test photos" in done.stdout
    assert str(out / "model.onnx") in done.stdout.replace("\n", "")
    return out / "model.onnx"


def refused(result: Result, *named: object) -> None:
    """Exactly one line that names the things, and exit code 2."""
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("rehead: ")
    assert "Traceback" not in err
    for thing in named:
        assert str(thing) in err


def nothing_left(folder: Path) -> bool:
    return not [path for path in folder.parent.iterdir() if folder.name in path.name]


# what works


def test_a_run_keeps_its_command(model: Path, photos: Path) -> None:
    record = json.loads((model.parent / "run.json").read_text("utf-8"))
    assert record["command"][:3] == ["rehead", "train", str(photos)]
    assert record["seed"] == 3


def test_train_prints_cautions_as_they_are_and_nothing_when_quiet(
    cli: Cli, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "p", {"[red]a": 4, "[bold]": 4})
    code, out, err = cli("train", folder, "-o", tmp_path / "run", "--backbone", tiny_onnx)
    assert (code, err) == (0, "")
    assert "'[bold]', '[red]a'" in out
    assert cli("train", folder, "-o", tmp_path / "q", "--backbone", tiny_onnx, "--quiet") == (0, "", "")


def test_every_option_of_train_arrives(cli: Cli, tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    options = "--n-levels 1 --mirror no --balanced --folds 3 --test-share 0.3 --coverage 0.8 --seed 5"
    options += " --no-cache --threads 1"
    code, _, err = cli("train", photos, "-o", tmp_path / "r", "--backbone", tiny_onnx, *options.split(), "-q")
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "r" / "run.json").read_text("utf-8"))
    wanted = {"n_levels": 1, "mirror": False, "class_weight": "balanced", "cv": 3, "coverage": 0.8}
    wanted |= {"random_state": 5, "cache": False, "threads": 1, "strict": False}
    assert {name: record["options"][name] for name in wanted} == wanted
    assert record["photos"]["test"] == 7


def test_evaluate_prints_a_table_or_json_and_writes_a_report(
    cli: Cli, model: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    fresh = photo_folder(tmp_path / "more", {"red fish": 5, "blå, [b]": 5}, seed=9)
    code, out, err = cli("evaluate", model, fresh, "--out", tmp_path / "report")
    assert (code, err) == (0, "")
    assert "10 test photos" in out
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))
    assert (tmp_path / "report" / "report.html").is_file()
    code, out, err = cli("evaluate", model, fresh, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == metrics


def test_evaluate_counts_refused_photos_of_no_class(
    cli: Cli, model: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    fresh = photo_folder(tmp_path / "more", {"red fish": 5, "blå, [b]": 5}, seed=9)
    alone = json.loads(cli("evaluate", model, fresh, "--json")[1])
    rng = np.random.default_rng(0)
    (fresh / "unknown").mkdir()
    for n in range(8):
        write_png(fresh / "unknown" / f"{n}.png", rng.integers(0, 256, (40 + n, 40, 3), dtype=np.uint8))
    code, out, err = cli("evaluate", model, fresh, "--out", tmp_path / "report")
    assert (code, err) == (0, "")
    with (tmp_path / "report" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    refused = sum(row["unknown"] == "yes" for row in rows if row["true"] == "unknown")
    assert f"Of 8 photos of no class {percent(refused / 8)} were answered 'unknown'" in out
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))
    assert metrics["test"]["unknown"]["photos"] == 8
    assert metrics["test"]["unknown"]["refused"]["value"] == refused / 8
    assert metrics["test"]["accuracy"] == alone["test"]["accuracy"]
    for name in ("red fish", "blå, [b]"):
        shutil.rmtree(fresh / name)
    code, out, err = cli("evaluate", model, fresh)
    assert (code, out) == (2, "")
    assert "of no class" in err


def test_evaluate_says_where_photos_were_trained_on(cli: Cli, model: Path, photos: Path) -> None:
    code, out, _ = cli("evaluate", model, photos)
    assert code == 0
    assert "were trained on" in " ".join(out.split())


def test_the_four_formats_of_predict_agree(cli: Cli, model: Path, photos: Path) -> None:
    outputs = {}
    for form in ("json", "jsonl", "csv", "table"):
        code, outputs[form], err = cli("predict", model, photos, "--format", form)
        assert (code, err) == (0, "")
    records = json.loads(outputs["json"])
    assert len(records) == 24
    assert [json.loads(line) for line in outputs["jsonl"].splitlines()] == records
    rows = list(csv.DictReader(io.StringIO(outputs["csv"])))
    labels = list(read_model_file(model).manifest["labels"])
    for record, row in zip(records, rows, strict=True):
        assert Path(record["photo"]).is_file()
        assert record["nearest"] in labels
        assert record["label"] == ("unknown" if record["reason"] else record["nearest"])
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert list(record["probabilities"]) == labels
        for name in ("photo", "label", "nearest", "reason"):
            assert row[name] == record[name]
        assert float(row["probability"]) == record["probability"]
        assert [float(row[f"p({name})"]) for name in labels] == list(record["probabilities"].values())
    assert "größe" in outputs["table"]
    right = [record["nearest"] == Path(record["photo"]).parent.name for record in records]
    assert sum(right) >= 22


def test_predict_goes_on_after_an_unreadable_photo(
    cli: Cli, model: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    good = photos / "red fish" / "0001.jpg"
    code, out, err = cli("predict", model, tmp_path / "bad.jpg", good, "-f", "jsonl")
    assert (code, err) == (0, "")
    bad, answer = map(json.loads, out.splitlines())
    assert bad.keys() == {"photo", "error"}
    assert answer["photo"] == str(good)
    code, out, err = cli("predict", model, tmp_path / "bad.jpg", good)
    assert code == 0
    assert "unreadable" in out
    assert err == "rehead: 1 of 2 photos could not be read\n"
    code, _, err = cli("predict", model, tmp_path / "bad.jpg", "-f", "csv")
    assert code == 2
    assert "bad.jpg" in err
    assert err.count("\n") == 1


def test_weights_list(cli: Cli) -> None:
    code, out, err = cli("weights", "list")
    assert (code, err) == (0, "")
    assert "efficientnet_lite0" in out
    code, out, err = cli("weights", "list", "--json")
    assert "efficientnet_lite0" in [record["name"] for record in json.loads(out)]


@pytest.mark.parametrize(
    "group", [[], ["faces"], ["faces", "gallery"], ["keypoints"], ["weights"]], ids=" ".join
)
def test_commands_are_told_in_sentences_that_fit(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, group: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = cli(*group, "--help")
    told = out[out.index("Commands") :].splitlines()
    assert len(told) > 2
    assert not [line for line in told if line.rstrip().endswith("...")]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_and_version_end_well(cli: Cli, arguments: list[str]) -> None:
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    assert "rehead" in out


@pytest.mark.parametrize("verbs", [[], ["faces"], ["keypoints"], ["weights"]])
def test_every_verb_is_told_in_a_line_of_80_columns(
    cli: Cli, verbs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = cli(*verbs, "--help")
    told = out.split("Commands:")[1].splitlines()[1:]
    assert all(line.endswith(".") and not line.endswith("...") for line in told), out


@pytest.mark.parametrize("verbs", [["train"], ["keypoints", "train"]])
def test_help_groups_what_needs_torch(cli: Cli, verbs: list[str]) -> None:
    _, out, _ = cli(*verbs, "--help")
    core, torch = out.split("The network itself (pip install 'rehead[torch]'):")
    assert "--out" in core
    assert "--epochs" not in core
    assert "--epochs" in torch
    assert core.index("Arguments:") < core.index("Options:")


def test_no_command_at_all_shows_the_help(cli: Cli) -> None:
    code, out, err = cli()
    assert code == 2
    assert "Commands" in out + err


# bad input


def write_csv(path: Path, *rows: tuple[object, ...]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def bad_folder(case: str, root: Path, make: PhotoFolder) -> tuple[Path, list[str]]:
    """Photos that nothing can be learned from, and what the message must name."""
    photos = root / "some photos"
    match case:
        case "empty folder":
            photos.mkdir()
            return photos, [str(photos)]
        case "no such folder":
            make(photos, {"a": 1})
            return root / "some fotos", ["some fotos", "did you mean", "some photos"]
        case "one class":
            return make(photos, {"only one": 4}), ["'only one'", "two classes"]
        case "a class with one photo":
            return make(photos, {"a": 4, "b b": 1}), ["'b b' has 1 photo"]
        case "two photos in all":
            return make(photos, {"a": 1, "b": 1}), ["'a', 'b' have 1 photo"]
        case "a class called unknown":
            return make(photos, {"a": 4, "unknown": 4}), ["'unknown'", "another name"]
        case "a label that train lacks":
            make(photos / "train", {"a": 4, "b": 4})
            make(photos / "test", {"a": 2, "zèbre": 2}, seed=1)
            return photos, ["'zèbre'"]
        case "all unreadable":
            for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"):
                (photos / name).parent.mkdir(parents=True, exist_ok=True)
                (photos / name).write_bytes(b"GIF89a")
            return photos, [str(photos)]
        case "a class whose photos are unreadable":
            make(photos, {"a": 4, "b": 3})
            for path in (photos / "b").iterdir():
                path.write_bytes(b"")
            return photos, ["'a'"]
        case "all photos identical":
            make(photos, {"a": 1, "b": 1})
            data = (photos / "a" / "0000.jpg").read_bytes()
            for name in ("a/1.jpg", "a/2.jpg", "b/0000.jpg", "b/1.jpg"):
                (photos / name).write_bytes(data)
            return photos, ["near-duplicates"]
        case "a photo":
            return make(photos, {"a": 1}) / "a" / "0000.jpg", ["0000.jpg", "single photo"]
    raise AssertionError(case)


@pytest.mark.parametrize(
    "case",
    [
        "empty folder",
        "no such folder",
        "one class",
        "a class with one photo",
        "two photos in all",
        "a class called unknown",
        "a label that train lacks",
        "all unreadable",
        "a class whose photos are unreadable",
        "all photos identical",
        "a photo",
    ],
)
def test_photos_that_nothing_can_be_learned_from(
    case: str, cli: Cli, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder, named = bad_folder(case, tmp_path, photo_folder)
    refused(cli("train", folder, "--out", tmp_path / "run", "--backbone", tiny_onnx), *named)
    assert nothing_left(tmp_path / "run")


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([("path", "label"), ("b.jpg", "x"), ("gone.jpg", "y")], ["none of its 2 photos exists", "gone.jpg"]),
        ([("file", "label"), ("a.jpg", "x")], ["no column 'path'", "'file'"]),
        ([("path", "class"), ("a.jpg", "x")], ["no column 'label'", "'class'"]),
        ([("path", "label"), ("a.jpg", "x"), ("a.jpg", "x")], ["'a.jpg'", "lines 2 and 3"]),
        ([("path", "label"), ("a.jpg", "x"), ("a.jpg", "y")], ["'a.jpg'", "'x' and as 'y'"]),
        ([("path", "label"), ("a.jpg", "")], ["line 2", "label is empty"]),
        ([("path", "label", "split"), ("a.jpg", "x", "trian")], ["line 2", "'trian'"]),
        ([("path", "label")], ["no photo is listed"]),
        ([], ["empty"]),
    ],
)
def test_a_csv_that_is_wrong(
    rows: list[tuple[object, ...]], named: list[str], cli: Cli, tmp_path: Path, photo_folder: PhotoFolder
) -> None:
    (photo_folder(tmp_path / "p", {"x": 1}) / "x" / "0000.jpg").rename(tmp_path / "a.jpg")
    table = write_csv(tmp_path / "my list.csv", *rows)
    refused(cli("train", table, "--out", tmp_path / "run"), table, *named)
    assert nothing_left(tmp_path / "run")


def test_a_csv_of_the_world_and_a_photo_that_is_gone(
    cli: Cli, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    train = photo_folder(tmp_path / "train", {"a": 8, "b": 8})
    (train / "a" / "notes.txt").touch()
    rows = [(f"{label}/{n:04d}", label) for label in "ab" for n in range(8)]
    labels = write_csv(tmp_path / "labels.csv", ("image_id", "breed"), *rows, ("a/gone", "a"))
    columns = ("--path-column", "image_id", "--label-column", "breed")
    arguments = ("train", labels, "--out", tmp_path / "run", "--backbone", tiny_onnx, *columns)
    refused(cli(*arguments), "none of its 17 photos exists", f"--root {train} --suffix .jpg?")
    read = ("--root", train, "--suffix", ".jpg")
    refused(cli(*arguments, *read, "--strict"), "gone.jpg: there is no such file")
    assert nothing_left(tmp_path / "run")
    code, out, err = cli(*arguments, *read)
    assert (code, err) == (0, "")
    assert out.startswith("17 photos of 2 classes: 'a' 9, 'b' 8.\n")
    assert "1 unreadable photo was left out:\n    a/gone.jpg: there is no such file" in out
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert record["classes"] == {"a": 9, "b": 8}
    assert record["options"]["label_column"] == "breed"
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "17 photos of 2 classes: 'a' 9, 'b' 8." in html.unescape(page)
    assert "--path-column image_id" in record["audit"]["command"]
    evaluated = cli("evaluate", tmp_path / "run" / "model.onnx", labels, *columns, *read)
    assert evaluated[0] == 0
    assert cli("audit", train, "--backbone", tiny_onnx)[1].startswith(
        "16 photos of 2 classes: 'a' 8, 'b' 8.\n1 file was passed over (no photos, "
    )


def test_strict_refuses_an_unreadable_photo_that_is_else_listed(
    cli: Cli, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "p", {"a": 6, "b": 6})
    (folder / "b" / "new\nline [b].jpg").write_bytes(b"\xff\xd8\xff")
    arguments = ("train", folder, "--out", tmp_path / "run", "--backbone", tiny_onnx)
    refused(cli(*arguments, "--strict"), "new\\nline [b].jpg")
    assert nothing_left(tmp_path / "run")
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    assert "1 unreadable photo" in out
    assert "line [b].jpg" in out
    assert json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["photos"]["unreadable"] == 1


def test_evaluate_lists_an_unreadable_photo_or_refuses_it(
    cli: Cli, model: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "more", {"red fish": 3, "blå, [b]": 3}, seed=9)
    (folder / "red fish" / "cut.jpg").write_bytes((folder / "red fish" / "0001.jpg").read_bytes()[:900])
    code, out, _ = cli("evaluate", model, folder)
    assert code == 0
    assert "6 test photos" in out
    assert "cut.jpg" in out
    refused(cli("evaluate", model, folder, "--strict"), "cut.jpg")
    (folder / "zebra").mkdir()
    (folder / "red fish" / "0000.jpg").rename(folder / "zebra" / "0.jpg")
    refused(cli("evaluate", model, folder, "--out", tmp_path / "report"), "'zebra'")
    assert nothing_left(tmp_path / "report")


def test_one_thing_given_where_another_is_expected(
    cli: Cli, model: Path, photos: Path, tmp_path: Path
) -> None:
    photo = photos / "red fish" / "0001.jpg"
    out = tmp_path / "run"
    refused(cli("predict", model.parent, photo), model.parent, "a folder", f"did you mean {model}?")
    refused(cli("evaluate", photos, photos), photos, "a folder")
    refused(cli("predict", photo, photo), photo, "not a rehead model file")
    refused(cli("predict", tmp_path / "none.onnx", photo), "none.onnx")
    refused(cli("train", model, "--out", out), model, "neither a folder nor a CSV")
    refused(cli("evaluate", model, model), model, "neither a folder nor a CSV")
    refused(cli("predict", model, tmp_path / "no such"), "no such", "does not exist")
    code, _, err = cli("predict", model, model)
    refused((code, "", err), model)
    assert nothing_left(out)


def test_a_model_file_that_was_changed_or_is_newer(
    cli: Cli, model: Path, photos: Path, tmp_path: Path
) -> None:
    photo = photos / "red fish" / "0001.jpg"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.onnx").write_bytes(data)
    refused(cli("predict", tmp_path / "changed.onnx", photo), "changed.onnx", "changed or damaged")
    (tmp_path / "short.onnx").write_bytes(model.read_bytes()[:-200])
    refused(cli("predict", tmp_path / "short.onnx", photo), "short.onnx")
    newer = (model.read_bytes()).replace(b'"protocol":3', b'"protocol":9')
    (tmp_path / "newer.onnx").write_bytes(newer)
    refused(cli("evaluate", tmp_path / "newer.onnx", photos), "newer.onnx", "protocol 9", "pip install")
    write_model_file(
        tmp_path / "odd.onnx",
        b"",
        {"kind": "keypoints", "points": {"count": 5}, "operating_point": {}, "preprocess": {}},
    )
    refused(cli("predict", tmp_path / "odd.onnx", photo), "odd.onnx", "rehead keypoints predict")


def test_a_place_that_cannot_be_written(
    cli: Cli, tiny_onnx: Path, model: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("kept")
    refused(cli("train", photos, "--out", tmp_path / "file"), tmp_path / "file", "in the way")
    refused(cli("train", photos, "--out", tmp_path / "file" / "run"), tmp_path / "file" / "run")
    refused(cli("evaluate", model, photos, "--out", tmp_path / "file" / "run"), tmp_path / "file")
    refused(cli("evaluate", model, photos, "--out", tmp_path / "file"), tmp_path / "file")
    refused(cli("train", photos, "--out", model.parent, "--backbone", tiny_onnx), model.parent, "--overwrite")
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_names_that_do_not_exist_get_the_nearest(cli: Cli, photos: Path, tmp_path: Path) -> None:
    train = ("train", photos, "--out", tmp_path / "run")
    refused(cli(*train, "--backbone", "efficientnet_lit0"), "did you mean 'efficientnet_lite0'?")
    refused(cli(*train, "--backbone", tmp_path / "none.onnx"), "none.onnx", "No such file")
    refused(cli(*train, "--weights", tmp_path / "none.pth"), "none.pth")
    refused(cli(*train, "--preprocess", tmp_path / "none.json"), "none.json")
    refused(cli("weights", "pull", "mobilenet_v3"), "did you mean 'mobilenet_v2'?")
    refused(cli("trian", photos), "trian", "Did you mean 'train'?")
    refused(cli(*train, "--overwite"), "--overwite", "--overwrite")
    assert nothing_left(tmp_path / "run")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--folds", "1"),
        ("--folds", "many"),
        ("--test-share", "0"),
        ("--test-share", "nan"),
        ("--coverage", "1.5"),
        ("--coverage", "nan"),
        ("--seed", "-1"),
        ("--threads", "0"),
        ("--depths", "0"),
        ("--mirror", "perhaps"),
    ],
)
def test_a_bad_value_of_an_option_names_the_option(
    option: str, value: str, cli: Cli, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    result = cli("train", photos, "--out", tmp_path / "run", "--backbone", tiny_onnx, option, value)
    refused(result, option)
    assert nothing_left(tmp_path / "run")


def test_missing_arguments_are_named(cli: Cli, photos: Path, model: Path) -> None:
    refused(cli("train", photos), "--out")
    refused(cli("train", "--out", "x"), "photos")
    refused(cli("predict", model), "photos")
    refused(cli("predict", model, photos, "--format", "xml"), "--format", "xml", "jsonl")


# as a process


def test_a_refusal_as_a_process(tmp_path: Path) -> None:
    done = process("train", tmp_path, "--out", tmp_path / "run")
    refused((done.returncode, done.stdout, done.stderr), tmp_path)


def test_a_bug_keeps_its_traceback(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("rehead.workflows.train.train", broken)
    monkeypatch.setattr(sys, "argv", ["rehead", "train", str(photos), "--out", str(tmp_path / "run")])
    with pytest.raises(RuntimeError, match="a bug"):
        main()


def test_output_that_no_one_reads_any_more_is_no_error(model: Path, photos: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rehead",
        "predict",
        str(model),
        *[str(photos)] * 20,
        "--format",
        "jsonl",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no /dev/full, a disk that is always full"
)
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_answers_that_go_to_a_full_disk(form: str, model: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "rehead", "predict", str(model), str(photos), "--format", form]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    refused((done.returncode, "", done.stderr), "standard output", "No space left")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize(
    "moment", ["rehead.backbones.features.load_image", "rehead.workflows.train.write_splits"]
)
def test_control_c_leaves_nothing_half_written(
    moment: str, tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    """A real SIGINT, at a moment that is chosen: while photos are looked at, or while the run is written."""
    script = """if True:
        import os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job has not
        from importlib import import_module
        from rehead.cli import main
        room, name = sys.argv.pop(1).rsplit(".", 1)
        room = import_module(room)
        original = getattr(room, name)
        def interrupted(*arguments):
            setattr(room, name, original)
            os.kill(os.getpid(), signal.SIGINT)
            return original(*arguments)
        setattr(room, name, interrupted)
        main()"""
    out = tmp_path / "run"
    options = ["train", photos, "--out", out, "--backbone", tiny_onnx, "--no-cache"]
    command = [sys.executable, "-c", script, moment, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130
    assert done.stderr == "rehead: interrupted; nothing half-written, and what was computed is kept\n"
    assert nothing_left(out)


def test_no_library_is_taken_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "platformdirs.py").write_text("open('it ran', 'w')", "utf-8")
    unsafe = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    unsafe.pop("REHEAD_CACHE")  # or platformdirs is not asked
    done = process("weights", "list", cwd=tmp_path, env=unsafe)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["platformdirs.py"]


def test_progress_as_json_is_for_programs(tiny_onnx: Path, photo_folder: Any, tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    command = [sys.executable, "-m", "rehead", "train", str(photos), "--out", str(tmp_path / "run")]
    options = ["--backbone", str(tiny_onnx), "--progress", "json", "--quiet"]
    env = {**os.environ, "REHEAD_CACHE": str(tmp_path / "cache")}  # where no features are yet
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True, env=env)
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"done": 12, "total": 12} in said
    steps = [line["step"] for line in said if "step" in line]
    assert steps == ["weights", "features", "head", "evaluation", "model file", "report"]
