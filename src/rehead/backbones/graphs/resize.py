"""The photo as it is, brought to the network's square inside the graph: `images.load_image` does it outside.

Pillow's filter, which widens where a photo shrinks (antialiasing), is Resize of opset 18. It rounds once, and
Pillow twice, so that a seventh of the values differs by 1 of 255 (benchmarks/RESULTS.md, "The same
everywhere"). A photo that has the size of the square already passes unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.helper as helper
import onnx.numpy_helper

from ...core.preprocess import PreprocessSpec
from . import builder as op

__all__ = ["photo_input", "squared", "without_resize"]

_SQUARE = "image.square"  # the tensor behind the resize: uint8 (N, S, S, 3), what the network takes
_OPSET, _IR_VERSION = 18, 8  # the first with `antialias`; ONNX Runtime 1.14 and later run it
_FILTERS: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},  # Pillow's
}


def photo_input() -> op.Var:
    """The graph's input: uint8 (N, H, W, 3) RGB of any height and width."""
    return op.argument(np.uint8, ("N", "H", "W", 3))


def squared(image: op.Var, preprocess: PreprocessSpec) -> op.Var:
    """uint8 (N, H, W, 3) as uint8 (N, S, S, 3): the whole photo, resized as `preprocess` says."""
    return op.inline(_resize(preprocess))(image)[_SQUARE]


def without_resize(model: Any, side: int) -> Any:
    """The model of a photo as it is as one of squares, `image` uint8 (N, S, S, 3); another model as it is."""
    before = [node for node in model.graph.node if node.output[0].startswith("image.")]
    if not any(_SQUARE in node.output for node in before):
        return model
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    del inner.graph.node[:], inner.graph.input[:]
    inner.graph.node.extend(node for node in model.graph.node if node not in before)
    inner.graph.input.append(
        helper.make_tensor_value_info(_SQUARE, onnx.TensorProto.UINT8, ["N", side, side, 3])
    )
    return inner


def _resize(preprocess: PreprocessSpec) -> Any:
    side, uint8 = preprocess.size, onnx.TensorProto.UINT8
    constants = {
        "image.side": np.array([side, side], np.int64),
        "image.least": np.float32(0),
        "image.most": np.float32(255),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["image.float"], to=onnx.TensorProto.FLOAT),
        helper.make_node(
            "Resize",
            ["image.float", "", "", "image.side"],
            ["image.resized"],
            axes=[1, 2],
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
            **_FILTERS[preprocess.interpolation],
        ),
        helper.make_node("Clip", ["image.resized", "image.least", "image.most"], ["image.clipped"]),
        helper.make_node("Round", ["image.clipped"], ["image.rounded"]),
        helper.make_node("Cast", ["image.rounded"], [_SQUARE], to=uint8),
    ]
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("image", uint8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info(_SQUARE, uint8, ["N", side, side, 3])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
