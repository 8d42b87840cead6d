"""What is frozen is run once, and nobody can tell from the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

from rehead.finetune import fit, work_dir  # noqa: E402
from rehead.finetune.classification_module import ClassificationTask  # noqa: E402
from rehead.finetune.config import FineTuneConfig  # noqa: E402
from rehead.finetune.frozen_prefix import find_frozen_prefix  # noqa: E402
from rehead.finetune.model import Network, build  # noqa: E402
from rehead.finetune.trainable import set_trainable  # noqa: E402
from rehead.images import PreprocessSpec  # noqa: E402

OPTIONS = FineTuneConfig(train="top:2", epochs=2, patience=0, batch_size=4, augment="none", lr=1e-3)


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def photos(tmp_path: Path) -> ClassificationTask:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{n}.png" for n in range(12)]
    for n, path in enumerate(paths):
        level = 60 + 120 * (n % 2)
        Image.fromarray(rng.integers(level, level + 60, (40, 40, 3), np.uint8)).save(path)
    return ClassificationTask(paths, np.arange(12) % 2, np.arange(12) >= 8)


@pytest.mark.parametrize(
    ("name", "size", "trained"),
    [
        ("mobilenet_v2", 64, "top:4"),
        ("efficientnet_lite0", 64, "from:blocks.4"),
        ("resnet50", 64, "from:layer4"),
        ("vgg16", 32, "top:3"),
        ("test_convnext", None, "top:1"),
    ],
)
def test_networks_go_on_from_the_maps(name: str, size: int | None, trained: str) -> None:
    network = build(name, classes=2, size=size, weights="none")
    set_trainable(network, trained)
    prefix = find_frozen_prefix(network)
    assert prefix is not None
    side = network.preprocess.size
    network.eval()
    photo = torch.rand(3, 3, side, side)
    with torch.no_grad():
        expected = network(photo)
        maps = prefix.maps(photo)
        assert tuple(maps.shape[1:]) == prefix.shape
        with prefix.bypassed():
            torch.testing.assert_close(network(maps), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(photo), expected)
    state = build(name, classes=2, size=size, weights="none").state_dict()
    assert list(network.state_dict()) == list(state)


def test_where_all_is_trained_there_is_no_prefix() -> None:
    network = build("mobilenet_v2", classes=2, size=32, weights="none")
    set_trainable(network, "all")
    assert find_frozen_prefix(network) is None


class _Skips(nn.Module):  # type: ignore[misc]
    """Its last layer sees the photo as well, so it is no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, photos: Any) -> Any:
        return self.two(self.one(photos)) + photos


def test_a_network_that_is_no_chain_is_run_whole() -> None:
    spec = PreprocessSpec(16, (0, 0, 0), (255, 255, 255))
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Network("skips", _Skips(), neck, nn.Linear(3, 2), preprocess=spec, record={})
    set_trainable(network, "top:1")
    assert network.frozen
    assert find_frozen_prefix(network) is None


def test_a_transformer_which_adds_a_token_is_run_whole() -> None:
    network = build("test_vit", classes=2, weights="none")
    set_trainable(network, "top:1")
    assert find_frozen_prefix(network) is None


def trained(
    photos: ClassificationTask, work: Path, options: FineTuneConfig
) -> tuple[Network, fit.TrainingResult]:
    network = fit.new_network("mobilenet_v2", options, classes=2, size=96, weights="none", seed=0)
    done = fit.train_network(network, photos, options, work=work, identity={}, pretrained=True)
    return network, done


def test_training_ends_with_the_numbers_of_a_training_without_it(
    photos: ClassificationTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(OPTIONS, optimizer="sgd", lr=1e-3)  # Adam's first steps make much of the least rounding
    network, quick = trained(photos, tmp_path / "quick", plain)
    assert (tmp_path / "quick" / "maps.npy").is_file()
    monkeypatch.setattr(work_dir, "find_frozen_prefix", lambda network: None)
    other, slow = trained(photos, tmp_path / "slow", plain)
    assert not (tmp_path / "slow" / "maps.npy").exists()
    for one, two in zip(quick.curves, slow.curves, strict=True):
        assert one.train_loss == pytest.approx(two.train_loss, abs=1e-4)
        assert one.val_loss == pytest.approx(two.val_loss, abs=1e-4)
    state = other.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-4)


def test_views_are_kept_no_more_than_epochs_and_zero_means_fresh_ones(
    photos: ClassificationTask, tmp_path: Path
) -> None:
    trained(photos, tmp_path / "kept", replace(OPTIONS, augment="light", cached_views=4))
    assert np.load(tmp_path / "kept" / "maps.npy", mmap_mode="r").shape[:2] == (1 + OPTIONS.epochs, 12)
    trained(photos, tmp_path / "fresh", replace(OPTIONS, augment="light", cached_views=0))
    assert not (tmp_path / "fresh" / "maps.npy").exists()


def test_a_disk_is_not_filled(
    photos: ClassificationTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_dir, "_MAX_CACHE", 1000)
    trained(photos, tmp_path / "work", OPTIONS)
    assert not (tmp_path / "work" / "maps.npy").exists()
