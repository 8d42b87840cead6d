"""From photos to a model file that the core runs, with the network trained on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from sklearn.base import clone  # noqa: E402

from rehead.classification.estimator import ImageClassifier  # noqa: E402
from rehead.classification.predictor import load_model  # noqa: E402
from rehead.classification.saliency import explain  # noqa: E402
from rehead.cli import app  # noqa: E402
from rehead.core.model_file import read_model_file  # noqa: E402
from rehead.data import read_dataset  # noqa: E402
from rehead.errors import DataError, DatasetError, OutputError, ReheadError, UnknownNameError  # noqa: E402
from rehead.finetune.classifier import FineTunedClassifier  # noqa: E402
from rehead.finetune.config import FineTuneConfig  # noqa: E402
from rehead.workflows.train import train  # noqa: E402

QUICK = FineTuneConfig(epochs=2, patience=0, batch_size=8, augment="light")
TOP = replace(QUICK, train="top:1")


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def folder(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = photo_folder(tmp_path_factory.mktemp("photos") / "fish", {"red fish": 16, "blå": 16})
    return path


def pretrained(
    config: FineTuneConfig = TOP, *, keep: Literal["better", "always"] = "always", **more: Any
) -> FineTunedClassifier:
    """Of `more`, work and resume are the trained classifier's, all else is its base's."""
    own = {name: more.pop(name) for name in ("work", "resume") if name in more}
    base = ImageClassifier("efficientnet_lite0", size=64, **more)
    return FineTunedClassifier(base, replace(config, keep=keep), **own)


def from_scratch(config: FineTuneConfig, **more: Any) -> FineTunedClassifier:
    return FineTunedClassifier(ImageClassifier("small-cnn", size=32), config, **more)


def training_of(model: FineTunedClassifier) -> dict[str, Any]:
    assert model.training_ is not None
    return model.training_


def test_a_network_from_random_numbers_ends_in_a_run_like_any_other(folder: Path, tmp_path: Path) -> None:
    model = from_scratch(replace(QUICK, epochs=10, lr=3e-3))
    run = train(folder, tmp_path / "run", classifier=model)
    assert run.evaluation is not None
    assert run.evaluation.scores.accuracy.value >= 0.8
    found = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    assert {"model.onnx", "report.html", "run.json", "metrics.json", "splits.csv"} <= found
    assert str(Path("logs") / "curves.csv") in found
    for name in ("run.json", "metrics.json"):
        training = json.loads((run.folder / name).read_text("utf-8"))["training"]
        assert len(training["curves"]) >= training["best_epoch"] >= 1
        assert "probe" not in training["validation"]
    assert "Training curves" in (run.folder / "report.html").read_text("utf-8")


def test_the_file_runs_without_torch_and_agrees_with_the_classifier(folder: Path, tmp_path: Path) -> None:
    model = pretrained().fit(folder)
    model.save(tmp_path / "model.onnx")
    photos = list(read_dataset(folder).paths)[::5]
    expected = model.predict_proba(photos)
    script = (
        "import json, sys\n"
        "for name in ('torch', 'torchvision', 'timm', 'lightning'):\n"
        "    sys.modules[name] = None\n"
        "from rehead.classification.predictor import load_model\n"
        f"found = load_model({str(tmp_path / 'model.onnx')!r}).predict_proba({[str(p) for p in photos]!r})\n"
        "print(json.dumps(found.tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-4)
    manifest = read_model_file(tmp_path / "model.onnx").manifest
    assert manifest["backbone"]["trained"] == "top:1"
    assert manifest["head"]["loss"] == "network"
    assert "grey" in manifest["styles"]["names"]
    explained = explain(tmp_path / "model.onnx", photos[0], classes=list(model.classes_))
    assert explained.method == "cam"
    assert explained.maps[0].values.size > 1
    logits = np.array([one.values.mean() + one.bias for one in explained.maps])
    assert logits[1] - logits[0] == pytest.approx(np.log(expected[0, 1] / expected[0, 0]), abs=1e-3)


def test_photos_for_validation_are_not_trained_on(folder: Path) -> None:
    dataset = read_dataset(folder)
    validation = np.zeros(len(dataset), bool)
    validation[::4] = True
    model = pretrained().fit(dataset.paths, dataset.labels, validation=validation)
    judged = ~np.isnan(model.head_.held_out).any(axis=1)
    assert judged.sum() == training_of(model)["validation"]["photos"] <= validation.sum()
    assert not (judged & ~validation).any()


def test_the_trained_network_is_kept_only_if_it_beats_the_frozen_one(folder: Path) -> None:
    # a rate of next to nothing leaves random hidden layers, which cannot beat a fitted head
    options = replace(TOP, train="frozen", head="mlp:4", lr=1e-9, epochs=1, augment="none")
    model = pretrained(options, keep="better").fit(folder)
    told = training_of(model)
    assert told["kept"] == "probe"
    assert told["validation"]["probe"]["log_loss"] < told["validation"]["network"]["log_loss"]
    assert "did not beat the frozen one" in told["sentence"]
    assert model.head_.chosen.loss in ("logistic", "ridge")
    assert "trained" not in model.fitted_.weights_record
    anyway = pretrained(options, keep="always").fit(folder)
    assert training_of(anyway)["kept"] == "network"
    assert anyway.fitted_.weights_record["trained"] == "frozen"


def test_the_comparison_says_by_how_much_and_how_sure_it_is(folder: Path) -> None:
    training = training_of(pretrained(replace(TOP, lr=1e-9, augment="none")).fit(folder))
    for name in ("accuracy", "log_loss"):
        difference = training["validation"]["difference"][name]
        scores = training["validation"]["network"][name], training["validation"]["probe"][name]
        assert difference["value"] == pytest.approx(scores[0] - scores[1], abs=1e-5)
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert "95 % interval" in training["sentence"]
    assert "by the weights that the other half chose" in training["sentence"]


def test_a_head_of_several_layers_is_trained_before_the_trunk(folder: Path, tmp_path: Path) -> None:
    work, calls = tmp_path / "work", []
    options = replace(TOP, head="mlp:8", epochs=1)
    model = pretrained(options, work=work, progress=lambda *count: calls.append(count)).fit(folder)
    assert len(training_of(model)["head_curves"]) == len(training_of(model)["curves"]) == 1
    assert (work / "head" / "last.ckpt").is_file()
    assert (work / "head" / "maps.npy").is_file()  # it never ran the trunk again
    photos = len(model.fitted_.trained_on.paths) - training_of(model)["validation"]["photos"]
    assert [count for count in calls if count[1] == 2 * photos][-1] == (2 * photos, 2 * photos)
    # killed after the head and before the first epoch of both, it goes on from the head
    for path in [*work.glob("*.ckpt"), *work.glob("*.pt")]:
        path.unlink()
    again = clone(model).set_params(resume=True).fit(folder)
    assert training_of(again)["head_curves"] == training_of(model)["head_curves"]
    assert training_of(again)["curves"][0]["val_loss"] == training_of(model)["curves"][0]["val_loss"]


def test_the_head_starts_from_the_probe(folder: Path) -> None:
    # with next to no training, what the network says is what the frozen network's last layer says
    model = pretrained(replace(TOP, lr=1e-9, epochs=1, augment="none")).fit(folder)
    assert training_of(model)["validation"]["network"]["accuracy"] >= 0.8
    assert training_of(model)["curves"][0]["val_loss"] < 0.5


def test_a_run_is_resumed_on_the_same_split_and_refused_on_another(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    options = replace(QUICK, epochs=1)
    model = from_scratch(options, work=work).fit(folder)
    with pytest.raises(OutputError, match="continue it with --resume"):
        clone(model).fit(folder)
    longer = clone(model).set_params(config=replace(options, epochs=3), resume=True).fit(folder)
    assert training_of(longer)["epochs_resumed"] == 1
    assert training_of(longer)["curves"][:1] == training_of(model)["curves"]
    other = replace(options, epochs=3, validation_share=0.4)
    for change in ({"base__random_state": 1}, {"base__size": 40}, {"config": other}):
        with pytest.raises(DataError, match="holds the training of something else"):
            clone(longer).set_params(**change).fit(folder)


def test_a_network_that_is_kept_is_refitted_on_all_photos(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    model = pretrained(replace(TOP, lr=1e-3), work=work).fit(folder)
    told = training_of(model)
    assert told["refit"] == len(model.fitted_.trained_on.paths)
    assert told["sentence"].endswith(f"on all {len(model.fitted_.trained_on.paths)} photos.")
    assert (work / "all" / f"best-{told['best_epoch']}.pt").is_file()
    once = (
        clone(model)
        .set_params(work=None, config=replace(TOP, lr=1e-3, keep="always", refit=False))
        .fit(folder)
    )
    assert training_of(once)["refit"] is None
    # what is told, the temperature and what is known of each photo come from before
    assert training_of(once)["validation"] == told["validation"]
    assert once.temperature_ == model.temperature_
    np.testing.assert_array_equal(once.head_.held_out, model.head_.held_out)
    assert not np.array_equal(once.head_.weight, model.head_.weight)
    photos = read_dataset(folder).paths
    assert not np.allclose(once.predict_proba(photos), model.predict_proba(photos))
    # finished, it is taken as it is
    resumed = clone(model).set_params(resume=True).fit(folder)
    np.testing.assert_array_equal(resumed.predict_proba(photos), model.predict_proba(photos))


def test_a_network_that_is_not_kept_is_not_refitted(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    options = replace(TOP, train="frozen", head="mlp:4", lr=1e-9, epochs=1, augment="none")
    model = pretrained(options, keep="better", work=work).fit(folder)
    assert (training_of(model)["kept"], training_of(model)["refit"]) == ("probe", None)
    assert not (work / "all").exists()


def test_mistakes_of_the_user_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match="starts from random weights, so all of it has to be trained"):
        from_scratch(TOP).fit(folder)
    with pytest.raises(UnknownNameError, match="unknown keep 'best'"):
        FineTuneConfig(keep="best")  # type: ignore[arg-type]
    dataset = read_dataset(folder)
    with pytest.raises(DatasetError, match="all photos of 'blå' are validation photos"):
        pretrained().fit(dataset.paths, dataset.labels, validation=dataset.labels == "blå")


def invoke(*arguments: str) -> tuple[int, str]:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [str(a) for a in arguments], terminal_width=200)
    if isinstance(result.exception, ReheadError):
        return 2, str(result.exception)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_train_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, output = invoke(
        "train", str(folder), "--out", str(out), "--backbone", "small-cnn", "--size", "32", "--epochs", "2",
        "--batch-size", "8", "--augment", "none", "--lr", "0.001", "--optimizer", "rmsprop",
    )  # fmt: skip
    assert code == 0
    assert "validation photos right" in " ".join(output.split())
    assert not out.with_name("run.work").exists()
    options = json.loads((out / "run.json").read_text("utf-8"))["training"]["options"]
    assert (options["epochs"], options["optimizer"], options["augment"]) == (2, "rmsprop", "none")
    (answer,) = load_model(out / "model.onnx").predict(next((folder / "blå").iterdir()))
    assert answer.probabilities.shape == (2,)


def test_a_recipe_runs_and_options_given_besides_override_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ["--size", "32", "--epochs", "1", "--batch-size", "8"]
    code, _ = invoke("train", str(folder), "--out", str(out), "--recipe", "celebrities-cnn", *more)
    assert code == 0
    record = json.loads((out / "run.json").read_text("utf-8"))
    options = record["training"]["options"]
    assert (record["training"]["network"], record["options"]["keep"]) == ("small-cnn", "always")
    assert (options["epochs"], options["batch_size"], options["schedule"]) == (1, 8, "constant")
    assert record["parameters"] == {"total": 93_506, "trained": 93_506}
    code, output = invoke("train", str(folder), "--out", str(out), "--recipe", "celebrity-cnn")
    assert code == 2
    assert "did you mean 'celebrities-cnn'" in output


def test_a_frozen_network_gets_a_head_by_gradient_steps_where_that_is_asked_for(folder: Path) -> None:
    options = FineTuneConfig(train="frozen", dropout=0.2, epochs=1, patience=0, batch_size=8, augment="none")
    model = pretrained(options, keep="always").fit(folder)
    assert training_of(model)["kept"] == "network"
    assert model.fitted_.parameters["trained"] == 2 * 1280 + 2 < model.fitted_.parameters["total"]
    assert pretrained(options, keep="better").fit(folder).training_ is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume", "nothing", "--backbone", "small-cnn"], "no training to continue"),
        (["--out", "x", "--epochs", "3"], "needs --train"),
        (["--out", "x", "--resume", "y", "--train", "all"], "not two folders"),
        (["--train", "all"], "run directory"),
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = invoke("train", str(folder), *options)
    assert code == 2
    assert message in " ".join(output.split())


def test_an_unfinished_run_says_how_it_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.work").mkdir()
    Path("x.work", "training.json").write_text("{}")
    code, output = invoke("train", str(folder), "--out", "x", "--backbone", "small-cnn")
    assert code == 2
    assert "continue it with --resume x instead of --out, or start anew with --overwrite" in " ".join(
        output.split()
    )


@pytest.mark.parametrize("n_levels", [1, 3])
def test_a_head_of_several_depths_stays_as_it_was_fitted(folder: Path, tmp_path: Path, n_levels: int) -> None:
    model = pretrained(n_levels=n_levels).fit(folder)
    assert model.head_.chosen.n_levels == len(model.fitted_.backbone.levels) == n_levels
    model.save(tmp_path / "model.onnx")
    manifest = read_model_file(tmp_path / "model.onnx").manifest
    assert manifest["depths"] == ["blocks.5.3", "blocks.6", "trained"][3 - n_levels :]
    photo = read_dataset(folder).paths[0]
    assert explain(tmp_path / "model.onnx", photo, method="cam").method == "cam"
    before = pretrained(replace(TOP, lr=1e-9), n_levels=n_levels)
    np.testing.assert_array_equal(model.head_.weight, before.fit(folder).head_.weight)
    assert model.fitted_.parameters["trained"] > model.head_.weight.size


def test_without_torch_one_line_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "x")
    script = (
        "import sys, importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a)\n"
        f"sys.argv = ['rehead', 'train', {str(folder)!r}, '--out', {out!r}, '--train', 'all']\n"
        "from rehead.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rehead[torch]'" in done.stderr
    assert done.stderr.count("\n") == 1
