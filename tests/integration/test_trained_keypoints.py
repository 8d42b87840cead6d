"""Keypoints by a fine-tuned network: small ones, on drawn dots and faces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from rehead import load_keypoints  # noqa: E402
from rehead.cli import app  # noqa: E402
from rehead.core.preprocess import PreprocessSpec  # noqa: E402
from rehead.core.runtime import open_session  # noqa: E402
from rehead.errors import DataError, OutputError, ReheadError, TrainingError, UnknownNameError  # noqa: E402
from rehead.finetune.config import KeypointFineTuneConfig  # noqa: E402
from rehead.finetune.fit import train_network  # noqa: E402
from rehead.finetune.keypoint_model import KeypointNetwork, export_network, keypoint_network  # noqa: E402
from rehead.finetune.keypoint_module import KeypointTask, predict_all  # noqa: E402
from rehead.finetune.keypoints import FineTunedKeypoints  # noqa: E402
from rehead.keypoints import read_annotations  # noqa: E402
from rehead.keypoints.alignment import JitterStd  # noqa: E402
from rehead.workflows.keypoint_evaluation import evaluate_keypoint_model  # noqa: E402
from rehead.workflows.keypoints import train_keypoints  # noqa: E402

WHOLE = np.broadcast_to(np.array([[1.0, 0, 0], [0, 1, 0]]), (80, 2, 3)).copy()
QUICK = KeypointFineTuneConfig(head="conv", epochs=2, batch_size=8, side=32, keep="always")


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, each: int = 2, seed: int = 0) -> Path: ...


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> KeypointTask:
    """80 grey photos with a red and a blue dot, and where these are; a fifth is held out."""
    folder = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)
    points = rng.uniform(0.2, 0.8, (80, 2, 2))
    y, x = (np.mgrid[:32, :32] + 0.5) / 32
    photos = np.full((80, 32, 32, 3), 90.0)
    for channel, k in ((0, 0), (2, 1)):
        away = (x - points[:, k, 0, None, None]) ** 2 + (y - points[:, k, 1, None, None]) ** 2
        photos[..., channel] += 160 * np.exp(-away / 0.004)
    paths = [folder / f"{n}.png" for n in range(80)]
    for path, photo in zip(paths, photos.round().astype(np.uint8), strict=True):
        Image.fromarray(photo).save(path)
    points[:5, 1] = np.nan  # what is missing is neither trained nor evaluated on
    plain = PreprocessSpec(32, (0, 0, 0), (255, 255, 255))
    return KeypointTask(
        paths, points, WHOLE, WHOLE, JitterStd(0.05, 0.05, 0.02), None, np.arange(80) % 5 == 0, plain
    )


def small(head: str = "conv") -> KeypointNetwork:
    network = keypoint_network("small-cnn", np.full((2, 2), 0.5), size=32, head=head)
    network._mean.fill_(90)  # of the dots' photos: else the ground is all that a random network sees
    network._std.fill_(40)
    return network


def learnt(photos: KeypointTask, work: Path, options: KeypointFineTuneConfig, **more: Any) -> Any:
    model = small(options.head)
    return model, train_network(model, photos, options, work=work, identity={}, pretrained=False, **more)


@pytest.mark.parametrize(("head", "epochs", "error"), [("conv", 6, 0.115), ("heatmap", 3, 0.08)])
def test_a_network_learns_where_dots_are(
    dots: KeypointTask, tmp_path: Path, head: Literal["conv", "heatmap"], epochs: int, error: float
) -> None:
    options = KeypointFineTuneConfig(
        head=head, epochs=epochs, patience=0, lr=1e-3, layer_decay=1.0, batch_size=4, ema=0.8
    )
    model, trained = learnt(dots, tmp_path / "a", options)
    # the mean place is off by 0.14; points that are missing are in neither number
    assert min(epoch.val_error for epoch in trained.curves) < error
    answers = predict_all(model, dots, tmp_path / "a" / "photos.npy")
    target = dots.points[dots.validation]
    best = trained.val_outputs[trained.best_epoch - 1]
    np.testing.assert_allclose(answers[dots.validation, :4], best.reshape(-1, 4), atol=1e-5)
    assert np.nanmean(np.abs(best - target)) == pytest.approx(
        trained.curves[trained.best_epoch - 1].val_error, rel=1e-5
    )


def test_the_exported_network_answers_as_torch_does(dots: KeypointTask, tmp_path: Path) -> None:
    for head in ("conv", "heatmap"):
        model = keypoint_network("small-cnn", np.full((2, 2), 0.5), size=32, head=head).eval()
        pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        (found,) = open_session(export_network(model), threads=1).run(None, {"image": pixels})
        with torch.inference_mode():
            photos = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
            expected = model(model.normalised(photos)).flatten(1).numpy()
        np.testing.assert_allclose(found[:, :4], expected, atol=1e-4)


def test_the_points_go_along_with_the_crops(dots: KeypointTask) -> None:
    """The red dot is where the transformed point says, in jittered and in mirrored crops."""
    from rehead.finetune.keypoint_module import _Crops

    photos = replace(dots, flip_idx=(1, 0), jitter_std=JitterStd(0.15, 0.3, 0.05))
    array = np.stack([np.asarray(Image.open(path)) for path in dots.paths])
    rows = list(range(5, 60))
    for augment in ("none", "light", "default", "strong"):
        data = _Crops(Path("none"), photos, 32, augment, 0)
        data.__dict__["array"] = array
        crops, target = data[0, rows]
        assert crops.dtype == torch.uint8
        red = crops[:, 0].float() - crops[:, 1].float()
        blue = crops[:, 2].float() - crops[:, 1].float()
        for n in range(len(rows)):
            peaks = [np.unravel_index(int(c[n].argmax()), (32, 32)) for c in (red, blue)]
            seen = (np.array([p[::-1] for p in peaks]) + 0.5) / 32
            inside = ((target[n] > 0.05) & (target[n] < 0.95)).all(dim=1).numpy()
            # mirrored, the partner's dot is at the point's place
            away = min(np.abs(seen - target[n].numpy())[inside].max(initial=0) for seen in (seen, seen[::-1]))
            assert away < 0.06, augment
        if augment != "none":
            same = data[0, rows][0]
            assert torch.equal(same, crops)
            assert not torch.equal(data[1, rows][0], crops)


def test_a_frozen_trunk_is_run_once_for_each_crop(dots: KeypointTask, tmp_path: Path) -> None:
    options = KeypointFineTuneConfig(
        head="conv", train="frozen", epochs=3, cached_views=2, lr=1e-3, batch_size=8
    )
    model, trained = learnt(dots, tmp_path / "work", options)
    maps = np.load(tmp_path / "work" / "maps.npy")
    assert maps.shape[:2] == (3, 80)
    before = small().trunk.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.trunk.state_dict().items())
    answers = predict_all(model, dots, tmp_path / "work" / "photos.npy")
    best = trained.val_outputs[trained.best_epoch - 1].reshape(-1, 4)
    np.testing.assert_allclose(answers[dots.validation, :4], best, atol=1e-4)


def test_it_stops_early_and_keeps_the_best(dots: KeypointTask, tmp_path: Path) -> None:
    options = KeypointFineTuneConfig(head="conv", epochs=9, patience=1, lr=0.3, schedule="constant", ema=0.0)
    _, trained = learnt(dots, tmp_path / "work", options)
    assert len(trained.curves) < 9
    assert trained.best_epoch == len(trained.curves) - 1
    assert trained.logs["curves.csv"].decode().splitlines()[0].endswith("train_error,val_error")
    assert any(name.startswith("events") for name in trained.logs)


_KILLED = """
import sys, pickle, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import test_trained_keypoints as t
def progress(done, total):
    print(done, flush=True)
    time.sleep(0.05)
photos = pickle.loads(Path({photos!r}).read_bytes())
t.learnt(photos, Path({work!r}), t.LONG, seed=2, progress=progress)
"""
LONG = replace(QUICK, epochs=4, patience=0)


@pytest.mark.slow
def test_killed_it_continues_to_the_same_end(dots: KeypointTask, tmp_path: Path) -> None:
    import pickle

    (tmp_path / "photos").write_bytes(pickle.dumps(dots))
    work, tests = tmp_path / "work", str(Path(__file__).parent)
    script = _KILLED.format(tests=tests, photos=str(tmp_path / "photos"), work=str(work))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) > 2 * 64:  # in the third epoch
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(OutputError, match="continue it with --resume"):
        learnt(dots, work, LONG, seed=2)
    killed, continued = learnt(dots, work, LONG, seed=2, resume=True)
    whole, never = learnt(dots, tmp_path / "never", LONG, seed=2)
    assert continued.epochs_resumed == 2
    np.testing.assert_array_equal(continued.val_outputs, never.val_outputs)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, killed.state_dict()[name]), name


def trained(tiny_onnx: Path, **options: Any) -> FineTunedKeypoints:
    plain = {"config": QUICK, "closed_form": tiny_onnx}
    return FineTunedKeypoints("small-cnn", **{**plain, **options})


@pytest.mark.parametrize("cascade", [True, False])
def test_from_photos_to_a_model_file(
    tmp_path: Path, drawn_faces: DrawnFaces, tiny_onnx: Path, cascade: bool
) -> None:
    source, fresh = drawn_faces(tmp_path / "a", 15), drawn_faces(tmp_path / "b", 6, seed=1)
    regressor = trained(tiny_onnx, cascade=cascade)
    run = train_keypoints(source, tmp_path / "run", regressor=regressor)
    told = run.training
    assert run.evaluation.photos == told["validation"]["photos"] == 6
    assert run.evaluation.people == 3
    record = json.loads((tmp_path / "run/metrics.json").read_text("utf-8"))
    assert record["training"]["kept"] == "network"
    assert len(record["training"]["curves"]) == 2
    names = {path.name for path in (tmp_path / "run/logs").iterdir()}
    assert "curves.csv" in names and any(name.startswith("events") for name in names)
    assert "Training curves" in (tmp_path / "run/report.html").read_text("utf-8")
    model = load_keypoints(tmp_path / "run/model.onnx")
    assert model.manifest["protocol"] == 2
    assert model.manifest["network"]["head"] == "conv"
    judged = np.flatnonzero(~np.isnan(regressor.held_out_[:, 0, 0]))
    rows = read_annotations(source)
    assert not set(rows.groups[judged]) & set(np.delete(rows.groups, judged))
    answers = model.predict([str(rows.paths[n]) for n in judged])
    for answer, n in zip(answers, judged, strict=True):
        assert (np.linalg.eigvalsh(answer.covariance) > 0).all()
        if not cascade:  # with two stages, the folds' first stage is not the model's
            np.testing.assert_allclose(answer.points, regressor.held_out_[n], atol=1.5)
    assert evaluate_keypoint_model(model, fresh).evaluation.photos == 12


def test_the_closed_form_stays_where_it_is_better(
    tmp_path: Path, drawn_faces: DrawnFaces, tiny_onnx: Path
) -> None:
    options = replace(QUICK, epochs=1, lr=1e-9)
    regressor = trained(tiny_onnx, config=replace(options, keep="better")).fit(drawn_faces(tmp_path, 15))
    told = regressor.training_
    assert told["kept"] == "closed form"
    assert told["validation"]["difference"]["value"] > 0
    assert "did not beat the closed form" in told["sentence"]
    assert "the closed form is kept" in told["sentence"]
    assert not np.isnan(regressor.held_out_).any()


def test_a_run_is_resumed_on_the_same_photos_and_refused_on_others(
    tmp_path: Path, drawn_faces: DrawnFaces, tiny_onnx: Path
) -> None:
    source, work = drawn_faces(tmp_path / "a", 12), tmp_path / "work"
    one = trained(tiny_onnx, config=replace(QUICK, epochs=1), work=work).fit(source)
    with pytest.raises(OutputError, match="continue it with --resume"):
        clone(one).fit(source)
    longer = clone(one).set_params(config=QUICK, resume=True).fit(source)
    assert longer.training_["epochs_resumed"] == 1
    assert longer.training_["curves"][0] == one.training_["curves"][0]
    with pytest.raises(DataError, match="holds the training of something else"):
        clone(longer).fit(drawn_faces(tmp_path / "b", 12, seed=1))


def test_what_cannot_be_trained_is_said(tiny_onnx: Path, tmp_path: Path, drawn_faces: DrawnFaces) -> None:
    source = drawn_faces(tmp_path, 8)
    with pytest.raises(UnknownNameError, match="did you mean 'heatmap'"):
        keypoint_network("small-cnn", np.full((2, 2), 0.5), head="heatmaps")
    for changes in ({"loss": "l3"}, {"augment": "flip-rotate"}, {"keep": "best"}):
        with pytest.raises(UnknownNameError, match=f"unknown {next(iter(changes))} "):
            KeypointFineTuneConfig(**changes)  # type: ignore[arg-type]
    wrong: list[tuple[type[ReheadError], str, dict[str, Any]]] = [
        (UnknownNameError, "layer of small-cnn", {"config": replace(QUICK, train="from:layer4")}),
        (DataError, "has to be trained", {"config": replace(QUICK, train="frozen")}),
        (TrainingError, "the loss is not a number", {"config": replace(QUICK, lr=1e20, grad_clip=0.0)}),
    ]
    for kind, message, options in wrong:
        with pytest.raises(kind, match=message):
            trained(tiny_onnx, **options).fit(source)
    for head in ("conv", "heatmap"):
        with pytest.raises(DataError, match="vit_tiny_patch16_224 has no spatial feature maps"):
            keypoint_network("vit_tiny_patch16_224", np.full((2, 2), 0.5), weights="none", head=head)
    with pytest.raises(DataError, match="an ONNX file cannot be trained"):
        FineTunedKeypoints(str(tiny_onnx)).fit(source)


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], terminal_width=200)
    if isinstance(result.exception, ReheadError):
        return 2, str(result.exception)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def test_options_that_do_not_go_together(tmp_path: Path, drawn_faces: DrawnFaces) -> None:
    source, out = drawn_faces(tmp_path, 4), tmp_path / "run"
    for options, message in (
        (["--out", out, "--epochs", 3], "needs --head conv"),
        (["--out", out, "--train", "scratch"], "needs --head conv"),
        (["--out", out, "--head", "conv", "--epochs", 0], "Invalid value for '--epochs'"),
        (["--out", out, "--head", "convolution"], "Invalid value for '--head'"),
        (["--head", "conv"], "run directory"),
        (["--head", "conv", "--resume", out], "no training to continue"),
        (["--out", out, "--head", "conv", "--train", "from:nowhere"], "unknown layer of efficientnet_lite0"),
        (["--out", out, "--head", "conv", "--train", "top:99"], "blocks; give top:"),
    ):
        code, told = invoke("keypoints", "train", source, *options)
        assert (code, message in told) == (2, True), told
    assert not out.exists() and not (tmp_path / "run.work").exists()


def test_without_torch_one_line_says_what_to_install(tmp_path: Path, drawn_faces: DrawnFaces) -> None:
    arguments = ["rehead", "keypoints", "train", str(drawn_faces(tmp_path, 4)), "--head", "conv"]
    script = (
        "import sys, importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a)\n"
        f"sys.argv = {[*arguments, '--out', str(tmp_path / 'x')]!r}\n"
        "from rehead.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rehead[torch]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_train_from_the_command_line(tmp_path: Path, drawn_faces: DrawnFaces) -> None:
    out = tmp_path / "run"
    code, told = invoke(
        "keypoints", "train", drawn_faces(tmp_path / "a", 10), "--out", out, "--backbone", "small-cnn",
        "--head", "heatmap", "--side", 32, "--size", 64, "--epochs", 2, "--batch-size", 8, "--keep", "always",
        "--loss", "l2",
    )  # fmt: skip
    assert code == 0
    assert "the trained network" in told and "the network is kept" in told
    assert not out.with_name("run.work").exists()
    record = json.loads((out / "metrics.json").read_text("utf-8"))["training"]
    assert (record["options"]["loss"], record["options"]["head"], record["network"]) == (
        "l2",
        "heatmap",
        "small-cnn",
    )
    code, told = invoke("keypoints", "predict", out / "model.onnx", next((tmp_path / "a").glob("*.png")))
    assert code == 0


def test_a_recipe_runs_and_options_given_besides_override_it(tmp_path: Path, drawn_faces: DrawnFaces) -> None:
    out = tmp_path / "run"
    more = ["--backbone", "small-cnn", "--train", "all", "--side", 32, "--size", 64, "--epochs", 1]
    source = drawn_faces(tmp_path / "a", 8)
    code, _ = invoke("keypoints", "train", source, "--recipe", "keypoints-vgg16", "--out", out, *more)
    assert code == 0
    options = json.loads((out / "metrics.json").read_text("utf-8"))["training"]["options"]
    assert (options["head"], options["epochs"], options["optimizer"]) == ("conv", 1, "adam")
    assert options["bn_stats"] == "batch"
    code, told = invoke("keypoints", "train", source, "--recipe", "gender-vgg16", "--out", tmp_path / "b")
    assert (code, "for another command: rehead train PHOTOS" in told) == (2, True)
