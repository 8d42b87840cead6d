from __future__ import annotations

import dataclasses

import pytest

from rehead.backbones.backbone import load_backbone
from rehead.backbones.weights import registry
from rehead.backbones.weights.locate import locate
from rehead.backbones.weights.spec import Hub, Url, WeightSpec, Wheel
from rehead.backbones.weights.torch_checkpoint import read_state_dict
from rehead.errors import DataError, UnknownNameError, WeightsError

BUILT_IN = [registry.get(name) for name in registry.every_name()]
every = pytest.mark.parametrize("spec", BUILT_IN, ids=registry.every_name())


def test_names() -> None:
    assert registry.names() == (
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
        "mobilenet_v2",
    )
    beyond = ("vgg16", "vgg19", "resnet50", "inception_v3", "mobilenet")
    assert registry.every_name() == registry.names() + beyond
    assert [registry.get(name).needs_torch for name in registry.every_name()] == [False] * 4 + [True] * 5


def test_the_core_says_what_a_network_of_torch_needs() -> None:
    with pytest.raises(DataError, match=r"resnet50 is built by torch: pip install 'rehead\[torch\]'"):
        load_backbone("resnet50")


def test_unknown_name_says_what_was_meant() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown backbone 'efficientnet_lite7'; did you mean 'efficient"
    ):
        registry.get("efficientnet_lite7")


@every
def test_file_name_agrees_with_the_hash(spec: WeightSpec) -> None:
    if spec.name == "mobilenet":  # the hub states none
        assert spec.sha256 == ""
        return
    assert len(spec.sha256) == 64
    # torch.hub's convention: the first digits of the sha256 close the name.
    assert spec.filename.endswith(f"-{spec.sha256[:8]}.pth")


@every
def test_licences_are_stated_apart(spec: WeightSpec) -> None:
    assert spec.code_licence in ("Apache-2.0", "BSD-3-Clause")
    assert spec.weights_licence in ("Apache-2.0", "BSD-3-Clause")
    assert "non-commercial research" in spec.data_licence


@every
def test_evidence_names_its_page(spec: WeightSpec) -> None:
    assert 70 < spec.evidence.imagenet_top1 < 80
    assert spec.evidence.source.startswith("https://")


def test_speed_follows_the_cost() -> None:
    assert [spec.speed for spec in BUILT_IN[:4]] == ["fast", "medium", "slow", "fast"]
    assert [spec.speed for spec in BUILT_IN[4:]] == ["slow", "slow", "slow", "slow", "medium"]


def test_specs_are_values() -> None:
    spec = registry.get("mobilenet_v2")
    assert spec == dataclasses.replace(spec)
    assert hash(spec) == hash(dataclasses.replace(spec))
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.sha256 = ""  # type: ignore[misc]


def test_preprocess_maps_pixels_to_the_published_range() -> None:
    lite = registry.get("efficientnet_lite0").preprocess
    assert [(x - lite.mean[0]) / lite.std[0] for x in (0, 255)] == [-1, 1]
    assert [registry.get(name).preprocess.size for name in registry.names()] == [256, 272, 296, 256]
    mobilenet = registry.get("mobilenet_v2").preprocess
    assert mobilenet.mean == pytest.approx((123.675, 116.28, 103.53))
    assert mobilenet.std == pytest.approx((58.395, 57.12, 57.375))


@pytest.mark.parametrize("revision", ["main", "v1.0", "0123abc", "G" * 40, "a" * 41, ""])
def test_hub_revision_must_be_a_commit(revision: str) -> None:
    hub = Hub("owner/name", revision, "model.safetensors")
    with pytest.raises(WeightsError, match="40 hexadecimal digits"):
        dataclasses.replace(registry.get("resnet50"), sources=(hub,))


def test_published_files_are_served_by_their_publisher() -> None:
    for name in ("vgg16", "vgg19", "resnet50", "inception_v3"):
        (source,) = registry.get(name).sources
        assert isinstance(source, Url)
        assert source.path.startswith("https://download.pytorch.org/models/")


def test_default_weights_are_installed_intact() -> None:
    spec = registry.get("efficientnet_lite0")
    assert isinstance(spec.sources[0], Wheel)
    path = locate(spec, download=False)
    assert path.stat().st_size == spec.size
    arrays = read_state_dict(path)
    assert len(arrays) == 296
    assert arrays["_fc.weight"].shape == (1000, spec.feature_size)
    assert next(iter(arrays)) == "_conv_stem.weight"
