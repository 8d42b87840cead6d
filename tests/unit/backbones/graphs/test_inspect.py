"""What a graph computes is told from it alone, whatever its names and versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rehead.backbones.backbone import load_backbone
from rehead.backbones.graphs import builder as op
from rehead.backbones.graphs import inspect

GOLDEN = sorted((Path(__file__).parents[3] / "golden").glob("*.onnx"))


def network(kind: str, opset: int) -> Any:
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node(kind, ["x"], ["y"])], "net", [x], [y])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])


def test_the_same_operator_has_one_fingerprint_whatever_opset_is_declared() -> None:
    assert inspect.fingerprint(network("Relu", 14), ["y"]) == inspect.fingerprint(network("Relu", 17), ["y"])


def test_an_operator_that_another_opset_changed_has_another() -> None:
    found = {inspect.fingerprint(network("ReduceMean", opset), ["y"]) for opset in (17, 18)}
    assert len(found) == 2


def test_an_operator_that_onnx_does_not_know_is_no_error() -> None:
    assert inspect.fingerprint(network("Evil", 17), ["y"]) != inspect.fingerprint(network("Evils", 17), ["y"])


def test_a_network_within_another_has_its_own_fingerprint(tiny_onnx: Path) -> None:
    alone = load_backbone(tiny_onnx).model
    image = op.argument(np.uint8, ("N", 32, 32, 3))
    inner = op.inline(alone)
    mirrored = op.slice(image, op.const([-1]), op.const([-99]), op.const([2]), op.const([-1]))
    two = op.build({"image": image}, {"twin": inner(mirrored)["last"], "last": inner(image)["last"]})
    expected = inspect.fingerprint(alone, ["last"])
    assert inspect.fingerprint(two, ["last"]) == expected
    assert inspect.fingerprint(two, ["twin"]) != expected


def test_the_features_that_are_cached_for_a_named_network_stay() -> None:
    backbone = load_backbone("efficientnet_lite0")
    assert backbone.context["network"] == "26ff06735c3631400bc05c58a9b62237a27134b97b2f62f5cd7d21ffd26b78e3"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_shapes_are_inferred_without_weights(path: Path) -> None:
    model = onnx.load(path)
    graph = onnx.shape_inference.infer_shapes(model).graph
    expected = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    assert inspect.tensor_shapes(model) == expected
    image = op.argument(np.uint8, [dim.dim_value or "N" for dim in graph.input[0].type.tensor_type.shape.dim])
    outputs = op.inline(model)(image)
    again = op.build({"image": image}, outputs)  # its constants are initializers
    shapes = inspect.tensor_shapes(again)
    assert {name: shapes[name] for name in outputs} == {name: expected[name] for name in outputs}
    assert len(shapes) > 20
