"""What an ONNX file would do is told from its bytes: loops, files it reads, functions that grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rehead.core.onnx_contents import check_operators
from rehead.errors import DataError

onnx = pytest.importorskip("onnx")
helper, kinds = onnx.helper, onnx.TensorProto


def network(nodes: Sequence[Any], *, arrays: Sequence[Any] = (), functions: Sequence[Any] = ()) -> bytes:
    """A model of `x` (N, 3) to `y` (N, 3)."""
    ends = [helper.make_tensor_value_info(name, kinds.FLOAT, ["N", 3]) for name in "xy"]
    graph = helper.make_graph(list(nodes), "network", ends[:1], ends[1:], list(arrays))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)
    return bytes(model.SerializeToString())


def relu(start: str = "x", end: str = "y") -> Any:
    return helper.make_node("Relu", [start], [end])


def elsewhere(name: str = "w") -> Any:
    """A tensor that lies in another file."""
    tensor = kinds(name=name, data_type=kinds.FLOAT, dims=[3], data_location=kinds.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def body(*nodes: Any) -> Any:
    """A graph without inputs, as an attribute has it."""
    return helper.make_graph(
        list(nodes), "body", [], [helper.make_tensor_value_info("out", kinds.FLOAT, None)]
    )


def function(name: str, *calls: str) -> Any:
    names = ["x", *(f"t{n}" for n in range(1, len(calls))), "y"]
    nodes = [
        helper.make_node(call, [start], [end], domain="" if call == "Relu" else "d")
        for call, start, end in zip(calls, names[:-1], names[1:], strict=True)
    ]
    return helper.make_function("d", name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])


def test_a_plain_network_is_let_through() -> None:
    assert (
        check_operators(network([relu()], arrays=[helper.make_tensor("w", kinds.FLOAT, [1], [2.0])])) is False
    )
    called = network([helper.make_node("F", ["x"], ["y"], domain="d")], functions=[function("F", "Relu")])
    assert check_operators(called) is False
    branch = body(helper.make_node("Identity", ["x"], ["out"]))
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    assert check_operators(network([chosen])) is False


def test_tensors_of_other_files_are_seen_wherever_they_are() -> None:
    constant = helper.make_node("Constant", [], ["out"], value=elsewhere())
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=body(constant), else_branch=body(constant))
    inside = helper.make_function("d", "F", ["x"], ["out"], [constant], [helper.make_opsetid("", 17)])
    sparse = onnx.SparseTensorProto(values=elsewhere(), dims=[3])
    for found in (
        network([relu()], arrays=[elsewhere()]),
        network([helper.make_node("Constant", [], ["y"], value=elsewhere())]),
        network([helper.make_node("Constant", [], ["y"], sparse_value=sparse)]),
        network([chosen]),
        network([helper.make_node("F", ["x"], ["y"], domain="d")], functions=[inside]),
    ):
        assert check_operators(found) is True


@pytest.mark.parametrize("operator", ["Loop", "Scan", "SequenceMap"])
@pytest.mark.parametrize("nested", [False, True])
def test_what_may_never_end_is_refused(operator: str, nested: bool) -> None:
    loop = helper.make_node(operator, ["m", "c", "x"], ["out"], body=body(relu("x", "out")))
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=body(loop), else_branch=body(loop))
    with pytest.raises(DataError, match=f"has the operator {operator}, which may never end"):
        check_operators(network([chosen if nested else loop]))


def test_functions_that_grow_exponentially_are_refused() -> None:
    calls = [function("F0", "Relu", "Relu")]
    calls += [function(f"F{n}", f"F{n - 1}", f"F{n - 1}") for n in range(1, 24)]
    with pytest.raises(DataError, match=r"has 16,777,216 operators, more than the 20,000"):
        check_operators(network([helper.make_node("F23", ["x"], ["y"], domain="d")], functions=calls))


@pytest.mark.parametrize("length", [1, 3, 500])
def test_functions_that_call_each_other_and_long_chains_are_refused(length: int) -> None:
    calls = [function(f"F{n}", f"F{(n + 1) % length}") for n in range(length)]
    with pytest.raises(DataError, match="functions that call each other"):
        check_operators(network([helper.make_node("F0", ["x"], ["y"], domain="d")], functions=calls))


def test_graphs_deep_in_each_other_are_refused() -> None:
    node = relu("x", "out")
    for _ in range(31):
        node = helper.make_node("If", ["c"], ["out"], then_branch=body(node), else_branch=body())
    with pytest.raises(DataError, match="30 deep"):
        check_operators(network([node]))


@pytest.mark.parametrize("data", [b"\x3a", b"\x3a\x05ab", b"\xff" * 11, b"\x3a\x02\x0b\x00", b"\x38\x01"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="is no ONNX"):
        check_operators(data)
