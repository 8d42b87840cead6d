from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rehead.backbones import graphs
from rehead.backbones.backbone import Backbone, FeatureLevel, load_backbone
from rehead.backbones.graphs import builder as op
from rehead.backbones.weights import registry
from rehead.core.model_file import read_model_file, write_model_file
from rehead.core.preprocess import PreprocessSpec
from rehead.core.runtime import open_session
from rehead.errors import DataError, UnknownNameError, WeightsError

PIXELS = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def net(tiny_onnx: Path, tmp_path: Path) -> Path:
    """A copy of the tiny network, with its record, that a test may spoil."""
    for suffix in (".onnx", ".json"):
        shutil.copy(tiny_onnx.with_suffix(suffix), tmp_path / f"my net{suffix}")
    return tmp_path / "my net.onnx"


def features(backbone: Backbone, pixels: np.typing.NDArray[np.uint8] = PIXELS) -> Any:
    return open_session(backbone.features_graph(), threads=1).run(None, {"image": pixels})[0]


def test_an_onnx_file_with_its_record_is_a_backbone(net: Path) -> None:
    backbone = load_backbone(net)
    assert backbone.name == "my net"
    assert backbone.levels == (FeatureLevel("middle", 8), FeatureLevel("last", 24))
    assert backbone.blocks == [slice(0, 8), slice(8, 32)]
    assert backbone.preprocess == PreprocessSpec(32, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
    assert backbone.weights["name"] == "my net.onnx"
    assert backbone.weights["sha256"] == hashlib.sha256(net.read_bytes()).hexdigest()
    assert set(backbone.weights["licences"].values()) == {"not stated"}
    assert load_backbone(str(net)).trunk == backbone.trunk


def test_its_features_are_the_networks_own(net: Path) -> None:
    backbone = load_backbone(net)
    x = ((PIXELS - np.array(backbone.preprocess.mean)) / backbone.preprocess.std).transpose(0, 3, 1, 2)
    session = open_session(net.read_bytes(), threads=1)
    middle, last = session.run(["middle", "last"], {"input": x.astype(np.float32)})
    found = features(backbone)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :8], middle.mean(axis=(2, 3)), atol=1e-5)
    np.testing.assert_allclose(found[:, 8:], last, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01


def test_the_context_changes_with_all_that_features_depend_on(net: Path) -> None:
    first = load_backbone(net)
    other = load_backbone(net, preprocess=PreprocessSpec(32, (0, 0, 0), (1, 1, 1)))
    assert other.context != first.context
    model = onnx.load(net)
    weight = model.graph.initializer[0]
    weight.raw_data = (onnx.numpy_helper.to_array(weight) * np.float32(1.001)).tobytes()
    onnx.save(model, net)
    assert load_backbone(net).context != first.context
    assert json.loads(json.dumps(first.context)) == first.context


def test_a_record_that_is_given_wins_over_the_file(net: Path, tmp_path: Path) -> None:
    record = tmp_path / "other.json"
    record.write_text('{"size": 32, "mean": [0, 0, 0], "std": [255, 255, 255]}')
    assert load_backbone(net, preprocess=record).preprocess.std == (255, 255, 255)
    assert load_backbone(net, preprocess=str(record)).preprocess.std == (255, 255, 255)


def test_a_missing_record_says_what_to_write(net: Path) -> None:
    net.with_suffix(".json").unlink()
    with pytest.raises(DataError, match=r"my net\.onnx: .*write my net\.json beside it") as caught:
        load_backbone(net)
    suggested = re.findall(r"\{.*\}", str(caught.value))
    assert PreprocessSpec.from_dict(json.loads(suggested[0])).size == 224
    assert load_backbone(net, preprocess=PreprocessSpec(32, (0, 0, 0), (1, 1, 1))).preprocess.size == 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "expected fields and values"),
        ('{"size": 32, "mean": [0, 0, 0]}', "std missing"),
        ('{"size": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}', "size must be"),
        ('{"size": 32, "means": [0, 0, 0], "std": [1, 1, 1]}', "did you mean 'mean'"),
        ('{"size": 32, "mean": [0, 0, 0], "std": [1, 1, 1], "layout": "NCWH"}', "unknown preprocess layout"),
        ("\ufffd\x00", "not JSON"),
    ],
)
def test_a_bad_record_is_named(net: Path, text: str, said: str) -> None:
    net.with_suffix(".json").write_text(text, "utf-8")
    with pytest.raises(DataError) as caught:
        load_backbone(net)
    assert said in str(caught.value)
    assert "my net.json: " in str(caught.value)


def test_a_record_that_is_not_text_is_named(net: Path) -> None:
    net.with_suffix(".json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"my net\.json: not JSON"):
        load_backbone(net)


def test_a_record_of_another_size_is_refused(net: Path) -> None:
    with pytest.raises(WeightsError, match=r"my net\.onnx: expected .* \[N, 3, 64, 64\], found input float"):
        load_backbone(net, preprocess=PreprocessSpec(64, (0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("size", [0, 10, 400])
def test_a_file_that_is_not_onnx_is_refused(net: Path, size: int) -> None:
    net.write_bytes(bytes(range(256))[:size] if size < 400 else net.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"my net\.onnx: not a valid ONNX file"):
        load_backbone(net)


def test_a_missing_onnx_file_and_a_folder_are_refused(net: Path) -> None:
    net.unlink()
    with pytest.raises(WeightsError, match=r"my net\.onnx: cannot be read \(No such file"):
        load_backbone(net)
    net.mkdir()
    with pytest.raises(WeightsError, match=r"my net\.onnx: cannot be read"):
        load_backbone(net)


def test_a_missing_onnx_file_without_a_record_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.onnx: cannot be read \(No such file"):
        load_backbone(tmp_path / "none.onnx")


def test_a_network_exported_for_one_photo_takes_several(tmp_path: Path) -> None:
    x = op.argument(np.float32, (1, 3, 32, 32))
    halves = op.average_pool(x, kernel_shape=[2, 2], strides=[2, 2])
    model = onnx.shape_inference.infer_shapes(op.build({"x": x}, {"y": op.relu(halves)}))
    onnx.save(model, tmp_path / "one.onnx")
    backbone = load_backbone(tmp_path / "one.onnx", preprocess=PreprocessSpec(32, (9, 9, 9), (2, 2, 2)))
    assert backbone.levels == (FeatureLevel("y", 3),)
    both = features(backbone)
    assert both.shape == (2, 3)
    np.testing.assert_array_equal(both, [features(backbone, PIXELS[n : n + 1])[0] for n in range(2)])


def test_an_unknown_name_says_what_was_meant() -> None:
    with pytest.raises(UnknownNameError, match="unknown backbone 'efficientnet_lite'; did you mean"):
        load_backbone("efficientnet_lite")


# registered weights


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """An empty cache, and how often a graph was built."""
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
    built = []
    build = graphs.build_trunk

    def counting(*given: Any) -> Any:
        built.append(1)
        return build(*given)

    monkeypatch.setattr(graphs, "build_trunk", counting)
    return lambda: len(built)


def test_registered_weights_are_built_once(counted: Callable[[], int], tmp_path: Path) -> None:
    first = load_backbone("efficientnet_lite0")
    spec = registry.get("efficientnet_lite0")
    assert first.weights["sha256"] == spec.sha256
    assert first.weights["licences"]["weights"] == "Apache-2.0"
    assert first.levels[-1].width == spec.feature_size
    assert first.preprocess == spec.preprocess
    assert load_backbone("efficientnet_lite0") == first
    assert counted() == 1
    smaller = replace(spec.preprocess, size=64)
    assert load_backbone("efficientnet_lite0", preprocess=smaller).trunk != first.trunk
    assert counted() == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "no digest", "digest not text"])
def test_a_damaged_built_graph_is_built_again(
    counted: Callable[[], int], tmp_path: Path, damage: str
) -> None:
    spec = replace(registry.get("efficientnet_lite0").preprocess, size=64)
    first = load_backbone("efficientnet_lite0", preprocess=spec)
    (kept,) = (tmp_path / "cache").rglob("*.onnx")
    data = bytearray(kept.read_bytes())
    if damage == "no digest":
        kept.with_suffix(".sha256").unlink()
    elif damage == "digest not text":
        kept.with_suffix(".sha256").write_bytes(b"\xff\xfe")
    else:
        data[len(data) // 2] ^= 1
        kept.write_bytes({"cut": bytes(data[:1000]), "flip": bytes(data), "empty": b""}[damage])
    assert load_backbone("efficientnet_lite0", preprocess=spec) == first
    assert counted() == 2
    assert load_backbone("efficientnet_lite0", preprocess=spec) == first
    assert counted() == 2


def test_a_cache_that_cannot_be_written_only_costs_time(counted: Callable[[], int], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    spec = replace(registry.get("efficientnet_lite0").preprocess, size=64)
    assert load_backbone("efficientnet_lite0", preprocess=spec).levels[-1].width == 1280
    assert counted() == 1


def test_weights_in_another_file_are_part_of_the_network(net: Path) -> None:
    model = onnx.load(net)
    onnx.save(
        model, net, save_as_external_data=True, location="net.data", size_threshold=0, convert_attribute=True
    )
    first = load_backbone(net)
    data = net.with_name("net.data")
    weights = np.frombuffer(data.read_bytes(), np.float32) * np.float32(1.5)
    data.write_bytes(weights.tobytes())
    second = load_backbone(net)
    assert first.context != second.context
    assert first.weights["sha256"] != second.weights["sha256"]
    data.unlink()
    assert not np.allclose(features(first), features(second))


def small_network(*nodes: Any, width: int = 3) -> onnx.ModelProto:
    """`x` (N, 3, 32, 32) to `out`, which it says is (N, width)."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", number, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("out", number, ["N", width])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("evil", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_network_that_does_not_do_as_it_says_is_refused(net: Path) -> None:
    make = onnx.helper.make_node
    mean = make("ReduceMean", ["x"], ["out"], axes=[2, 3], keepdims=0)
    nothing = [make("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0), make("Sub", ["m", "m"], ["z"])]
    loop = make("Loop", ["", "", "x"], ["out"], body=onnx.GraphProto())
    for model, said in (
        (small_network(make("Evil", ["x"], ["out"], domain="evil")), "ONNX Runtime cannot run its graph"),
        (small_network(*nothing, make("Div", ["z", "z"], ["out"])), "its output out is not finite"),
        (small_network(mean, width=5), r"says that out is 5 wide, and gives \(3,\)"),
        (small_network(loop), "has the operator Loop, which may never end"),
    ):
        net.write_bytes(model.SerializeToString())
        with pytest.raises(WeightsError, match=rf"my net\.onnx: .*{said}"):
            load_backbone(net)
    net.write_bytes(small_network(mean).SerializeToString())
    assert load_backbone(net).levels == (FeatureLevel("out", 3),)
    net.with_suffix(".json").write_text(f'{{"size": 32, "mean": [{10**400}, 0, 0], "std": [1, 1, 1]}}')
    with pytest.raises(DataError, match="mean must be a finite number"):
        load_backbone(net)


GOLDEN = Path(__file__).parents[2] / "golden" / "classifier_protocol1.onnx"


def rewritten(path: Path, change: Callable[[Any], None]) -> Backbone:
    """The network of a model file whose graph was changed and whose manifest says what it said."""
    file = read_model_file(GOLDEN)
    model = onnx.load_from_string(file.graph)
    del model.metadata_props[:]
    change(model.graph)
    write_model_file(path, model.SerializeToString(), file.manifest)
    return load_backbone(path)


def test_features_of_a_changed_network_are_not_kept_under_the_digest_that_it_claims(tmp_path: Path) -> None:
    def renamed(graph: Any) -> None:
        made = {name for node in graph.node for name in node.output} - {o.name for o in graph.output}
        for node in graph.node:
            node.name = f"any {node.name}"
            for names in (node.input, node.output):
                names[:] = [f"any {name}" if name in made else name for name in names]

    def heavier(graph: Any) -> None:
        weights = (a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute)
        tensor = next(tensor for tensor in weights if len(tensor.dims) == 4 and tensor.dims[0] > 1)
        array = onnx.numpy_helper.to_array(tensor) * np.float32(1.5)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array))

    def other_operator(graph: Any) -> None:
        next(node for node in graph.node if node.op_type == "Relu").op_type = "Softplus"

    golden = load_backbone(GOLDEN)
    place = tmp_path / "model.onnx"
    assert rewritten(place, renamed).context == golden.context
    for change in (heavier, other_operator):
        changed = rewritten(place, change)
        assert changed.weights == golden.weights
        assert changed.context != golden.context


def test_a_network_has_the_same_key_by_itself_and_in_a_model_file(tiny_onnx: Path) -> None:
    network, inside = load_backbone(tiny_onnx), load_backbone(GOLDEN)
    np.testing.assert_array_equal(features(network), features(inside))
    assert network.context == inside.context
