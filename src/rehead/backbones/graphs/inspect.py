"""Layers of an ONNX graph, what it computes, and the feature levels of a model file's."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Layer", "expose", "fingerprint", "layers", "level_tensors", "tensor_shapes"]

_INLINED = re.compile(r"^(Inline_\d+__)+")  # before names in files of rehead's first builder, spox
_LEAST_OPSET = 14  # that spox declared; features are cached by it
_FEW = 64  # numbers; shapes and axes, which inference reads, have fewer
_NO_LAYERS = ("Constant", "Identity", "Cast", "Transpose", "Sub", "Div")


@dataclass(frozen=True)
class Layer:
    """A node whose output is a feature map.

    Parameters
    ----------
    name : str
        Of the feature level where it is one; else of the node or, where it has none, of its output.
    kind : str
        The ONNX operator: "Conv", "Relu", "Add", ...
    tensor : str
        Name of its output in the graph.
    shape : tuple of int
        Channels, height, width; 0 where the graph leaves it open.
    """

    name: str
    kind: str
    tensor: str
    shape: tuple[int, int, int]


def expose(model: Any, tensors: Mapping[str, str]) -> bytes:
    """The graph with `tensors` (name in the graph to name of the output) as its only outputs, serialised."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for tensor, name in tensors.items():
        copy.graph.node.append(onnx.helper.make_node("Identity", [tensor], [f"exposed {name}"]))
        copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(f"exposed {name}"))
        copy.graph.output[-1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return bytes(copy.SerializeToString())


def fingerprint(model: Any, outputs: Sequence[str]) -> str:
    """Sha256 of what a graph computes, hex: its operators and weights, whatever their names and order.

    So a network has the same one by itself and in a model file. Each tensor's digest is made of those of the
    tensors that it is computed from (Merkle 1987). A graph that cannot be followed has that of its bytes.
    """
    import onnx.defs

    try:
        return _fingerprint(model, outputs)
    except (IndexError, KeyError, TypeError, ValueError, onnx.defs.SchemaError):  # nodes out of their order
        return _sha256(_serialised(model)).hex()


def _fingerprint(model: Any, outputs: Sequence[str]) -> str:
    import onnx

    # what names tensors or functions outside of itself means something in this very model only
    graphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    if model.functions or any(a.type in graphs for node in model.graph.node for a in node.attribute):
        raise ValueError("no plain operators only")
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    lowest = _LEAST_OPSET  # in which all operators mean what they mean here
    known = {"": b"", **{value.name: _sha256(b"input", value.name.encode()) for value in model.graph.input}}
    known |= {array.name: _of_array(array) for array in model.graph.initializer}
    for node in model.graph.node:
        inputs = [known[name] for name in node.input]
        if node.op_type == "Identity":
            known[node.output[0]] = inputs[0]
            continue
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            known[node.output[0]] = _of_array(attributes["value"].t)
            continue
        if node.domain in ("", "ai.onnx"):
            lowest = max(lowest, onnx.defs.get_schema(node.op_type, opset).since_version)
        made = _sha256(
            node.domain.encode(),
            node.op_type.encode(),
            *(_serialised(attributes[name]) for name in sorted(attributes)),
            *inputs,
        )
        known |= {name: _sha256(made, str(n).encode()) for n, name in enumerate(node.output) if name}
    return _sha256(str([("", lowest)]).encode(), *(known[name] for name in outputs)).hex()


def _of_array(tensor: Any) -> bytes:
    import onnx.numpy_helper

    kind = str((tensor.data_type, tuple(tensor.dims))).encode()
    return _sha256(b"constant", kind, tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes())


def _serialised(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _sha256(*parts: bytes) -> bytes:
    """Of parts and their lengths, so that nothing can move from one part to the next."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def layers(model: Any) -> list[Layer]:
    """The nodes whose outputs are float maps (N, C, h, w) of more than one pixel, in graph order."""
    graph = model.graph
    shapes = tensor_shapes(model, floats=True)
    named: dict[str, str] = {}
    before = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    for output in graph.output:
        tensor = output.name
        while tensor in before:  # an output is often only another name of a layer's output
            tensor = before[tensor]
        named[tensor] = output.name
    found: list[Layer] = []
    taken: set[str] = set()
    for node in graph.node:
        tensor = node.output[0]
        shape = shapes.get(tensor, ())
        if len(shape) != 4 or shape[2:] == (1, 1) or node.op_type in _NO_LAYERS:
            continue
        if not found and node.op_type != "Conv":  # the normalisation of the photo
            continue
        short = _INLINED.sub("", node.name)
        name = named.get(tensor) or (short if short and short not in taken else _INLINED.sub("", tensor))
        taken.add(name)
        found.append(Layer(name, node.op_type, tensor, (shape[1], shape[2], shape[3])))
    return found


def tensor_shapes(model: Any, *, floats: bool = False) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that are computed, 0 where a length is open; with `floats` of float32 ones only.

    They are inferred without the weights, whose copies take longer than all else.
    """
    import onnx.shape_inference

    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = "shapes"
    for field in ("input", "output", "value_info", "node"):
        getattr(light.graph, field).extend(getattr(model.graph, field))
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _FEW:
            light.graph.initializer.append(tensor)
        else:
            light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    graph = onnx.shape_inference.infer_shapes(light).graph
    kinds = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output)}
    return {
        name: tuple(dim.dim_value for dim in kind.shape.dim)
        for name, kind in kinds.items()
        if kind.elem_type == onnx.TensorProto.FLOAT or not floats
    }


def level_tensors(model: Any) -> list[str]:
    """Of a model file's graph, the tensors that are concatenated in `features`, first to last.

    Each is the maps (N, C, h, w) whose average it is, or a vector (N, C) where it is something else.
    """
    maker = {name: node for node in model.graph.node for name in node.output}

    def back(tensor: str, *through: str) -> str:
        while (node := maker.get(tensor)) is not None and node.op_type in through:
            tensor = node.input[0]
        return tensor

    features = back("features", "Identity")
    node = maker.get(features)
    vectors = list(node.input) if node is not None and node.op_type == "Concat" else [features]
    found = []
    for vector in vectors:
        average = maker.get(back(vector, "Flatten"))
        if average is not None and average.op_type == "GlobalAveragePool":
            vector = average.input[0]
        found.append(vector)
    return found
