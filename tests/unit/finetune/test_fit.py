"""The training loop on tiny networks: what it learns, keeps, refuses and continues."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from torch import nn  # noqa: E402

from rehead.core.preprocess import PreprocessSpec  # noqa: E402
from rehead.data import read_dataset  # noqa: E402
from rehead.errors import DataError, OutputError, TrainingError, UnknownNameError  # noqa: E402
from rehead.finetune import checkpoint, fit  # noqa: E402
from rehead.finetune.classification_module import ClassificationModule, ClassificationTask  # noqa: E402
from rehead.finetune.config import FineTuneConfig  # noqa: E402
from rehead.finetune.data import Photos, batches, decode  # noqa: E402
from rehead.finetune.model import Network  # noqa: E402

IDENTITY = {"network": "tiny", "labels": ["a", "b"], "split": "1"}
QUICK = FineTuneConfig(train="all", epochs=2, patience=0, batch_size=8, augment="none", lr=0.01)


def tiny() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _tiny()


def _tiny() -> Network:
    trunk = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
    )
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))
    return Network(
        "tiny",
        trunk,
        neck,
        nn.Linear(8, 2),
        preprocess=PreprocessSpec(size=24, mean=(128, 128, 128), std=(64, 64, 64)),
        record={"name": "tiny", "sha256": "random", "licences": {}},
    )


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def photos(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> ClassificationTask:
    dataset = read_dataset(photo_folder(tmp_path_factory.mktemp("photos"), {"a": 14, "b": 14}))
    target = np.unique(dataset.labels, return_inverse=True)[1]
    return ClassificationTask(dataset.paths, target, np.arange(len(target)) % 4 == 0)


@pytest.fixture
def train(photos: ClassificationTask, tmp_path: Path) -> Callable[..., tuple[Network, fit.TrainingResult]]:
    def run(
        options: FineTuneConfig = QUICK, work: str = "work", **more: Any
    ) -> tuple[Network, fit.TrainingResult]:
        network = tiny()
        arguments = {"identity": IDENTITY, "pretrained": False, **more}
        return network, fit.train_network(network, photos, options, work=tmp_path / work, **arguments)

    return run


def numbers(trained: fit.TrainingResult) -> list[tuple[float, ...]]:
    return [tuple(v for k, v in asdict(e).items() if k != "seconds") for e in trained.curves]


def test_it_learns_classes_that_differ_in_colour(train: Any) -> None:
    network, trained = train(replace(QUICK, epochs=12))
    assert trained.curves[-1].val_loss < 0.5 * trained.curves[0].val_loss
    assert trained.curves[trained.best_epoch - 1].val_accuracy == 1.0
    assert not network.training


def test_the_best_epochs_weights_are_left(train: Any, photos: ClassificationTask, tmp_path: Path) -> None:
    # at a rate this high the loss goes up and down, so the best epoch is not always the last
    network, trained = train(replace(QUICK, epochs=6, lr=0.3, schedule="constant"))
    best = min(trained.curves, key=lambda epoch: epoch.val_calibrated)
    assert trained.best_epoch == best.epoch
    pixels = torch.from_numpy(
        np.load(tmp_path / "work" / "photos.npy")[photos.validation].transpose(0, 3, 1, 2)
    )
    with torch.no_grad():
        logits = network(network.normalised(pixels))
    truth = torch.from_numpy(photos.target[photos.validation])
    assert nn.functional.cross_entropy(logits, truth).item() == pytest.approx(best.val_loss, abs=1e-4)


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(train: Any) -> None:
    options = replace(QUICK, augment="default", mixup=0.4)
    (_, one), (_, two), (_, other) = (train(options, str(n), seed=s) for n, s in enumerate((3, 3, 4)))
    assert numbers(one) == numbers(two) != numbers(other)


@pytest.mark.parametrize(
    ("choice", "pretrained", "kept"),
    [("auto", True, True), ("auto", False, False), ("batch", True, False), ("frozen", False, True)],
)
def test_a_pretrained_network_keeps_its_statistics_by_default(
    train: Any, choice: Any, pretrained: bool, kept: bool
) -> None:
    options = replace(QUICK, epochs=1, bn_stats=choice)
    network, _ = train(options, pretrained=pretrained)
    norms = [m for m in network.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all((int(norm.num_batches_tracked) == 0) is kept for norm in norms)


def test_the_kept_weights_are_averaged_and_the_trained_ones_are_not(train: Any, tmp_path: Path) -> None:
    averaged, _ = train(replace(QUICK, epochs=1, ema=0.9), "averaged")
    plain, _ = train(replace(QUICK, epochs=1, ema=0.0), "plain")
    start = tiny().state_dict()
    states = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("averaged", "plain")
    ]
    for name, value in plain.state_dict().items():
        trained = states[0][f"network.{name}"]
        assert torch.equal(trained, states[1][f"network.{name}"]), name  # averaging does not change training
        assert torch.equal(trained, value), name
    moved = (plain.linear.weight - start["linear.weight"]).abs().sum()
    behind = (averaged.linear.weight - start["linear.weight"]).abs().sum()
    assert 0 < behind < moved


def test_early_stopping_waits_for_so_many_epochs(train: Any) -> None:
    options = replace(QUICK, epochs=30, patience=2, lr=1e-12, schedule="constant", warmup=0)
    _, trained = train(options)
    assert len(trained.curves) == trained.best_epoch + 2


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_every_optimizer_moves_the_weights(train: Any, optimizer: Any) -> None:
    network, trained = train(replace(QUICK, epochs=1, optimizer=optimizer, label_smoothing=0.1))
    assert np.isfinite(trained.curves[0].train_loss)
    assert not torch.equal(network.trunk[0][0].weight, tiny().trunk[0][0].weight)


def test_the_rate_warms_up_and_falls_as_a_cosine(train: Any) -> None:
    _, trained = train(replace(QUICK, epochs=8, warmup=0.25, layer_decay=1.0))
    rates = [epoch.rate for epoch in trained.curves]
    assert rates[1] == max(rates) == pytest.approx(0.01, rel=0.01)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.001


def test_a_frozen_trunk_is_run_once_and_left_alone(train: Any, tmp_path: Path) -> None:
    network, trained = train(replace(QUICK, train="frozen", augment="light", cached_views=2))
    maps = np.load(tmp_path / "work" / "maps.npy")
    assert maps.shape == (3, 28, 8, 6, 6)
    assert not np.array_equal(maps[0], maps[1])
    before = tiny()
    for name, value in network.trunk.state_dict().items():
        assert torch.equal(value, before.trunk.state_dict()[name]), name
    assert not torch.equal(network.linear.weight, before.linear.weight)
    assert len(trained.curves) == 2


def test_top_blocks_are_trained_and_the_rest_keeps_weights_and_statistics(train: Any) -> None:
    network, _ = train(replace(QUICK, train="top:1"))
    before, after = tiny().trunk.state_dict(), network.trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("0."))
    assert all(not torch.equal(before[name], after[name]) for name in before if name.startswith("1."))


def test_balanced_classes_weigh_the_same(photos: ClassificationTask, tmp_path: Path) -> None:
    few = np.flatnonzero((photos.target == 0) | (np.arange(28) % 7 == 0))
    lopsided = ClassificationTask(
        [photos.paths[n] for n in few.tolist()], photos.target[few], photos.validation[few], True
    )
    module = ClassificationModule(tiny(), lopsided, QUICK, tmp_path / "none", 0, False, False)
    counts = np.bincount(lopsided.target)
    np.testing.assert_allclose(module.class_weight.numpy() * counts, len(few) / 2)


def test_ctrl_c_is_what_it_is_elsewhere_and_the_training_goes_on(train: Any) -> None:
    def in_the_second_epoch(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(progress=in_the_second_epoch)
    assert signal.getsignal(signal.SIGINT) is handler
    _, continued = train(resume=True)
    assert (continued.epochs_resumed, len(continued.curves)) == (1, 2)


def test_logs_hold_a_row_an_epoch(train: Any) -> None:
    _, trained = train()
    rows = trained.logs["curves.csv"].decode().splitlines()
    assert rows[0] == "epoch,train_loss,val_loss,rate,seconds,train_accuracy,val_accuracy,val_calibrated"
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2"]
    assert any(name.startswith("events") for name in trained.logs)


def test_nothing_global_is_left_changed_and_nothing_is_printed(train: Any, capfd: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    levels = {n: logging.getLogger(n).level for n in ("lightning.pytorch", "lightning.fabric")}
    filters = list(warnings.filters)
    train(seed=9)
    assert torch.equal(torch.rand(3), expected)
    assert {n: logging.getLogger(n).level for n in levels} == levels
    assert list(warnings.filters) == filters
    assert capfd.readouterr() == ("", "")


def test_progress_counts_the_photos_of_all_epochs(train: Any) -> None:
    calls: list[tuple[int, int]] = []
    train(progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (42, 42)
    assert calls == sorted(calls)


# interpolated weights


def test_interpolated_weights_are_kept_where_they_are_better(
    train: Any, photos: ClassificationTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(QUICK, epochs=3, train="top:1", lr=0.05)
    plain, own = train(replace(options, interpolate=False), "plain", pretrained=True)
    assert (own.alpha, len(own.val_outputs)) == (1, 3)
    # metrics of three epochs, and then of the interpolations, of which that at 0.5 is the best
    values = iter([None, None, None, 0.3, 0.0, 0.2])
    real = ClassificationModule.val_metrics

    def val_metrics(self: ClassificationModule, outputs: Any) -> dict[str, float]:
        metrics, value = real(self, outputs), next(values)
        return metrics if value is None else {**metrics, "val_calibrated": value}

    monkeypatch.setattr(ClassificationModule, "val_metrics", val_metrics)
    network, trained = train(options, "interpolated", pretrained=True)
    assert numbers(trained) == numbers(own)
    assert (trained.alpha, trained.val_outputs.shape) == (0.5, (6, 7, 2))
    np.testing.assert_array_equal(trained.val_outputs[:3], own.val_outputs)
    before, after = tiny().state_dict(), plain.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(
            value, before[name].lerp(after[name], 0.5) if value.is_floating_point() else after[name]
        )
    # the recorded outputs are those of the network
    rows = np.load(trained.work / "photos.npy")[photos.validation].transpose(0, 3, 1, 2)
    with torch.no_grad():
        logits = network(network.normalised(torch.from_numpy(rows.copy())))
    np.testing.assert_allclose(trained.val_outputs[4], logits, atol=1e-5)


def test_a_head_alone_and_a_random_start_have_no_interpolation(train: Any) -> None:
    for name, options, pretrained in (
        ("head", replace(QUICK, train="frozen"), True),
        ("random", QUICK, False),
    ):
        _, trained = train(options, name, pretrained=pretrained)
        assert (trained.alpha, len(trained.val_outputs)) == (1, 2)


# the refit on all photos


@pytest.fixture
def refit(train: Any, photos: ClassificationTask, tmp_path: Path) -> Callable[..., Any]:
    everyone = replace(photos, validation=np.zeros(28, bool))

    def run(
        first: fit.TrainingResult, options: FineTuneConfig, **more: Any
    ) -> tuple[Network, fit.TrainingResult]:
        network = tiny()
        arguments = {"identity": IDENTITY, "pretrained": False, **more}
        work = first.work / fit.ALL
        return network, fit.train_network(network, everyone, options, work=work, refit_of=first, **arguments)

    return run


def test_a_refit_learns_from_all_photos_up_to_the_best_epoch(train: Any, refit: Any) -> None:
    options = replace(QUICK, epochs=6, lr=0.3, patience=2)
    _, first = train(options)
    first = replace(first, best_epoch=3)
    calls: list[tuple[int, int]] = []
    network, trained = refit(first, options, progress=lambda *count: calls.append(count))
    assert [epoch.epoch for epoch in trained.curves] == list(range(1, first.best_epoch + 1))
    assert trained.best_epoch == first.best_epoch
    assert calls[-1] == (28 * first.best_epoch, 28 * first.best_epoch)
    assert not (trained.work / "photos.npy").exists()  # it learns from those of the first
    # where the first stood in its schedule: the last of 3 and of 4 steps an epoch, of 18 and of 24
    assert trained.curves[-1].rate == pytest.approx(first.curves[first.best_epoch - 1].rate, rel=0.05)
    assert np.isnan([epoch.val_loss for epoch in trained.curves]).all()
    assert not network.training


def test_a_refit_sees_the_validation_photos(photos: ClassificationTask, tmp_path: Path) -> None:
    # whether their classes make a difference
    options, found = replace(QUICK, epochs=1), []
    for name, target in (
        ("right", photos.target),
        ("wrong", np.where(photos.validation, 1 - photos.target, photos.target)),
    ):
        one, two = tiny(), tiny()
        those = replace(photos, target=target)
        more: dict[str, Any] = {"identity": IDENTITY, "pretrained": False}
        first = fit.train_network(one, those, options, work=tmp_path / name, **more)
        everyone = replace(those, validation=np.zeros(28, bool))
        fit.train_network(two, everyone, options, work=tmp_path / name / fit.ALL, refit_of=first, **more)
        found.append((one.linear.weight, two.linear.weight))
    (one, two), (other, changed) = found
    assert torch.equal(one, other)
    assert not torch.equal(two, changed)


def test_a_refit_takes_the_alpha_of_the_first_training(train: Any, refit: Any) -> None:
    options = replace(QUICK, train="top:1", lr=0.05)
    _, first = train(options, pretrained=True)
    halfway, result = refit(replace(first, best_epoch=2, alpha=0.5), options, pretrained=True)
    shutil.rmtree(first.work / fit.ALL)
    whole, _ = refit(replace(first, best_epoch=2, alpha=1.0), options, pretrained=True)
    assert result.alpha == 0.5
    start = tiny().linear.weight
    torch.testing.assert_close(halfway.linear.weight, start.lerp(whole.linear.weight, 0.5))


def test_a_killed_refit_resumes_to_the_same_end(train: Any, refit: Any) -> None:
    options = replace(QUICK, epochs=3, augment="default")
    _, first = train(options)
    first = replace(first, best_epoch=3)

    def in_the_second_epoch(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refit(first, options, progress=in_the_second_epoch)
    killed, continued = refit(first, options, resume=True)
    assert (continued.epochs_resumed, len(continued.curves)) == (1, 3)
    _, other = train(options, "other")
    whole, _ = refit(replace(other, best_epoch=3), options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, killed.state_dict()[name]), name
    # for another number of epochs it is begun anew
    _, shorter = refit(replace(first, best_epoch=2), options, resume=True)
    assert (shorter.epochs_resumed, len(shorter.curves)) == (0, 2)


def test_a_head_that_was_trained_first_is_refitted_too(train: Any, refit: Any) -> None:
    options = replace(QUICK, head="mlp:8", epochs=3, train="top:1")
    _, first = train(options, pretrained=True)
    assert first.head
    first = replace(first, head=replace(first.head, best_epoch=2), best_epoch=1)
    _, trained = refit(first, options, pretrained=True)
    assert (len(trained.head.curves), len(trained.curves)) == (2, 1)
    assert not list(trained.work.rglob("*.npy"))


# what cannot go on


def test_a_loss_that_is_not_a_number_says_what_to_do(train: Any) -> None:
    with pytest.raises(
        TrainingError, match=r"epoch 1: the loss is not a number; give a lower --lr than 1e\+30"
    ):
        train(replace(QUICK, lr=1e30, optimizer="sgd", grad_clip=0.0, warmup=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number, 1 or more"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"patience": -1}, "patience is -1"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0"),
        ({"mixup": -1.0}, "mixup is -1.0"),
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FineTuneConfig(**change)


def test_unknown_choices_say_what_was_meant() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'rmsprop'"):
        FineTuneConfig(optimizer="rmspro")  # type: ignore[arg-type]


def test_half_precision_on_a_processor_is_refused(train: Any) -> None:
    with pytest.raises(DataError, match="16-mixed needs a graphics processor"):
        train(replace(QUICK, accelerator="cpu", precision="16-mixed"))


def test_more_blocks_than_there_are_are_refused_before_anything_is_written(
    train: Any, tmp_path: Path
) -> None:
    with pytest.raises(DataError):
        train(replace(QUICK, train="top:9"))
    assert not (tmp_path / "work").exists()


# batches


def test_an_epoch_has_every_photo_once_and_no_batch_of_one(
    photos: ClassificationTask, tmp_path: Path
) -> None:
    decode(photos.paths[:13], tiny().preprocess, tmp_path / "photos.npy")
    rows = np.arange(13)
    loader = batches(Photos(tmp_path / "photos.npy", np.arange(13), "none", 0), rows, 4, shuffle=True)
    seen = [target.tolist() for _, target in loader]
    assert sorted(row for part in seen for row in part) == rows.tolist()
    assert [len(part) for part in seen] == [4, 4, 5]
    loader.sampler.set_epoch(1)
    assert [target.tolist() for _, target in loader] != seen


def test_two_processes_share_the_photos(photos: ClassificationTask, tmp_path: Path) -> None:
    decode(photos.paths[:12], tiny().preprocess, tmp_path / "photos.npy")
    data = Photos(tmp_path / "photos.npy", np.arange(12), "none", 0)
    parts = [
        {
            int(n)
            for _, target in batches(data, np.arange(12), 4, shuffle=True, shard=(rank, 2))
            for n in target
        }
        for rank in (0, 1)
    ]
    assert parts[0] | parts[1] == set(range(12))
    assert len(parts[0]) == len(parts[1]) == 6


@pytest.mark.parametrize(
    ("what", "pretrained", "preset"),
    [
        ("all", True, "strong"),
        ("top:1", True, "strong"),
        ("frozen", True, "default"),
        ("all", False, "default"),
    ],
)
def test_augmentation_is_strong_where_a_pretrained_network_is_trained(
    train: Any, what: str, pretrained: bool, preset: Literal["default", "strong"]
) -> None:
    options = replace(QUICK, epochs=1, train=what, augment="auto")
    _, trained = train(options, pretrained=pretrained)
    recorded = json.loads((trained.work / "training.json").read_text("utf-8"))["options"]["augment"]
    assert recorded == preset
    _, same = train(replace(options, augment=preset), "same", pretrained=pretrained)
    assert numbers(trained) == numbers(same)


def test_validation_photos_are_never_augmented(photos: ClassificationTask, tmp_path: Path) -> None:
    file = tmp_path / "photos.npy"
    decode(photos.paths[:6], tiny().preprocess, file)
    target, rows = np.zeros(6, np.intp), np.arange(6)
    plain, _ = next(iter(batches(Photos(file, target, "none", 0), rows, 6)))
    np.testing.assert_array_equal(plain.numpy().transpose(0, 2, 3, 1), np.load(file))
    changed, _ = next(iter(batches(Photos(file, target, "strong", 0), rows, 6)))
    assert not torch.equal(changed, plain)


# continuing


def test_a_training_is_not_overwritten_by_a_new_one(train: Any) -> None:
    train()
    with pytest.raises(
        OutputError, match="holds a training that was not finished; continue it with --resume"
    ):
        train()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"identity": {**IDENTITY, "network": "other"}}, "with network tiny, not with network other"),
        ({"identity": {**IDENTITY, "labels": ["a", "c"]}}, "other classes"),
        ({"identity": {**IDENTITY, "split": "2"}}, "other photos"),
        ({"options": replace(QUICK, lr=0.02)}, "with --lr 0.01, not with --lr 0.02"),
        ({"options": replace(QUICK, lr=None)}, "with --lr 0.01, not without --lr"),
        ({"identity": {**IDENTITY, "balanced": True}}, "without --balanced, not with --balanced"),
        ({"seed": 1}, "with --seed 0, not with --seed 1"),
    ],
)
def test_the_training_of_something_else_is_not_continued(
    train: Any, change: dict[str, Any], what: str
) -> None:
    train()
    with pytest.raises(DataError, match=f"holds the training of something else .{what}"):
        train(**change, resume=True)


def test_a_finished_training_is_taken_as_it_is(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, first = train()
    monkeypatch.setattr(pl.Trainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    two, second = train(resume=True)
    assert numbers(first) == numbers(second)
    assert torch.equal(one.linear.weight, two.linear.weight)


def test_a_training_can_be_continued_for_more_epochs(train: Any) -> None:
    _, first = train()
    _, second = train(replace(QUICK, epochs=4), resume=True)
    assert numbers(second)[:2] == numbers(first)
    assert [epoch.epoch for epoch in second.curves] == [1, 2, 3, 4]
    assert second.epochs_resumed == 2


def test_a_damaged_state_is_named(train: Any, tmp_path: Path) -> None:
    train()
    state = tmp_path / "work" / "last.ckpt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"last\.ckpt: not a state of a training by rehead"):
        train(resume=True)


_KILLED = """
import sys, time
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import test_fit as t
files, target, validation, resume = eval(Path({arguments!r}).read_text())
photos = t.ClassificationTask([Path(f) for f in files], np.array(target), np.array(validation))
def progress(done, total):
    print(done, flush=True)
    time.sleep(0.05)
t.fit.train_network(
    t.tiny(), photos, t.LONG, work=Path({work!r}), identity=t.IDENTITY, pretrained=False, seed=2,
    resume=resume, progress=progress,
)
"""
LONG = replace(QUICK, epochs=5, augment="default", mixup=0.2)


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_continues_to_the_same_end(
    train: Any, photos: ClassificationTask, tmp_path: Path
) -> None:
    work = tmp_path / "killed"
    arguments = tmp_path / "arguments"
    files = [str(path) for path in photos.paths]
    arguments.write_text(repr((files, photos.target.tolist(), photos.validation.tolist(), True)))
    script = _KILLED.format(tests=str(Path(__file__).parent), arguments=str(arguments), work=str(work))
    per_epoch = int((~photos.validation).sum())
    for whole in (0, 2):  # killed in the first epoch, before any state, and in the third
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) > whole * per_epoch:
                    os.kill(process.pid, signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
        assert (work / "last.ckpt").is_file() == (whole > 0)
        if whole:
            assert len(checkpoint.read_curves(work / "last.ckpt", ClassificationModule.metrics_type)) == whole
    killed, continued = train(LONG, "killed", seed=2, resume=True)
    whole_run, never_killed = train(LONG, "never", seed=2)
    assert continued.epochs_resumed == 2
    assert numbers(continued) == numbers(never_killed)
    for name, value in whole_run.state_dict().items():
        assert torch.equal(value, killed.state_dict()[name]), name
    assert sorted(path.name for path in work.glob("best-*.pt")) == [f"best-{continued.best_epoch}.pt"]
    record = json.loads((work / "training.json").read_text("utf-8"))
    assert record["split"] == IDENTITY["split"]
