"""Several networks on the same photos: one split for all, nothing done twice, nothing dropped silently."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rehead.classification.options import ClassifierOptions
from rehead.classification.predictor import load_model
from rehead.cli import main
from rehead.core.run_dir import work_folder
from rehead.errors import DataError, DatasetError, OutputError, TrainingError, UnknownNameError
from rehead.finetune.config import FineTuneConfig
from rehead.workflows import compare
from rehead.workflows.compare import candidates, compare_models
from rehead.workflows.config import TrainConfig, run_training

PhotoFolder = Callable[..., Path]
QUICK = TrainConfig(
    classifier=ClassifierOptions(size=32),
    finetune=FineTuneConfig(epochs=2, patience=0, batch_size=8, augment="none", lr=3e-3),
)


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = photo_folder(tmp_path_factory.mktemp("made") / "my fish", {"red fish": 14, "blå": 14})
    # a copy of a photo: the two belong on one side
    shutil.copy(folder / "blå" / "0000.jpg", folder / "blå" / "copy.jpg")
    return folder


@pytest.fixture(scope="module")
def two_onnx(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two networks of one name, in different folders."""
    folder = tmp_path_factory.mktemp("other")
    for path in (tiny_onnx, tiny_onnx.with_suffix(".json")):
        shutil.copy(path, folder / path.name)
    return [str(tiny_onnx), str(folder / tiny_onnx.name)]


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(folder.read_text("utf-8"))
    return found


def test_all_are_tested_on_the_same_photos_and_the_runs_are_whole(
    photos: Path, two_onnx: list[str], tmp_path: Path
) -> None:
    told = compare_models(photos, tmp_path / "out", two_onnx, command=["rehead", "compare"])
    assert [c.folder for c in told.models] == ["tiny-frozen", "tiny-frozen-2"]
    assert told.models[1].difference is not None
    assert told.models[1].difference.value == 0  # the same network twice
    runs = [tmp_path / "out" / c.folder for c in told.models]
    splits = [(run / "splits.csv").read_text("utf-8") for run in runs]
    assert splits[0] == splits[1]
    sides = dict(line.split(",")[0:3:2] for line in splits[0].splitlines()[1:])
    assert sides["blå/0000.jpg"] == sides["blå/copy.jpg"]
    for run, contender in zip(runs, told.models, strict=True):
        assert (run / "report.html").is_file()
        assert record(run / "metrics.json")["test"]["accuracy"] == contender.accuracy.to_dict()
        assert contender.cost.file_size == (run / "model.onnx").stat().st_size
        assert 0 < contender.cost.trained < contender.cost.parameters
        assert 0 < contender.cost.latency.low <= contender.cost.latency.value <= contender.cost.latency.high
        load_model(run / "model.onnx")
    written = record(tmp_path / "out" / "compare.json")
    assert written["sentence"] == told.sentence
    assert [model["folder"] for model in written["models"]] == ["tiny-frozen", "tiny-frozen-2"]
    assert "Which model is better?" in (tmp_path / "out" / "compare.html").read_text("utf-8")
    assert (tmp_path / "out" / "compare.md").read_text("utf-8") == told.to_markdown("my fish")


def test_a_comparison_that_was_killed_continues_and_one_that_is_finished_is_not_done_again(
    photos: Path, two_onnx: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = run_training, list[str]()

    def killed(config: TrainConfig, photos: Any, out: Path, **more: Any) -> Any:
        if out.name == "tiny-frozen-2" and len(done) < 2:
            done.append("killed")
            raise KeyboardInterrupt
        done.append(out.name)
        return real(config, photos, out, **more)

    monkeypatch.setattr(compare, "run_training", killed)
    with pytest.raises(KeyboardInterrupt):
        compare_models(photos, tmp_path / "out", two_onnx)
    assert record(tmp_path / "out" / "compare.json")["models"] == []
    assert len(compare_models(photos, tmp_path / "out", two_onnx).models) == 2
    assert done == ["tiny-frozen", "killed", "tiny-frozen-2"]
    compare_models(photos, tmp_path / "out", two_onnx)
    compare_models(photos, tmp_path / "out", two_onnx[:1])
    assert len(done) == 3
    compare_models(photos, tmp_path / "out", two_onnx, overwrite=True)
    assert done[3:] == ["tiny-frozen", "tiny-frozen-2"]


def test_what_lies_there_must_be_the_same(
    photos: Path, tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    compare_models(photos, out, [str(tiny_onnx)])
    with pytest.raises(OutputError, match=r"another split of them.*--overwrite"):
        compare_models(
            photos, out, [str(tiny_onnx)], config=TrainConfig(classifier=ClassifierOptions(random_state=1))
        )
    with pytest.raises(OutputError, match=r"other options \(coverage\).*--overwrite"):
        compare_models(
            photos, out, [str(tiny_onnx)], config=TrainConfig(classifier=ClassifierOptions(coverage=0.8))
        )
    run = record(out / "tiny-frozen" / "run.json")
    del run["options"]["grey_range"]  # a run of an older rehead, which did not know the option
    (out / "tiny-frozen" / "run.json").write_text(json.dumps(run), "utf-8")
    assert len(compare_models(photos, out, [str(tiny_onnx)]).models) == 1
    (out / "tiny-frozen" / "run.json").write_text("{", "utf-8")
    with pytest.raises(OutputError, match=r"run\.json: not a record of rehead"):
        compare_models(photos, out, [str(tiny_onnx)])
    other = photo_folder(tmp_path / "other", {"a": 10, "b": 10}, seed=3)
    with pytest.raises(OutputError, match="other photos"):
        compare_models(other, out, [str(tiny_onnx)])
    with pytest.raises(OutputError, match="holds other files"):
        compare_models(photos, other, [str(tiny_onnx)])
    assert not list(other.glob("compare*"))


def test_from_scratch_beside_frozen_and_a_failure_does_not_stop_the_others(
    photos: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    chosen, _ = candidates([str(tiny_onnx)], ["frozen"], TrainConfig())
    assert chosen[0].config.classifier.cache is False
    nets = ["cnn4-50", "small-cnn", "small-cnn"]
    started: list[str] = []
    real = run_training

    def failing(config: TrainConfig, photos: Any, out: Path, **more: Any) -> Any:
        started.append(out.name)
        if out.name == "cnn4-50-scratch":
            raise TrainingError("the loss is not a number")
        return real(config, photos, out, **more)

    monkeypatch.setattr(compare, "run_training", failing)
    quick = replace(QUICK, classifier=ClassifierOptions(size=64))
    told = compare_models(photos, tmp_path / "out", nets, train=["frozen", "top:4"], config=quick)
    assert started == ["cnn4-50-scratch", "small-cnn-scratch"]
    assert [c.name for c in told.models] == ["small-cnn, from scratch"]
    assert told.models[0].cost.parameters == told.models[0].cost.trained == 93_506
    notes = " ".join(told.notes)
    assert (
        "'small-cnn' has no pretrained weights: it is trained from scratch, not as frozen and top:4." in notes
    )
    assert "'cnn4-50, from scratch' is left out, its training failed: the loss is not a number" in notes
    assert not list((tmp_path / "out").glob("*.work"))


def test_a_training_that_was_killed_is_continued(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from rehead.data.split import Split

    chosen, _ = candidates(["small-cnn"], ["scratch"], QUICK)
    out = tmp_path / "out"
    sides: list[Split] = []
    real = compare._train

    def killed(at: Path, candidate: Any, given: Split, *more: Any) -> None:
        sides.append(given)
        work = work_folder(at)
        trained = given.dataset.take(given.assignment == "train")
        config = candidate.config
        one = replace(config, finetune=replace(config.finetune, epochs=1))
        one.estimator(work=work).fit_split(trained, given.group[given.assignment == "train"])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(compare, "_train", killed)
        compare_models(photos, out, ["small-cnn"], train=["scratch"], config=QUICK)
    assert compare._train is real
    told = compare_models(photos, out, ["small-cnn"], train=["scratch"], config=QUICK)
    assert told.models[0].cost.continued
    assert record(out / chosen[0].folder / "run.json")["training"]["epochs_resumed"] == 1
    assert "at least" in told.to_markdown("x")


def test_what_makes_no_sense_is_said(tiny_onnx: Path) -> None:
    chosen, notes = candidates(
        [str(tiny_onnx), "mobilenet_v2"], ["frozen", "top:4", "scratch"], TrainConfig()
    )
    assert [c.name for c in chosen] == [
        "tiny.onnx, frozen", "mobilenet_v2, frozen", "mobilenet_v2, top:4", "mobilenet_v2, from scratch",
    ]  # fmt: skip
    assert [c.folder for c in chosen][1:3] == ["mobilenet_v2-frozen", "mobilenet_v2-top-4"]
    (note,) = notes
    assert "with top:4 and scratch is left out: an ONNX file can only be used frozen" in note
    with pytest.raises(DataError, match="only be used frozen"):
        candidates([str(tiny_onnx)], ["all"], TrainConfig())
    with pytest.raises(DataError, match="nothing to compare"):
        candidates([], ["all"], TrainConfig())


def test_mistakes_are_refused_before_anything_is_trained(
    photos: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    for networks, train, error, message in (
        (["mobilenet_v2", "mobilenet_v3x"], ["frozen"], UnknownNameError, "mobilenet"),
        (["mobilenet_v2"], ["top:400"], DataError, "blocks"),
        (["mobilenet_v2"], ["frozn"], DataError, "frozn"),
    ):
        with pytest.raises(error, match=message):
            compare_models(photos, tmp_path / "out", networks, train=train)
    few = photo_folder(tmp_path / "few", {"a": 2, "b": 2})
    with pytest.raises(DatasetError, match="too few different photos"):
        compare_models(few, tmp_path / "out", ["efficientnet_lite0"])
    assert not (tmp_path / "out").exists()


def test_the_command_line_prints_the_table_and_the_sentence(
    photos: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rehead", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    monkeypatch.setenv("COLUMNS", "140")
    words = ["compare", photos, "--out", tmp_path / "out", "--with", f"{tiny_onnx},{tiny_onnx}", "--seed", 2]
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert "Parameters" in out and "nothing to compare it with" in " ".join(out.split())
    assert str(tmp_path / "out" / "compare.html") in out
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*words)
    assert code == 0
    assert "Parameters" not in out
    assert max(len(line) for line in out.splitlines() if "wrote" not in line) <= 80
    assert run(*words, "-q") == (0, "", "")
    for more, message in ((["--epochs", 3], "--epochs"), (["--train", "frozen,,"], "separated by commas")):
        code, out, err = run(*words, *more)
        assert (code, out) == (2, "")
        assert message in err and err.count("\n") == 1
