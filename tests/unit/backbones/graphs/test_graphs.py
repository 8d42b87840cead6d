"""The graphs give what the torch networks give, and refuse what is of another network."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from rehead.backbones import graphs
from rehead.backbones.graphs import builder as op
from rehead.backbones.weights import locate, registry
from rehead.backbones.weights.torch_checkpoint import read_state_dict
from rehead.core.preprocess import PreprocessSpec
from rehead.core.rejection import PhotoStyles
from rehead.core.runtime import open_session
from rehead.errors import WeightsError
from rehead.heads.mahalanobis import RelativeMahalanobis

torch = pytest.importorskip("torch", reason="the networks are compared with their torch originals")

Arrays = dict[str, NDArray[Any]]


def reference(name: str) -> Any:
    """The torch network in inference mode, random, with batch norms that do something."""
    torch.manual_seed(0)
    if name == "mobilenet_v2":
        torchvision = pytest.importorskip("torchvision", reason="the reference of mobilenet_v2")
        network = torchvision.models.mobilenet_v2(weights=None)
    else:
        lite = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference of the Lite family")
        # without a size it pads for the photo it is given, not for one of its own size
        network = lite.EfficientNet.from_name(name.replace("_lite", "-lite"), image_size=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def state_of(network: Any) -> Arrays:
    return {key: tensor.numpy() for key, tensor in network.state_dict().items()}


def run(model: Any, image: NDArray[np.uint8]) -> Arrays:
    onnx.checker.check_model(model, full_check=True)
    session = open_session(model.SerializeToString(), threads=1)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": image}), strict=True))


def pixels(size: int, photos: int = 2) -> NDArray[np.uint8]:
    """Smooth light and shade with noise, uint8 (photos, size, size, 3)."""
    rng = np.random.default_rng(size)
    coarse = np.kron(rng.integers(0, 200, (photos, 8, 8, 3)), np.ones((1, -(-size // 8), -(-size // 8), 1)))
    noise = rng.integers(0, 56, (photos, size, size, 3))
    return (coarse[:, :size, :size] + noise).astype(np.uint8)


def normalised(image: NDArray[np.uint8], spec: PreprocessSpec) -> Any:
    x = (image.astype(np.float64) - spec.mean) / spec.std
    return torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32))


def maps_of(network: Any, x: Any) -> Arrays:
    """Every block's map and the last, as the graph names them."""
    found: Arrays = {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: found.__setitem__(name, output.numpy())

    lite = hasattr(network, "_blocks")
    blocks = list(network._blocks) if lite else list(network.features)[1:-1]
    names = [f"blocks.{n}" if lite else f"features.{n + 1}" for n in range(len(blocks))]
    last = "head" if lite else f"features.{len(blocks) + 1}"
    hooks = [block.register_forward_hook(keep(name)) for block, name in zip(blocks, names, strict=True)]
    with torch.no_grad():
        head = network.extract_features(x) if lite else network.features(x)
    for hook in hooks:
        hook.remove()
    return {**found, last: head.numpy()}


def assert_same_maps(model: Any, network: Any, spec: PreprocessSpec, image: NDArray[np.uint8]) -> None:
    expected = maps_of(network, normalised(image, spec))
    found = run(model, image)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        scale = np.abs(array).max()
        assert scale > 0.1, f"{name} says nothing"
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5 * max(1, scale), err_msg=name)


@pytest.mark.parametrize("name", registry.names())
def test_every_map_is_the_torch_networks(name: str) -> None:
    size = 104  # maps of even and, from 13 on, of odd sides: "same" pads them differently
    network = reference(name)
    shipped = registry.get(name).preprocess
    spec = PreprocessSpec(size=size, mean=shipped.mean, std=shipped.std)
    assert_same_maps(graphs.build_trunk(name, state_of(network), spec), network, spec, pixels(size))


@pytest.mark.parametrize("size", [224, 256])
def test_the_installed_weights_give_the_torch_networks_maps(size: int) -> None:
    network = reference("efficientnet_lite0")
    spec = registry.get("efficientnet_lite0")
    file = locate.locate(spec, download=False)
    network.load_state_dict(torch.load(file, weights_only=True))
    preprocess = PreprocessSpec(size=size, mean=spec.preprocess.mean, std=spec.preprocess.std)
    model = graphs.build_trunk(spec.architecture, read_state_dict(file), preprocess)
    image = pixels(size)
    assert_same_maps(model, network, preprocess, image)
    pooled = run(graphs.pooled_levels(model, ["blocks.14", "head"]), image)["features"]
    expected = maps_of(network, normalised(image, preprocess))
    by_hand = np.concatenate([expected[level].mean(axis=(2, 3)) for level in ("blocks.14", "head")], axis=1)
    assert pooled.shape == (2, by_hand.shape[1])
    np.testing.assert_allclose(pooled, by_hand, rtol=0, atol=5e-5)
    assert by_hand.shape[1] > spec.feature_size == 1280


SMALL = PreprocessSpec(size=32, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


@pytest.fixture(scope="module")
def states() -> dict[str, Arrays]:
    return {name: state_of(reference(name)) for name in registry.names()}


@pytest.mark.parametrize(("name", "other"), [*permutations(registry.names(), 2)])
def test_a_state_dict_of_another_network_is_refused(states: dict[str, Arrays], name: str, other: str) -> None:
    with pytest.raises(WeightsError, match=rf"{name}: .*it is of another network"):
        graphs.build_trunk(name, states[other], SMALL)


@pytest.fixture
def lite0(states: dict[str, Arrays]) -> Arrays:
    return states["efficientnet_lite0"]


@pytest.mark.parametrize("gone", ["_conv_stem.weight", "_blocks.5._bn2.running_var", "_conv_head.weight"])
def test_a_missing_tensor_is_named(lite0: Arrays, gone: str) -> None:
    arrays = {key: array for key, array in lite0.items() if key != gone}
    with pytest.raises(WeightsError, match=f"no tensor '{gone}'"):
        graphs.build_trunk("efficientnet_lite0", arrays, SMALL)


def test_a_left_over_tensor_is_named(lite0: Arrays) -> None:
    arrays = {**lite0, "_blocks.16.extra.weight": np.zeros(3, np.float32)}
    with pytest.raises(WeightsError, match=r"1 tensors of the weight file .* '_blocks\.16\.extra\.weight'"):
        graphs.build_trunk("efficientnet_lite0", arrays, SMALL)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("_conv_stem.weight", (32, 4, 3, 3)),
        ("_conv_stem.weight", (32, 3)),
        ("_bn0.weight", (31,)),
        ("_blocks.3._depthwise_conv.weight", (144, 2, 5, 5)),
        ("_blocks.3._depthwise_conv.weight", (144, 1, 3, 3)),
        ("_conv_head.weight", (1280, 321, 1, 1)),
    ],
)
def test_a_tensor_of_another_shape_is_refused(lite0: Arrays, key: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(WeightsError, match=key.replace(".", r"\.")):
        graphs.build_trunk("efficientnet_lite0", {**lite0, key: np.zeros(shape, np.float32)}, SMALL)


def test_the_classifier_and_counters_may_be_absent(lite0: Arrays) -> None:
    trunk_only = {k: a for k, a in lite0.items() if not k.startswith("_fc") and "num_batches" not in k}
    assert len(trunk_only) < len(lite0)
    image = pixels(32)
    whole, trunk = (
        run(graphs.build_trunk("efficientnet_lite0", arrays, SMALL), image) for arrays in (lite0, trunk_only)
    )
    np.testing.assert_array_equal(whole["head"], trunk["head"])


def test_the_same_state_gives_the_same_bytes(lite0: Arrays) -> None:
    first, second = (
        graphs.build_trunk("efficientnet_lite0", lite0, SMALL).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


# a user's own network


def users_network(spec: PreprocessSpec, batch: int | str = "N") -> Any:
    """What the network is given comes out again, as a map, and its mean, as a vector; and a whole number."""
    shape = (3, spec.size, spec.size) if spec.layout == "NCHW" else (spec.size, spec.size, 3)
    x = op.argument(np.float32, (batch, *shape))
    planes = x if spec.layout == "NCHW" else op.transpose(x, perm=[0, 3, 1, 2])
    vector = op.flatten(op.global_average_pool(planes))
    outputs = {"planes": op.relu(planes), "vector": vector, "count": op.arg_max(vector, axis=1)}
    return onnx.shape_inference.infer_shapes(op.build({"x": x}, outputs))


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1])
def test_a_wrapped_network_is_given_what_numpy_would_give_it(channels: Any, layout: Any, batch: Any) -> None:
    spec = PreprocessSpec(size=16, mean=(10, 120.5, 200), std=(0.5, 57, 64), channels=channels, layout=layout)
    model = graphs.wrap(users_network(spec, batch), spec, "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    image = pixels(16, photos=3)
    found = run(model, image)
    given = image[..., ::-1] if channels == "BGR" else image
    expected = ((given.astype(np.float64) - spec.mean) / spec.std).transpose(0, 3, 1, 2)
    assert list(found) == ["planes", "vector"], "only float maps and vectors are features"
    np.testing.assert_allclose(found["planes"], expected.clip(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["vector"], expected.mean(axis=(2, 3)), rtol=1e-4, atol=1e-4)
    pooled = run(graphs.pooled_levels(model, ["planes", "vector"]), image)["features"]
    by_hand = np.concatenate([expected.clip(0).mean(axis=(2, 3)), expected.mean(axis=(2, 3))], axis=1)
    np.testing.assert_allclose(pooled, by_hand, rtol=1e-4, atol=1e-4)


def of_opset(number: int, op_type: str = "Relu") -> Any:
    """A network of one node, as exporters of earlier years wrote it."""
    shape = ["N", 3, 32, 32]
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node(op_type, ["x"], ["y"])], "old", [x], [y])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", number)], ir_version=4)


def test_an_older_opset_is_brought_up() -> None:
    model = graphs.wrap(of_opset(9), SMALL, "net.onnx")
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {17}
    image = pixels(32)
    expected = ((image.astype(np.float64) - 127.5) / 127.5).clip(0).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(model, image)["y"], expected, atol=1e-6)


def test_an_opset_that_cannot_be_brought_up_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"net\.onnx: written with opset 1, .* again with opset 17"):
        graphs.wrap(of_opset(1, "GlobalLpPool"), SMALL, "net.onnx")


def refused(inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    with pytest.raises(WeightsError) as caught:
        graphs.wrap(op.build(inputs, outputs), SMALL, "net.onnx")
    return str(caught.value)


def tensor(*shape: int | str) -> Any:
    return op.argument(np.float32, shape)


@pytest.mark.parametrize("shape", [("N", 3, 64, 64), ("N", 1, 32, 32), ("N", 32, 32, 3), ("N", 3072)])
def test_another_input_is_refused_with_both_shapes(shape: tuple[int | str, ...]) -> None:
    x = tensor(*shape)
    message = refused({"x": x}, {"y": op.identity(x)})
    assert message.startswith("net.onnx: expected one float input of shape [N, 3, 32, 32], found x float [")
    assert str(shape[-1]) in message


def test_two_inputs_are_refused() -> None:
    x, y = tensor("N", 3, 32, 32), tensor("N", 3, 32, 32)
    message = refused({"x": x, "y": y}, {"z": op.add(x, y)})
    assert "expected one float input" in message
    assert "x float [" in message
    assert "y float [" in message


def test_a_network_without_features_is_refused() -> None:
    x = tensor("N", 3, 32, 32)
    number = op.arg_max(op.flatten(op.global_average_pool(x)), axis=1)
    assert "expected an output of float vectors [N, C] or maps [N, C, h, w]" in refused(
        {"x": x}, {"number": number}
    )


def test_an_input_that_is_not_float_is_refused() -> None:
    x = op.argument(np.uint8, ("N", 3, 32, 32))
    y = op.global_average_pool(op.cast(x, to=np.float32))
    message = refused({"x": x}, {"y": y})
    assert message == (
        "net.onnx: expected one float input of shape [N, 3, 32, 32], found x uint8 ['?', 3, 32, 32]"
    )


# the classifier


def test_the_classifiers_outputs_are_what_the_formulas_say(tiny_onnx: Path) -> None:
    spec = PreprocessSpec(size=32, mean=(120, 120, 120), std=(60, 60, 60))
    trunk = graphs.wrap(onnx.load(tiny_onnx), spec, "tiny.onnx")
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    weight, bias = normal(24, 3), normal(3)
    basis = np.linalg.qr(normal(32, 5))[0].astype(np.float32)
    outlier = RelativeMahalanobis(
        normal(32), np.abs(normal(32)), basis, normal(5, 5), normal(5, 5), normal(3, 5), 0.7
    )
    model = graphs.linear_model(trunk, ["middle", "last"], first=8, weight=weight, bias=bias, outlier=outlier)
    onnx.checker.check_model(model, full_check=True)
    found = run(model, pixels(32, photos=4))
    x = found["features"].astype(np.float64)
    assert x.shape == (4, 32)
    logits = x[:, 8:] @ weight + bias
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        found["probabilities"], expected / expected.sum(axis=1, keepdims=True), atol=1e-6
    )
    z = (x - outlier.mean) * outlier.scale
    u = z @ basis
    near = [((u @ outlier.within - centre) ** 2).sum(axis=1) for centre in outlier.centres]
    far = ((u @ outlier.total) ** 2).sum(axis=1)
    rest = ((z - u @ basis.T) ** 2).sum(axis=1)
    np.testing.assert_allclose(found["outlier_score"], np.min(near, axis=0) - far + 0.7 * rest, rtol=1e-4)
    np.testing.assert_allclose(found["outlier_score"], outlier.scores(found["features"]), rtol=1e-4)


@pytest.mark.parametrize("limit", [-1e9, 0.0, 1e9])
def test_a_style_is_taken_off_where_it_is_seen(tiny_onnx: Path, limit: float) -> None:
    spec = PreprocessSpec(size=32, mean=(120, 120, 120), std=(60, 60, 60))
    trunk = graphs.wrap(onnx.load(tiny_onnx), spec, "tiny.onnx")
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    basis = np.linalg.qr(normal(32, 5))[0].astype(np.float32)
    outlier = RelativeMahalanobis(
        normal(32),
        np.abs(normal(32)),
        basis,
        normal(5, 5),
        normal(5, 5),
        normal(3, 5),
        0.7,
        PhotoStyles(("grey", "dark"), normal(32, 2), normal(2), limit),
        normal(2, 32),
        np.array([1e4, 2e4], np.float32),
    )
    model = graphs.linear_model(
        trunk, ["middle", "last"], first=8, weight=normal(24, 3), bias=normal(3), outlier=outlier
    )
    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["probabilities", "features", "outlier_score"]
    found = run(model, pixels(32, photos=6))
    scores, plain = outlier.scores(found["features"]), outlier.parts(found["features"]).plain
    np.testing.assert_allclose(found["outlier_score"], scores, rtol=1e-3)
    if limit < 0:
        assert (scores < plain).any()
    if limit > 1:
        np.testing.assert_allclose(found["outlier_score"], plain, rtol=1e-3)
