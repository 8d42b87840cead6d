"""ONNX graphs, written as expressions.

    image = argument(np.uint8, ("N", 32, 32, 3))
    x = reduce_mean(cast(image, to=np.float32), axes=[1, 2], keepdims=0)
    model = build({"image": image}, {"colours": x})

Every operator of ONNX, as opset 17 has it, is a function here: `reduce_mean` is ReduceMean. It takes the
operator's inputs in their order, where there may be any number of them a list, and its attributes by name,
and returns the first output. onnx infers each output's type and shape at once, so that an attribute that does
not exist and shapes that do not fit are errors where they are written.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from numpy.typing import DTypeLike

__all__ = ["IR_VERSION", "OPSET", "Var", "argument", "build", "const", "inline"]

OPSET = 17
"""Opset of every graph, unless a network of others has a later one: ONNX Runtime 1.13 and later run it."""

IR_VERSION = 8
"""Of the file's format, unless such a network needs a later one: that of opset 17 (onnx's Versioning.md)."""

_IMPORTS = [onnx.helper.make_opsetid("", OPSET)]
_OTHERWISE = {"matmul": "MatMul", "prelu": "PRelu"}  # operators whose capitals do not follow from words
_SHORT = 64  # bytes of a constant that tell it from most others of its shape


@dataclass(frozen=True, eq=False)
class Var:
    """A tensor of a graph: an input of it, a constant, or what a node gives.

    Parameters
    ----------
    type : onnx.TypeProto or None
        None within a network that was inlined.
    source : onnx.TensorProto or _Node or None
        The constant, or the node.
    name : str
        That it had in the model it comes from, "" where there was none.
    """

    type: Any
    source: Any = None
    name: str = ""

    @property
    def shape(self) -> tuple[Any, ...]:
        """Lengths, or their names; None where they are not known."""
        dims = self.type.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims)


@dataclass(frozen=True, eq=False)
class _Origin:
    """The versions that nodes were written for; `opsets` by domain."""

    opsets: Mapping[str, int]
    ir_version: int


_HERE = _Origin({"": OPSET}, IR_VERSION)


@dataclass(frozen=True, eq=False)
class _Node:
    proto: Any  # whose own names are only proposals
    inputs: Sequence[Var | None]
    origin: _Origin
    outputs: list[Var] = field(default_factory=list)
    outer: Mapping[str, Var] = field(default_factory=dict)  # what graphs inside of it take from outside
    place: int = field(default_factory=itertools.count().__next__)


def __getattr__(name: str) -> Callable[..., Var]:
    kind = _OTHERWISE.get(name) or "".join(word.capitalize() for word in name.split("_"))
    if name.startswith("_") or not onnx.defs.has(kind):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    schema = onnx.defs.get_schema(kind, OPSET)

    def operator(*inputs: Var | Sequence[Var], **attributes: Any) -> Var:
        given = [var for each in inputs for var in ([each] if isinstance(each, Var) else each)]
        for key, value in attributes.items():
            if isinstance(value, type):  # a dtype
                attributes[key] = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value))
        proto = onnx.helper.make_node(kind, [str(n) for n in range(len(given))], ["output"], **attributes)
        named = dict(zip(proto.input, given, strict=True))
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            proto,
            {key: var.type for key, var in named.items()},
            {key: var.source for key, var in named.items() if _is_int(var.source)},  # shapes, axes
            opset_imports=_IMPORTS,
            ir_version=IR_VERSION,
        )
        node = _Node(proto, given, _HERE)
        node.outputs.append(Var(found["output"], node))
        return node.outputs[0]

    return operator


def _is_int(source: Any) -> bool:
    return isinstance(source, onnx.TensorProto) and source.data_type == onnx.TensorProto.INT64


def argument(dtype: DTypeLike, shape: Sequence[int | str]) -> Var:
    """An input of the graph; lengths that are not fixed have names."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return Var(onnx.helper.make_tensor_type_proto(kind, shape))


def const(value: Any) -> Var:
    """An array, a number, or a list of whole numbers (int64) that is part of the graph."""
    return _constant(onnx.numpy_helper.from_array(np.asarray(value)))


def _constant(tensor: Any, name: str = "") -> Var:
    return Var(onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims), tensor, name)


def inline(model: Any, tensors: Sequence[str] | None = None) -> Callable[..., dict[str, Var]]:
    """The network of an ONNX model, as a function of its inputs: in their order, or by name.

    It returns the tensors of these names, by default the outputs; a graph that is built has what they need of
    the network and no more. All calls share its weights. Raises ValueError where the model has functions.
    """
    if model.functions:
        raise ValueError("local functions are not supported; export the network without them")
    graph = model.graph
    opsets = {"" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import}
    origin = _Origin(opsets, model.ir_version)
    types = {value.name: value.type for value in (*graph.value_info, *graph.output)}
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [
        onnx.helper.make_node("Constant", [], [sparse.values.name], sparse_value=sparse)
        for sparse in graph.sparse_initializer
    ]
    for proto in graph.node:
        if proto.op_type == "Constant" and [a.name for a in proto.attribute] == ["value"]:
            arrays[proto.output[0]] = proto.attribute[0].t
        else:
            nodes.append(proto)
    constants = {name: _constant(tensor, name) for name, tensor in arrays.items()}
    inputs = [value.name for value in graph.input if value.name not in constants]
    wanted = [output.name for output in graph.output] if tensors is None else tensors

    def call(*given: Var, **named: Var) -> dict[str, Var]:
        scope: dict[str, Var] = {**constants, **dict(zip(inputs, given, strict=False)), **named}
        for proto in nodes:
            outer = {name: scope[name] for name in _taken_from_outside(proto)}
            taken = [scope[name] if name else None for name in proto.input]
            node = _Node(proto, taken, origin, outer=outer)
            for name in proto.output:
                node.outputs.append(Var(types.get(name), node, name))
            scope |= {var.name: var for var in node.outputs}
        return {name: scope[name] for name in wanted}

    return call


def _graphs(proto: Any) -> list[Any]:
    """The branches of a node."""
    return [graph for a in proto.attribute for graph in (*([a.g] if a.HasField("g") else []), *a.graphs)]


def _taken_from_outside(proto: Any) -> Iterator[str]:
    for graph in _graphs(proto):
        own = {value.name for value in (*graph.input, *graph.initializer)}
        own.update(each.values.name for each in graph.sparse_initializer)
        for node in graph.node:
            yield from (
                name for name in (*node.input, *_taken_from_outside(node)) if name and name not in own
            )
            own.update(node.output)
        yield from (output.name for output in graph.output if output.name not in own)


def build(inputs: Mapping[str, Var], outputs: Mapping[str, Var]) -> Any:
    """The ONNX model of `outputs`: the nodes that they need, in the order in which they were written.

    The same expressions give the same bytes. Tensors of networks that were inlined keep their names, unless
    another has it. Equal constants are stored once, as initializers.
    """
    nodes = _needed(outputs.values())
    ir_version, opsets = IR_VERSION, {"": OPSET}
    for origin in {node.origin: None for node in nodes}:
        if origin.opsets.get("", 0) > OPSET:
            ir_version = max(ir_version, origin.ir_version)
        opsets |= {domain: max(version, opsets.get(domain, 0)) for domain, version in origin.opsets.items()}
    model = onnx.ModelProto(ir_version=ir_version, producer_name="rehead")
    model.opset_import.extend(onnx.helper.make_opsetid(*each) for each in sorted(opsets.items()))
    model.graph.name = "rehead"
    for where, values in ((model.graph.input, inputs), (model.graph.output, outputs)):
        for name, var in values.items():
            where.add(name=name, type=var.type)
    writer = _Writer(model.graph, inputs, outputs)
    for node in nodes:
        writer.add(node, opsets[""])
    for name, var in outputs.items():
        writer.give(var, name)
    return model


def _needed(outputs: Iterable[Var]) -> list[_Node]:
    """The nodes that these come from, as they were written, so that each is after those it needs."""
    found: set[_Node] = set()
    left = [var.source for var in outputs]
    while left:
        node = left.pop()
        if isinstance(node, _Node) and node not in found:
            found.add(node)
            left += [var.source for var in (*node.inputs, *node.outer.values()) if var is not None]
    return sorted(found, key=lambda node: node.place)


class _Unique:
    """Names, each given once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken, self._next = set(taken), Counter[str]()

    def __call__(self, base: str, name: str = "") -> str:
        """`name` if it is free, else `base` with a number."""
        while not name or name in self._taken:
            name = f"{base}_{self._next[base]}"
            self._next[base] += 1
        self._taken.add(name)
        return name


class _Writer:
    """Writes nodes and constants into a graph, and knows the names of tensors there."""

    def __init__(self, graph: Any, inputs: Mapping[str, Var], outputs: Mapping[str, Var]) -> None:
        self._graph = graph
        self._names = {var: name for name, var in inputs.items()}
        for name, var in outputs.items():
            if isinstance(var.source, _Node):
                self._names.setdefault(var, name)
        self._tensors, self._nodes = _Unique((*inputs, *outputs)), _Unique()
        self._stored: dict[tuple[Any, ...], list[tuple[bytes, str]]] = {}

    def name_of(self, var: Var | None) -> str:
        """The name of a tensor, "" of an input that is left out; a constant is stored first."""
        if var is None:
            return ""
        if var not in self._names:
            if not isinstance(var.source, onnx.TensorProto):
                raise ValueError("the outputs depend on an input that is not among the inputs")
            self._names[var] = self._store(var.source, var.name)
        return self._names[var]

    def _store(self, tensor: Any, name: str) -> str:
        raw = tensor.raw_data
        alike = self._stored.setdefault((tensor.data_type, *tensor.dims, raw[:_SHORT]), [])
        for other, same in alike:
            if raw and other == raw:
                return same
        stored = self._graph.initializer.add()
        stored.CopyFrom(tensor)
        stored.name = self._tensors(name or "Constant", name)
        alike.append((raw, stored.name))
        return str(stored.name)

    def add(self, node: _Node, opset: int) -> None:
        """Write a node, as it is in that opset."""
        proto = self._graph.node.add()
        proto.CopyFrom(node.proto)
        own = node.origin is _HERE
        if proto.name or own:
            proto.name = self._nodes(proto.op_type if own else proto.name, proto.name)
        for var in node.outputs:
            name = proto.name if own else var.name  # "" of an output that is left out
            if var not in self._names:
                self._names[var] = self._tensors(name, name) if name else ""
        proto.input[:] = [self.name_of(var) for var in node.inputs]
        proto.output[:] = [self.name_of(var) for var in node.outputs]
        outer = {name: self.name_of(var) for name, var in node.outer.items()}
        for graph in _graphs(proto):
            self._rename(graph, outer)
        if not proto.domain and node.origin.opsets.get("", OPSET) < opset:
            self._bring_up(proto, opset)

    def give(self, var: Var, name: str) -> None:
        """Let an output of this name be the tensor: an input, a constant, or one that has another name."""
        if (given := self.name_of(var)) != name:
            node = self._graph.node.add(op_type="Identity", input=[given], output=[name])
            node.name = self._nodes(name, name)

    def _rename(self, graph: Any, outer: Mapping[str, str]) -> None:
        """Names of a branch that no other tensor has."""
        names = dict(outer)
        for value in (*graph.input, *graph.initializer):
            value.name = names.setdefault(value.name, self._tensors(value.name, value.name))
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            for inner in _graphs(node):
                self._rename(inner, names)
            names |= {name: self._tensors(name, name) for name in node.output if name}
            node.output[:] = [names.get(name, "") for name in node.output]
        for output in graph.output:
            output.name = names[output.name]
        del graph.value_info[:]

    def _bring_up(self, proto: Any, opset: int) -> None:
        """Of the operators that networks consist of, later opsets write these otherwise."""
        attributes = {attribute.name: attribute for attribute in proto.attribute}
        if opset >= 18 and proto.op_type.startswith("Reduce") and "axes" in attributes:
            proto.input.append(self.name_of(const(list(attributes["axes"].ints))))
            proto.attribute.remove(attributes["axes"])
        unsized = proto.op_type == "Split" and len(proto.input) < 2
        if opset >= 18 and unsized and "num_outputs" not in attributes:
            proto.attribute.append(onnx.helper.make_attribute("num_outputs", len(proto.output)))
        if opset >= 20 and proto.op_type == "GridSample" and "mode" in attributes:
            attributes["mode"].s = attributes["mode"].s.removeprefix(b"bi")
