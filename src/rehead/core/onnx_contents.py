"""What an ONNX file would make a runtime do, told from its bytes before any library reads it.

A runtime reads the files that tensors name, and runs loops for as long as they say; local functions that call
each other twice grow exponentially. Neither onnx nor protobuf is needed, so that opening a model file stays
quick. The numbers of fields are those of onnx.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import DataError
from .protobuf import fields

__all__ = ["MAX_BYTES", "check_operators"]

MAX_BYTES = 2**31 - 1
"""A serialised message of protobuf is no longer than this."""

_MAX_NODES = 20_000  # efficientnet_b7 has 1,065, and ONNX Runtime takes 18 s to open 100,000
_MAX_DEPTH = 30  # of graphs in graphs, and of functions that call functions; protobuf reads 100 messages deep
_GRAPH, _FUNCTION = 7, 25  # of a model
_EXTERNAL = 14  # of a tensor: data_location, 1 where it lies in another file

Operator = tuple[bytes, bytes, bytes]  # domain, name, overload


def check_operators(data: bytes) -> bool:
    """Whether tensors of a serialised ONNX model lie in other files.

    Raises
    ------
    DataError
        With the reason as a phrase: it is no such model; it has a loop, which may never end, or more
        operators than any network has.
    """
    main, functions = _Body(), dict[Operator, _Body]()
    for number, _, value in fields(memoryview(data)):
        if number == _GRAPH:
            main.add_graph(_message(value))
        elif number == _FUNCTION:
            body = _Body()
            functions[body.add_function(_message(value))] = body
    bodies = (main, *functions.values())
    if looping := sorted(set().union(*(body.looping for body in bodies))):
        raise DataError(f"has the operator {', '.join(looping)}, which may never end")
    if (nodes := _expanded(main, functions, {}, 0)) > _MAX_NODES:
        raise DataError(f"has {nodes:,} operators, more than the {_MAX_NODES:,} that are run")
    return any(body.external for body in bodies)


def _expanded(
    body: _Body, functions: Mapping[Operator, _Body], known: dict[Operator, int], depth: int
) -> int:
    """Operators once each call of a local function is replaced by the function."""
    if depth > _MAX_DEPTH:
        raise DataError(f"has functions that call each other, or {_MAX_DEPTH} deep")
    total = 0
    for operator, times in body.operators.items():
        if operator in functions and operator not in known:
            known[operator] = _expanded(functions[operator], functions, known, depth + 1)
        total += times * known.get(operator, 1)
    return total


@dataclass
class _Body:
    """Of a graph or function with all graphs in it: its operators, and what it would make a runtime do."""

    operators: Counter[Operator] = field(default_factory=Counter)
    looping: set[str] = field(default_factory=set)
    external: bool = False

    def add_graph(self, data: memoryview, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise DataError(f"has graphs {_MAX_DEPTH} deep in each other")
        for number, _, value in fields(data):
            match number:
                case 1:
                    self._add_node(_message(value), depth)
                case 5:
                    self._add_tensor(_message(value))
                case 15:
                    self._add_sparse(_message(value))

    def add_function(self, data: memoryview) -> Operator:
        """The operator that the function is."""
        names = {1: b"", 10: b"", 13: b""}
        for number, _, value in fields(data):
            if number in names:
                names[number] = bytes(_message(value))
            elif number == 7:
                self._add_node(_message(value), 0)
        return _operator(names[10], names[1], names[13])

    def _add_node(self, data: memoryview, depth: int) -> None:
        names = {4: b"", 7: b"", 8: b""}
        graphs = False
        for number, _, value in fields(data):
            if number in names:
                names[number] = bytes(_message(value))
            elif number == 5:
                graphs |= self._add_attribute(_message(value), depth)
        operator = _operator(names[7], names[4], names[8])
        self.operators[operator] += 1
        if operator[:2] in _LOOPS or (graphs and operator[:2] != (b"", b"If")):
            self.looping.add(names[4].decode("utf-8", "replace"))

    def _add_attribute(self, data: memoryview, depth: int) -> bool:
        """Whether the attribute is a graph."""
        graphs = False
        for number, _, value in fields(data):
            match number:
                case 5 | 10:
                    self._add_tensor(_message(value))
                case 6 | 11:
                    graphs = True
                    self.add_graph(_message(value), depth + 1)
                case 22 | 23:
                    self._add_sparse(_message(value))
        return graphs

    def _add_sparse(self, data: memoryview) -> None:
        for number, _, value in fields(data):
            if number in (1, 2):
                self._add_tensor(_message(value))

    def _add_tensor(self, data: memoryview) -> None:
        self.external |= any(number == _EXTERNAL and value == 1 for number, _, value in fields(data))


_LOOPS = {(b"", b"Loop"), (b"", b"Scan"), (b"", b"SequenceMap")}


def _operator(domain: bytes, name: bytes, overload: bytes) -> Operator:
    return (b"" if domain == b"ai.onnx" else domain), name, overload


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise DataError("is no ONNX")
    return value
