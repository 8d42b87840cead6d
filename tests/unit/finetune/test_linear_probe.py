"""A last layer on several feature levels of a network that is fine-tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from rehead.backbones.backbone import load_backbone  # noqa: E402
from rehead.backbones.features import extract  # noqa: E402
from rehead.classification.training_data import TrainingFeatures  # noqa: E402
from rehead.core.runtime import open_session  # noqa: E402
from rehead.data import cv_folds, read_dataset  # noqa: E402
from rehead.finetune.export import by_torch, export_trunk, to_tensor, trained_backbone  # noqa: E402
from rehead.finetune.frozen_prefix import find_frozen_prefix  # noqa: E402
from rehead.finetune.linear_probe import init_from_probe, max_levels, set_levels  # noqa: E402
from rehead.finetune.model import Network, build  # noqa: E402
from rehead.finetune.trainable import set_trainable  # noqa: E402
from rehead.finetune.trunk import evaluating  # noqa: E402
from rehead.heads import select_head  # noqa: E402
from rehead.heads.temperature import fit_temperature  # noqa: E402
from rehead.images import load_image  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def torch_features(network: Network, pixels: Any) -> Any:
    with evaluating(network):
        return by_torch(network, network.features, to_tensor(pixels))


def network(train: str, n_levels: int = 1) -> Network:
    torch.manual_seed(0)
    made = build("mobilenet_v2", classes=3, size=64, weights="none")
    set_trainable(made, train, freeze_bn_stats=True)
    if n_levels > 1:
        set_levels(made, n_levels)
    made.eval()
    return made


def photos(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize(("train", "most"), [("frozen", 1), ("top:1", 3), ("top:4", 6), ("all", 18)])
def test_the_levels_are_those_that_are_trained_and_the_one_before(train: str, most: int) -> None:
    assert max_levels(network(train)) == most


@pytest.mark.parametrize(("train", "n_levels"), [("top:4", 2), ("top:4", 3), ("top:4", 6), ("all", 18)])
def test_every_level_is_what_its_block_gives(train: str, n_levels: int) -> None:
    made = network(train, n_levels)
    given: list[Any] = []
    flat = [block for stage in made.trunk.model.blocks for block in stage]
    for block in flat[len(flat) - (n_levels - 1) :]:
        block.register_forward_hook(lambda *call: given.append(call[-1].mean((2, 3))))
    x = made.normalised(torch.from_numpy(photos(2).transpose(0, 3, 1, 2).copy()))
    with torch.no_grad():
        vectors = made.vectors(x)
        expected = [*given, made.neck(made.trunk(x))]
    assert made.widths == tuple(vector.shape[1] for vector in vectors)
    for one, other in zip(vectors, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert made.linear.in_features == sum(made.widths)
    assert not made(x).any()  # the new last layer is there to be started


def test_levels_are_there_where_the_frozen_prefix_is_bypassed() -> None:
    for train, n_levels in (("top:4", 6), ("top:2", 4), ("from:blocks.5.0", 2)):
        made = network(train, n_levels)
        prefix = find_frozen_prefix(made)
        assert prefix is not None
        x = made.normalised(torch.from_numpy(photos(3).transpose(0, 3, 1, 2).copy()))
        with torch.no_grad():
            expected, maps = made.features(x), prefix.maps(x)
            with prefix.bypassed():
                found = made.features(maps)
        torch.testing.assert_close(found, expected)


def test_levels_before_the_trained_ones_prevent_a_prefix() -> None:
    assert find_frozen_prefix(network("top:1", 6)) is None


def test_the_exported_network_has_the_levels_as_outputs() -> None:
    made = network("top:4", 4)
    found = open_session(export_trunk(made), threads=1).run(None, {"image": photos(5)})
    np.testing.assert_allclose(np.concatenate(found, 1), torch_features(made, photos(5)), atol=1e-4)
    backbone = trained_backbone(made, made.record)
    assert [level.name for level in backbone.levels] == [
        "blocks.5.1",
        "blocks.5.2",
        "blocks.6",
        "trained",
    ]
    assert tuple(level.width for level in backbone.levels) == made.widths


def test_training_starts_from_the_head_that_the_frozen_network_has(photo_folder: Any, tmp_path: Path) -> None:
    dataset = read_dataset(photo_folder(tmp_path / "fish", {"red fish": 12, "blue": 12}))
    y = np.unique(dataset.labels, return_inverse=True)[1]
    backbone = load_backbone("efficientnet_lite0")
    backbone = load_backbone("efficientnet_lite0", preprocess=replace(backbone.preprocess, size=64))
    features = extract(dataset.paths, backbone, cache=False).plain
    fold = cv_folds(y, np.arange(len(y)), count=3, seed=0)
    made = build("efficientnet_lite0", classes=2, size=64)
    set_trainable(made, "top:3")
    classes, rows, everyone = np.unique(dataset.labels), np.arange(len(y)), np.ones(len(y), bool)
    data = TrainingFeatures(backbone, features, None, classes, y, rows, dataset.paths, (), everyone)
    init_from_probe(made, data, fold, n_levels=lambda most: [most], balanced=False)
    assert made.n_levels == 5
    pixels = np.stack([load_image(path, made.preprocess) for path in dataset.paths])
    with torch.no_grad():
        logits = made.linear(torch.from_numpy(torch_features(made, pixels))).numpy()
    head = select_head(features, y, fold, backbone.blocks, n_levels=[5])
    heat = fit_temperature(head.held_out, y, smooth=True)
    expected = (features[:, -len(head.weight) :] @ head.weight + head.bias) / heat
    np.testing.assert_allclose(logits, expected, atol=1e-3)
