from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import timm
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file

from rehead.backbones.backbone import load_backbone
from rehead.backbones.weights import locate, registry
from rehead.errors import DataError, UnknownNameError, WeightsError, WeightsNotFoundError
from rehead.finetune.model import PLAIN_NAMES, Network, build, load_state
from rehead.finetune.trainable import count_parameters, parameter_groups, set_trainable


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def photos(network: Network, count: int = 2) -> Any:
    size = network.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return torch.from_numpy(pixels)


def features(network: Network) -> Any:
    with torch.no_grad():
        return network.eval().features(network.normalised(photos(network)))


# Small networks


def test_three_block_network_has_the_published_number_of_parameters() -> None:
    network = build("small-cnn", classes=5)
    assert network.preprocess.size == 160
    assert count_parameters(network) == (93_893, 93_893)
    assert network.record["sha256"] == "random"


@pytest.mark.parametrize(
    ("name", "size", "side"), [("cnn4-300", 300, 16), ("cnn4-50", 50, 1), ("cnn4-300-pool3", 300, 2)]
)
def test_four_convolution_networks(name: str, size: int, side: int) -> None:
    # the side: 3 x 3 convolutions without padding, each followed by pooling, worked out by hand
    channels = (3, 64, 128, 256, 512)
    convolutions = sum(inputs * outputs * 9 + outputs for inputs, outputs in pairwise(channels))
    dense = 512 * side * side * 100 + 100
    network = build(name, classes=2)
    assert network.preprocess.size == size
    assert count_parameters(network)[0] == convolutions + dense + 100 * 2 + 2
    assert [block.name for block in network.blocks] == ["conv1", "conv2", "conv3", "conv4"]


def test_photos_are_normalised_inside() -> None:
    network = build("small-cnn", classes=2, size=16)
    pixels = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    assert torch.equal(network.normalised(pixels), torch.ones(1, 3, 16, 16))
    assert network(network.normalised(pixels)).shape == (1, 2)


# The same network in torch and in rehead's own graph


@pytest.mark.parametrize("name", registry.names())
def test_registered_weights_agree_with_the_core(name: str) -> None:
    if locate.is_here(registry.get(name)) is None:
        pytest.skip(f"the weights of {name} are not here; `rehead weights pull {name}` brings them")
    network, backbone = build(name, classes=2).eval(), load_backbone(name)
    assert network.preprocess == backbone.preprocess
    assert network.record == backbone.weights
    image = photos(network)
    with torch.no_grad():
        maps = network.trunk(network.normalised(image)).numpy()
    session = ort.InferenceSession(backbone.trunk)
    (expected,) = session.run([backbone.levels[-1].name], {"image": image.permute(0, 2, 3, 1).numpy()})
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(maps, expected, atol=1e-4)


# Other packages' names


def jitter(module: Any) -> Any:
    """The module with batch norms that do something."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(layer.bias, std=0.1)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    return module.eval()


def torchvision_features(name: str) -> tuple[dict[str, Any], Any]:
    """State dict of a random network of torchvision, and its features as a function."""
    if name == "vgg16":
        module = jitter(torchvision.models.vgg16(init_weights=False).features)
        state = {f"features.{key}": value for key, value in module.state_dict().items()}
        return {**state, "classifier.0.weight": torch.zeros(2, 2)}, lambda x: module(x).mean((2, 3))
    kwargs = {"init_weights": False} if name == "inception_v3" else {}
    module = jitter(getattr(torchvision.models, name)(**kwargs))
    state = module.state_dict()
    setattr(module, "fc" if hasattr(module, "fc") else "classifier", torch.nn.Identity())
    return state, module


@pytest.mark.parametrize(
    ("name", "size", "suffix"),
    [
        ("resnet50", 64, ".pth"),
        ("mobilenet_v2", 64, ".pth"),
        ("mobilenet_v2", 64, ".safetensors"),  # in another order
        ("inception_v3", 107, ".pth"),
        ("vgg16", 32, ".pth"),
    ],
)
def test_torchvision_files_are_taken(name: str, size: int, suffix: str, tmp_path: Path) -> None:
    state, reference = torchvision_features(name)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    network = build(name, classes=2, size=size, weights=path)
    with torch.no_grad():
        expected = reference(network.normalised(photos(network)))
    assert expected.abs().max() > 0.01
    np.testing.assert_allclose(features(network).numpy(), expected.numpy(), atol=1e-4, rtol=1e-4)
    assert network.record["licences"]["weights"] == "not stated"
    assert len(network.record["sha256"]) == 64


@pytest.mark.parametrize("number", [0, 1, 2])
def test_files_of_efficientnet_lite_pytorch_are_taken(number: int, tmp_path: Path) -> None:
    name = f"efficientnet-lite{number}"
    reference = jitter(EfficientNet.from_name(name))
    torch.save(reference.state_dict(), tmp_path / "lite.pth")
    size = EfficientNet.get_image_size(name)  # its padding is made for this size only
    network = build(f"efficientnet_lite{number}", classes=2, size=size, weights=tmp_path / "lite.pth")
    with torch.no_grad():
        expected = reference.extract_features(network.normalised(photos(network))).mean((2, 3))
    np.testing.assert_allclose(features(network).numpy(), expected.numpy(), atol=1e-4, rtol=1e-4)


def test_timm_files_are_taken_and_a_classifier_in_them_is_not_looked_at(tmp_path: Path) -> None:
    source = jitter(timm.create_model("test_resnet", num_classes=7))
    save_file(source.state_dict(), tmp_path / "net.safetensors")
    network = build("test_resnet", classes=2, weights=tmp_path / "net.safetensors")
    with torch.no_grad():
        x = network.normalised(photos(network))
        expected = source.forward_head(source.forward_features(x), pre_logits=True)
    np.testing.assert_allclose(features(network).numpy(), expected.numpy(), atol=1e-5)


def test_a_transformer_takes_weights_of_another_size(tmp_path: Path) -> None:
    source = timm.create_model("test_vit", num_classes=0)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    network = build("test_vit", classes=2, size=96, weights=tmp_path / "vit.pth")
    assert features(network).shape == (2, network.linear.in_features)
    assert torch.equal(network.trunk.model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)


def test_a_small_network_takes_its_own_trunk_back(tmp_path: Path) -> None:
    first, second = build("small-cnn", classes=2), build("small-cnn", classes=3)
    torch.save(first.trunk.state_dict(), tmp_path / "trunk.pth")
    load_state(second, tmp_path / "trunk.pth")
    assert torch.equal(features(first), features(second))


def test_what_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    wrong = dict(state)
    del wrong["conv1.0.weight"]
    wrong["layer1.0.conv1.weight"] = torch.zeros(4, 4, 3, 3)
    wrong["extra.weight"] = torch.zeros(1)
    torch.save(wrong, tmp_path / "wrong.pth")
    network = build("test_resnet", classes=2, weights="none")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_state(network, tmp_path / "wrong.pth")
    message = str(caught.value)
    assert "wrong.pth, as test_resnet" in message
    assert "1 missing (conv1.0.weight)" in message
    assert "1 left over (extra.weight)" in message
    assert "layer1.0.conv1.weight is 4 x 4 x 3 x 3 instead of" in message
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.record["sha256"] == "random"


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.pth", "bad.safetensors", "bad.pth"])
def test_files_that_are_missing_or_damaged(name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=name):
        build("small-cnn", classes=2, weights=tmp_path / name)


def test_weights_of_another_family_member_do_not_fit(tmp_path: Path) -> None:
    torch.save(EfficientNet.from_name("efficientnet-lite1").state_dict(), tmp_path / "lite1.pth")
    with pytest.raises(WeightsError, match="left over"):
        build("efficientnet_lite0", classes=2, weights=tmp_path / "lite1.pth")


# Where pretrained weights come from


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_without_network_the_message_says_which_file_to_bring(no_network: None) -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        build("test_resnet", classes=2)
    message = str(caught.value)
    assert "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors" in message
    assert "test_resnet.safetensors" in message
    assert "REHEAD_WEIGHTS" in message
    assert "--weights none" in message


def test_a_file_in_the_weights_folder_is_taken(
    no_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = timm.create_model("test_resnet", num_classes=0)
    save_file(source.state_dict(), tmp_path / "test_resnet.safetensors")
    monkeypatch.setenv("REHEAD_WEIGHTS", str(tmp_path))
    network = build("test_resnet", classes=2)
    assert torch.equal(network.trunk.model.conv1[0].weight, source.conv1[0].weight)
    assert network.record["name"] == "test_resnet"
    assert network.record["licences"]["weights"] == "not stated"


# Blocks


@pytest.mark.parametrize(
    "name",
    ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_mambaout", "mobilenet_v2"],
)
def test_blocks_are_all_of_the_trunk_and_have_names_of_their_own(name: str) -> None:
    network = build(name, classes=2, weights="none")
    blocks = network.blocks
    of_blocks = [id(p) for block in blocks for _, p in block.parameters]
    assert sorted(of_blocks) == sorted(id(p) for p in network.trunk.parameters())
    assert len({block.name for block in blocks}) == len(blocks) > 3


def trained(network: Network) -> list[str]:
    return [b.name for b in network.blocks if all(p.requires_grad for _, p in b.parameters)]


def test_what_is_trained() -> None:
    network = build("mobilenet_v2", classes=2, size=32, weights="none")
    names = [block.name for block in network.blocks]
    total, everything = count_parameters(network)
    assert total == everything
    for what, expected in {
        "frozen": [],
        "top:4": names[-4:],
        f"top:{len(names)}": names,
        "from:blocks.3.1": names[names.index("blocks.3.1") :],
        "from:blocks.3": names[names.index("blocks.3.0") :],
        "from:conv_head": names[-1:],
        "from:conv_stem": names,
        "all": names,
    }.items():
        set_trainable(network, what)
        assert trained(network) == expected, what
        assert all(p.requires_grad for p in network.linear.parameters())
    set_trainable(network, "frozen")
    assert count_parameters(network) == (total, 1280 * 2 + 2)


def statistics(network: Network) -> dict[str, Any]:
    return {
        block.name: [m.running_mean.clone() for m in block.modules if isinstance(m, torch.nn.BatchNorm2d)]
        for block in network.blocks
    }


def test_batch_norm_of_frozen_blocks_keeps_its_statistics() -> None:
    network = build("mobilenet_v2", classes=2, size=32, weights="none")
    set_trainable(network, "top:3")
    network.train()
    before = statistics(network)
    network(network.normalised(photos(network, 4))).sum().backward()
    after = statistics(network)
    names = list(before)
    for name in names:
        moved = any(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))
        assert before[name]
        assert moved is (name in names[-3:]), name
    for block in network.blocks:
        assert all((p.grad is not None) is (block.name in names[-3:]) for _, p in block.parameters)
    set_trainable(network, "all")
    assert all(module.training for module in network.modules())


def test_batch_norm_of_trained_blocks_keeps_its_statistics_where_that_is_asked_for() -> None:
    network = build("mobilenet_v2", classes=2, size=32, weights="none")
    set_trainable(network, "top:3", freeze_bn_stats=True)
    inputs = network.normalised(photos(network, 4))
    before, expected = statistics(network), network.eval()(inputs)
    torch.testing.assert_close(network.train()(inputs), expected, rtol=0, atol=0)
    network(inputs).sum().backward()
    for name, values in statistics(network).items():
        assert all(torch.equal(a, b) for a, b in zip(before[name], values, strict=True)), name
    norms = [m for m in network.blocks[-1].modules if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight.grad is not None for norm in norms)


@pytest.mark.parametrize("what", ["top", "top:0", "top:-1", "top:x", "everything", "from:", "all:1", ""])
def test_what_cannot_be_trained(what: str) -> None:
    network = build("small-cnn", classes=2, size=16)
    with pytest.raises(DataError, match="expected frozen, all, top:N"):
        set_trainable(network, what)


def test_more_blocks_than_there_are_and_layers_that_do_not_exist() -> None:
    network = build("mobilenet_v2", classes=2, size=32, weights="none")
    with pytest.raises(DataError, match="mobilenet_v2 has 18 blocks"):
        set_trainable(network, "top:19")
    with pytest.raises(UnknownNameError, match=r"did you mean 'blocks\.3\.1'"):
        set_trainable(network, "from:block.3.1")
    assert trained(network) == [block.name for block in network.blocks]


def test_deeper_blocks_have_lower_rates() -> None:
    network = build("test_resnet", classes=2, weights="none")
    set_trainable(network, "top:2")
    groups = parameter_groups(network, 1e-2, decay=0.5, weight_decay=0.1)
    last, before = (block.name for block in network.blocks[:-3:-1])
    rates = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}
    plain = "biases and norms"
    assert rates == {
        "head": (1e-2, 0.1),
        f"head, {plain}": (1e-2, 0.0),
        last: (5e-3, 0.1),
        f"{last}, {plain}": (5e-3, 0.0),
        before: (2.5e-3, 0.1),
        f"{before}, {plain}": (2.5e-3, 0.0),
    }
    assert sum(p.numel() for group in groups for p in group["params"]) == count_parameters(network)[1]
    torch.optim.AdamW(groups)  # takes them as they are


# Heads and sizes


@pytest.mark.parametrize(
    ("head", "width", "layers"),
    [
        ("linear", 1280, 0),
        ("mlp:32", 32, 1280 * 32 + 32),
        ("conv", 512, 1280 * 9 * 512 + 2 * 512 + 512 * 512),
    ],
)
def test_heads(head: str, width: int, layers: int) -> None:
    network = build("mobilenet_v2", classes=3, size=64, weights="none", head=head)
    assert network.linear.in_features == width
    assert sum(p.numel() for p in network.neck.parameters()) == layers
    maps = network.trunk(network.normalised(photos(network)))
    assert maps.shape == (2, 1280, 2, 2)
    assert network.linear(network.neck(maps)).shape == (2, 3)


def test_a_network_with_layers_after_its_pooling_gives_vectors() -> None:
    network = build("mobilenetv3_small_050", classes=2, size=32, weights="none", head="mlp:8")
    assert network.trunk(network.normalised(photos(network))).shape == (2, 1024)
    with pytest.raises(DataError, match="no plain maps for a conv head"):
        build("mobilenetv3_small_050", classes=2, size=32, weights="none", head="conv")


def test_dropout_before_the_last_layer() -> None:
    network = build("test_resnet", classes=2, weights="none", dropout=0.25)
    assert [layer.p for layer in network.neck.modules() if isinstance(layer, torch.nn.Dropout)] == [0.25]


@pytest.mark.parametrize("head", ["mlp", "mlp:0", "mlp:x", "conv:3", "linear:1", "tree"])
def test_heads_that_do_not_exist(head: str) -> None:
    with pytest.raises(DataError, match="expected linear, mlp:WIDTH or conv"):
        build("small-cnn", classes=2, head=head)


@pytest.mark.parametrize(
    ("name", "size"), [("inception_v3", 32), ("cnn4-300", 20), ("small-cnn", 7), ("test_vit", 3)]
)
def test_photos_that_are_too_small(name: str, size: int) -> None:
    with pytest.raises(DataError, match=f"{name} does not take photos of {size} x {size} pixels"):
        build(name, classes=2, size=size, weights="none")


@pytest.mark.parametrize("name", ["mobilenet_v2", "vgg16"])
def test_the_last_maps_of_a_known_network_have_a_pixel(name: str) -> None:
    with pytest.raises(DataError, match=f"size 31 is too small for {name}.*; give 32 or more"):
        build(name, classes=2, size=31, weights="none")


def test_names_sizes_classes_and_dropout_that_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'"):
        build("resnet5", classes=2)
    with pytest.raises(UnknownNameError) as caught:
        build("zzzz", classes=2)
    assert set(caught.value.known) == set(PLAIN_NAMES)
    with pytest.raises(DataError, match="nonsense"):
        build("resnet50.nonsense", classes=2)
    with pytest.raises(DataError, match="2 classes or more"):
        build("small-cnn", classes=1)
    with pytest.raises(DataError, match="size must be"):
        build("small-cnn", classes=2, size=0)
    with pytest.raises(DataError, match="dropout"):
        build("small-cnn", classes=2, dropout=1.0)


def test_without_timm_the_message_names_the_pip_line() -> None:
    code = "import sys; sys.modules['timm'] = None; import rehead\n"
    code += "rehead.FineTunedClassifier(rehead.ImageClassifier()).make_encoder()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MissingExtraError: " in done.stderr
    assert "pip install 'rehead[torch]'" in done.stderr
