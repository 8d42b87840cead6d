"""Graphs written as expressions give what numpy gives, in the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.backbones.graphs import builder as op
from rehead.core.runtime import open_session

Array = NDArray[np.float32]
WIDTH = 5


def run(model: Any, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The outputs of a valid model, whose tensors all have names of their own."""
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    made = Counter([*(i.name for i in graph.input), *(i.name for i in graph.initializer)])
    made.update(name for node in graph.node for name in node.output if name)
    assert set(made.values()) == {1}
    nodes = Counter(node.name for node in graph.node if node.name)
    assert set(nodes.values()) <= {1}
    session = open_session(model.SerializeToString(), threads=1)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def row(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(3, WIDTH)).astype(np.float32)


def vector() -> op.Var:
    return op.argument(np.float32, ("N", WIDTH))


STEPS: list[tuple[Callable[[op.Var, op.Var], op.Var], Callable[[Array, Array], Array]]] = [
    (lambda x, y: op.add(x, y), lambda x, y: x + y),
    (lambda x, y: op.sub(x, y), lambda x, y: x - y),
    (
        lambda x, y: op.max([x, y, op.const(np.float32(0.25))]),
        lambda x, y: np.maximum(np.maximum(x, y), 0.25),
    ),
    (lambda x, y: op.tanh(op.concat([x, y], axis=1)), lambda x, y: np.tanh(np.concatenate([x, y], axis=1))),
    (lambda x, y: op.reduce_sum(x, op.const([1]), keepdims=1), lambda x, y: x.sum(axis=1, keepdims=True)),
    (lambda x, y: op.reduce_mean(y, axes=[1], keepdims=1), lambda x, y: y.mean(axis=1, keepdims=True)),
    (lambda x, y: op.matmul(x, op.const(np.eye(WIDTH, dtype=np.float32)[:, :2])), lambda x, y: x[:, :2]),
    (lambda x, y: op.slice(y, op.const([1]), op.const([3]), op.const([1])), lambda x, y: y[:, 1:3]),
    (
        lambda x, y: op.cast(op.greater(x, op.const(np.float32(0))), to=np.float32),
        lambda x, y: (x > 0).astype(np.float32),
    ),
]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 99), st.integers(0, 99)), max_size=8)
)
def test_any_expression_gives_what_numpy_gives(steps: list[tuple[int, int, int]]) -> None:
    def expressions() -> tuple[op.Var, list[op.Var], list[Array]]:
        x = vector()
        found, expected = [x], [row()]
        for step, left, right in steps:
            wide = [n for n, array in enumerate(expected) if array.shape[1] == WIDTH]
            a, b = wide[left % len(wide)], wide[right % len(wide)]
            ours, numpys = STEPS[step]
            found.append(ours(found[a], found[b]))
            expected.append(numpys(expected[a], expected[b]))
        return x, found, expected

    def model() -> Any:
        x, found, _ = expressions()
        return op.build({"x": x}, {f"y{n}": var for n, var in enumerate(found)})

    _, found, expected = expressions()
    assert [var.shape for var in found] == [("N", array.shape[1]) for array in expected]
    answers = run(model(), x=row())
    assert list(answers) == [f"y{n}" for n in range(len(expected))]
    for n, array in enumerate(expected):
        np.testing.assert_allclose(answers[f"y{n}"], array, rtol=1e-5, atol=1e-6)
    assert model().SerializeToString(deterministic=True) == model().SerializeToString(deterministic=True)


SMALL_NETWORK = """
import hashlib, numpy as np
from rehead.backbones.graphs import builder as op
x = op.argument(np.float32, ("N", 3))
y = op.relu(op.matmul(x, op.const(np.eye(3, dtype=np.float32))))
inner = op.build({"x": x}, {"y": op.softmax(y, axis=1), "z": op.add(y, x)})
found = op.inline(inner)(x=y)
print(hashlib.sha256(op.build({"x": x}, found).SerializeToString(deterministic=True)).hexdigest())
"""


def test_other_processes_write_the_same_bytes() -> None:
    digests = [
        subprocess.run(
            [sys.executable, "-c", SMALL_NETWORK],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert digests[0] == digests[1] != b""


def test_the_versions_are_those_that_runtimes_of_2023_know() -> None:
    x = vector()
    model = op.build({"x": x}, {"y": op.relu(x)})
    assert model.ir_version == 8
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]


def test_only_what_the_outputs_need_is_written() -> None:
    x = vector()
    op.tanh(x)
    model = op.build({"x": x}, {"y": op.relu(op.relu(x))})
    assert [node.op_type for node in model.graph.node] == ["Relu", "Relu"]


def test_an_output_may_be_an_input_a_constant_or_come_twice() -> None:
    x = vector()
    y = op.relu(x)
    found = run(op.build({"x": x}, {"same": x, "y": y, "again": y, "five": op.const(np.float32(5))}), x=row())
    np.testing.assert_array_equal(found["same"], row())
    np.testing.assert_array_equal(found["again"], row().clip(0))
    np.testing.assert_array_equal(found["y"], found["again"])
    assert found["five"] == 5


def test_equal_constants_are_stored_once() -> None:
    x, long = vector(), np.arange(WIDTH * 40, dtype=np.float32).reshape(WIDTH, 40)
    other = long.copy()
    other[-1, -1] += 1  # differs behind the bytes that are compared first
    y = op.add(op.matmul(x, op.const(long)), op.matmul(x, op.const(long.copy())))
    model = op.build({"x": x}, {"y": op.add(y, op.matmul(x, op.const(other)))})
    assert len(model.graph.initializer) == 2
    np.testing.assert_allclose(run(model, x=row())["y"], row() @ (2 * long + other), rtol=1e-4)
    assert len(op.build({"x": x}, {"y": op.add(x, op.const(np.float32(0)))}).graph.initializer) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: op.relu(x, alpha=2.0), "alpha"),
        (lambda x: op.matmul(x), "input size 1"),
        (lambda x: op.matmul(x, op.const(np.zeros((WIDTH + 1, 2), np.float32))), "Incompatible dimensions"),
    ],
)
def test_what_does_not_fit_is_an_error_where_it_is_written(wrong: Any, said: str) -> None:
    with pytest.raises(Exception, match=said):
        wrong(vector())


def test_an_operator_that_does_not_exist_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rellu'"):
        _ = op.rellu


def test_an_input_that_is_forgotten_is_said() -> None:
    x, y = vector(), vector()
    with pytest.raises(ValueError, match="not among the inputs"):
        op.build({"x": x}, {"z": op.add(x, y)})


# networks within networks


def inner() -> Any:
    """x to y = relu(x) * 3 and z = y + 1; its names are those that a graph around it would give."""
    x = vector()
    y = op.mul(op.relu(x), op.const(np.float32(3)))
    return op.build({"x": x}, {"y": y, "z": op.add(y, op.const(np.ones(WIDTH, np.float32)))})


def test_a_network_may_be_inlined_twice() -> None:
    network, x = op.inline(inner()), vector()
    once = network(x)
    twice = network(x=op.relu(op.sub(once["y"], x)))
    model = op.build({"x": x}, {"y": once["z"], "Relu_0": twice["y"]})
    y = row().clip(0) * 3
    found = run(model, x=row())
    np.testing.assert_allclose(found["y"], y + 1, rtol=1e-6)
    np.testing.assert_allclose(found["Relu_0"], (y - row()).clip(0) * 3, rtol=1e-6)
    assert len(model.graph.initializer) == 2


def test_names_of_an_inlined_network_stay() -> None:
    x = vector()
    model = op.build({"x": x}, {"out": op.inline(inner())(x)["z"]})
    assert [node.output[0] for node in model.graph.node] == ["Relu_0", "y", "out"]
    assert [node.name for node in model.graph.node] == [node.name for node in inner().graph.node]
    deeper = op.build({"x": x}, {"y": op.inline(model, ["y"])(x)["y"]})
    assert [node.op_type for node in deeper.graph.node] == ["Relu", "Mul"], "what comes behind is left out"


def test_functions_are_refused() -> None:
    model = inner()
    model.functions.add(name="f")
    with pytest.raises(ValueError, match="functions are not supported"):
        op.inline(model)


BRANCHES = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 5] x) => (float[N, 5] y) {
  half = Constant <value = float {0.5}> ()
  total = ReduceSum <keepdims = 0> (x)
  positive = Greater (total, half)
  t = Mul (x, half)
  y = If (positive) <
    then_branch = then () => (float[N, 5] t2) { s = Add (t, half)  t2 = Tanh (s) },
    else_branch = else () => (float[N, 5] e) { s = Sub (x, t)  e = Neg (s) }
  >
}
"""


@pytest.mark.parametrize("sign", [1, -1])
def test_branches_keep_what_they_take_from_outside(sign: int) -> None:
    network, x = op.inline(onnx.parser.parse_model(BRANCHES)), vector()
    s = op.abs(x)
    first = network(s if sign > 0 else op.neg(s))["y"]
    model = op.build({"x": x}, {"t": first, "s": network(first)["y"]})
    found = run(model, x=row())

    def expected(x: Array) -> Array:
        return np.tanh(x * 0.5 + 0.5) if x.sum() > 0.5 else -(x - x * 0.5)

    np.testing.assert_allclose(found["t"], expected(sign * np.abs(row())), rtol=1e-5)
    np.testing.assert_allclose(found["s"], expected(found["t"]), rtol=1e-5)


@pytest.mark.parametrize("opset", [14, 17, 18, 20, 21])
def test_operators_are_written_as_the_opset_of_an_inlined_network_has_them(opset: int) -> None:
    shape = ["N", 1, 4, 4]
    image, same = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in "ab")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["a"], ["b"])], "net", [image], [same])
    later = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("ai.onnx", opset)])
    later.ir_version = 10
    x = op.argument(np.float32, ("N", 1, 4, 4))
    grid = op.argument(np.float32, ("N", 2, 2, 2))
    sampled = op.grid_sample(op.inline(later)(x)["b"], grid, align_corners=1, mode="bilinear")
    outputs = {
        name: reduce(sampled, axes=[2, 3], keepdims=0)
        for name, reduce in [
            ("mean", op.reduce_mean), ("max", op.reduce_max), ("min", op.reduce_min), ("l2", op.reduce_l2)
        ]
    }  # fmt: skip
    model = op.build({"x": x, "grid": grid}, outputs)
    assert {each.domain: each.version for each in model.opset_import} == {"": max(opset, 17)}
    assert model.ir_version == (10 if opset > 17 else 8)
    photo = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    corners = np.array([[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]], np.float32)
    found = run(model, x=photo, grid=np.stack([corners] * 2))
    there = photo.clip(0)[:, :, ::3, ::3]
    np.testing.assert_allclose(found["mean"], there.mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found["max"], there.max(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found["min"], there.min(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found["l2"], np.sqrt((there**2).sum(axis=(2, 3))), rtol=1e-5)
