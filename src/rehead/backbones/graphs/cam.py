"""Class activation maps of an ONNX graph (CAM, Zhou et al. 2016).

Where a network averages its last maps over their pixels and only linear steps follow, the answer is
linear in every pixel of those maps: with maps m (P pixels, C), mean_p(m) @ A + b = mean_p(m @ A) + b.
`linear_in_maps` finds m, A and b by walking the graph from its answer back to the averages,
whoever wrote the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .inspect import tensor_shapes

__all__ = [
    "LinearInMaps",
    "NotLinearError",
    "Piece",
    "activation_maps",
    "add_maps",
    "linear_in_maps",
    "sum_maps",
]

_SAME = ("Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast")


class NotLinearError(DataError):
    """The answer is not linear in any maps; `str` says what is in the way."""


@dataclass(frozen=True)
class Piece:
    """Maps that are averaged, and the weight of each channel's average for each class.

    Parameters
    ----------
    tensor : str
        Name of the maps in the graph.
    channels_last : bool
        (N, h, w, C) instead of (N, C, h, w).
    weight : float64 ndarray (C, K)
    """

    tensor: str
    channels_last: bool
    weight: NDArray[np.float64]


@dataclass(frozen=True)
class LinearInMaps:
    """logits = bias + sum over pieces of mean over pixels of maps @ weight.

    Parameters
    ----------
    pieces : tuple of Piece
        One for each feature level that is used, first to last.
    bias : float64 ndarray (K,)
    """

    pieces: tuple[Piece, ...]
    bias: NDArray[np.float64]

    def only(self, classes: Sequence[int]) -> LinearInMaps:
        """The same for some of the classes, in that order."""
        columns = list(classes)
        pieces = tuple(replace(piece, weight=piece.weight[:, columns]) for piece in self.pieces)
        return LinearInMaps(pieces, self.bias[columns])

    def logits(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """The answer (K,) by these maps, one (C, h, w) or (h, w, C) for each piece."""
        total = self.bias
        for piece, m in zip(self.pieces, maps, strict=True):
            mean = m.mean(axis=(0, 1) if piece.channels_last else (1, 2), dtype=np.float64)
            total = total + mean @ piece.weight
        return total


def linear_in_maps(model: Any, answer: str = "probabilities") -> LinearInMaps:
    """Write an output (N, K) as a linear map of average-pooled maps.

    Parameters
    ----------
    model : onnx.ModelProto
    answer : str
        The output: logits, or probabilities whose softmax is left out.

    Raises
    ------
    NotLinearError
        Something else than linear steps stands between the averages and the answer.
    """
    try:
        return _linear_in_maps(model, answer)
    except NotLinearError:
        raise
    except Exception as error:  # whoever wrote the graph: steps without the inputs or attributes they need
        raise NotLinearError(f"the graph cannot be followed: {type(error).__name__}") from error


def _linear_in_maps(model: Any, answer: str) -> LinearInMaps:
    walk = _Walk(model)
    tensor = walk.origin(answer)
    node = walk.maker.get(tensor)
    if node is not None and node.op_type == "Softmax":
        tensor = node.input[0]
    classes = walk.width(tensor)
    if not classes:
        raise NotLinearError(f"the graph does not say how many numbers {answer} has")
    walk.back(tensor, np.eye(classes))
    return LinearInMaps(tuple(reversed(walk.pieces)), np.asarray(walk.bias, np.float64) + np.zeros(classes))


@dataclass
class _Walk:
    """Walks the graph from an output back to averaged maps: y = x @ A + bias, with x ever earlier."""

    model: Any
    pieces: list[Piece] = field(default_factory=list)
    bias: Any = 0.0

    def __post_init__(self) -> None:
        self.maker = {name: node for node in self.model.graph.node for name in node.output}
        self.given = {array.name: array for array in self.model.graph.initializer}
        self.shapes = tensor_shapes(self.model)

    def origin(self, tensor: str) -> str:
        """The tensor that an output is another name of."""
        while (node := self.maker.get(tensor)) is not None and node.op_type == "Identity":
            tensor = node.input[0]
        return tensor

    def width(self, tensor: str) -> int:
        """D of a tensor (N, D) or (N, D, 1, 1); 0 where the graph leaves it open."""
        shape = self.shapes.get(tensor, ())
        return int(np.prod(shape[1:])) if len(shape) >= 2 else 0

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """Value of a tensor that is part of the graph; None of one that is computed."""
        import onnx.numpy_helper

        if tensor in self.given:
            return np.asarray(onnx.numpy_helper.to_array(self.given[tensor]))
        node = self.maker.get(tensor)
        if node is None or node.op_type not in ("Constant", "Identity"):
            return None
        if node.op_type == "Identity":
            return self.constant(node.input[0])
        values = [a for a in node.attribute if a.name == "value"]
        return np.asarray(onnx.numpy_helper.to_array(values[0].t)) if values else None

    def back(self, tensor: str, A: NDArray[np.float64]) -> None:
        """Add what `tensor` (N, D) @ A consists of to `pieces` and `bias`."""
        while True:
            node: Any = self.maker.get(tensor)
            kind = node.op_type if node is not None else ""
            if self._is_average(node):
                return self._average(node, A)
            if kind in _SAME:
                tensor = node.input[0]
            elif kind == "Concat":
                return self._concat(node, A)
            elif kind == "Slice":
                tensor, A = self._slice(node, A)
            elif kind in ("Gemm", "MatMul"):
                tensor, A = self._matrix(node, A)
            elif kind in ("Add", "Sub", "Mul", "Div"):
                tensor, A = self._elementwise(node, A)
            else:
                raise self._stopped(node)

    def _stopped(self, node: Any) -> NotLinearError:
        what = f"a step {node.op_type!r}" if node is not None else "its input"
        return NotLinearError(f"{what} stands where averaged maps were expected")

    def _is_average(self, node: Any) -> bool:
        match node.op_type if node is not None else "":
            case "GlobalAveragePool":
                return True
            case "ReduceMean":
                return self._axes(node) in ({2, 3}, {1, 2})
            case "AveragePool":  # of all pixels at once
                options = {a.name: list(a.ints) for a in node.attribute}
                return options["kernel_shape"] == list(self.shapes.get(node.input[0], ())[2:]) and not any(
                    options.get("pads", [])
                )
        return False

    def _axes(self, node: Any) -> set[int]:
        import onnx.helper

        axes: Any = [onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == "axes"]
        listed = axes[0] if axes else self.constant(node.input[1]) if len(node.input) > 1 else None
        rank = len(self.shapes.get(node.input[0], ()))
        return {int(axis) % rank for axis in listed} if listed is not None and rank == 4 else set()

    def _average(self, node: Any, A: NDArray[np.float64]) -> None:
        last = node.op_type == "ReduceMean" and self._axes(node) == {1, 2}
        channels = self.shapes.get(node.input[0], (0, 0, 0, 0))[3 if last else 1]
        if channels not in (0, len(A)):
            raise NotLinearError(f"{channels} averaged maps where {len(A)} were expected")
        if A.any():
            self.pieces.append(Piece(node.input[0], last, A))

    def _concat(self, node: Any, A: NDArray[np.float64]) -> None:
        widths = [self.width(name) for name in node.input]
        if sum(widths) != len(A) or 0 in widths:
            raise NotLinearError(f"{widths} numbers stand side by side where {len(A)} were expected")
        ends = np.cumsum(widths)
        for name, stop, width in reversed(list(zip(node.input, ends, widths, strict=True))):
            if (rows := A[stop - width : stop]).any():
                self.back(name, rows)

    def _slice(self, node: Any, A: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
        starts, axes = self.constant(node.input[1]), self.constant(node.input[3])
        whole = self.width(node.input[0])
        if starts is None or axes is None or axes.tolist() != [1] or starts[0] + len(A) != whole:
            raise self._stopped(node)
        return node.input[0], np.vstack([np.zeros((whole - len(A), A.shape[1])), A])

    def _matrix(self, node: Any, A: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
        options = {a.name: (a.f if a.type == 1 else a.i) for a in node.attribute}
        weight = self.constant(node.input[1])
        if weight is None or weight.ndim != 2 or options.get("transA"):
            raise self._stopped(node)
        matrix = (weight.T if options.get("transB") else weight).astype(np.float64) * options.get(
            "alpha", 1.0
        )
        if node.op_type == "Gemm" and len(node.input) > 2:
            bias = self.constant(node.input[2])
            if bias is None:
                raise self._stopped(node)
            self._shift(bias.astype(np.float64) * options.get("beta", 1.0), A)
        return node.input[0], matrix @ A

    def _elementwise(self, node: Any, A: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
        values = [self.constant(name) for name in node.input]
        if (values[0] is None) == (values[1] is None) or (values[0] is not None and node.op_type == "Div"):
            raise self._stopped(node)
        at = 0 if values[0] is None else 1
        number = np.asarray(values[1 - at], np.float64)
        if node.op_type == "Mul":
            A = np.broadcast_to(number.reshape(-1, 1), A.shape) * A
        elif node.op_type == "Div":
            A = A / np.broadcast_to(number.reshape(-1, 1), A.shape)
        elif node.op_type == "Add":
            self._shift(number, A)
        else:  # x - c, or c - x
            self._shift(-number if at == 0 else number, A)
            A = A if at == 0 else -A
        return node.input[at], A

    def _shift(self, number: NDArray[np.float64], A: NDArray[np.float64]) -> None:
        if number.size not in (1, len(A)):
            raise NotLinearError(f"{number.size} numbers are added where {len(A)} were expected")
        self.bias = self.bias + np.broadcast_to(number.reshape(-1), len(A)) @ A


def activation_maps(linear: LinearInMaps, maps: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """Class activation maps (K, h, w) of each piece, from its maps (C, h, w) or (h, w, C).

    A class's logit is its bias and the means of its maps over their pixels, added.
    """
    return [
        np.einsum("hwc,ck->khw" if piece.channels_last else "chw,ck->khw", m.astype(np.float64), piece.weight)
        for piece, m in zip(linear.pieces, maps, strict=True)
    ]


def sum_maps(maps: Sequence[NDArray[np.float64]], classes: int) -> NDArray[np.float64]:
    """Sum of maps (K, h, w) of several levels at the finest resolution; their means are preserved."""
    if not maps:
        return np.zeros((classes, 1, 1))
    height, width = (max(one.shape[axis] for one in maps) for axis in (1, 2))
    total: NDArray[np.float64] = np.zeros((classes, height, width))
    for one in maps:
        fine = _interpolation(height, one.shape[1]) @ one @ _interpolation(width, one.shape[2]).T
        total += fine + (one.mean(axis=(1, 2)) - fine.mean(axis=(1, 2)))[:, None, None]
    return total


def add_maps(model: Any, output: str = "maps", answer: str = "probabilities") -> None:
    """Give a graph another output: the maps of `sum_maps` of all classes, float32 (N, K, h, w).

    Parameters
    ----------
    model : onnx.ModelProto
        Gets the output; is left as it is where an error is raised.
    output, answer : str
        What to call it, and the output that is explained, as in `linear_in_maps`.

    Raises
    ------
    NotLinearError
        As `linear_in_maps`, or the graph does not say how large its maps are.
    """
    from onnx.helper import make_node, make_tensor_value_info
    from onnx.numpy_helper import from_array

    linear = linear_in_maps(model, answer)
    shapes = _Walk(model).shapes
    sizes = []
    for piece in linear.pieces:
        begin = 1 if piece.channels_last else 2
        sizes.append(shapes.get(piece.tensor, (0, 0, 0, 0))[begin : begin + 2])
    if not sizes or 0 in np.ravel(sizes):
        raise NotLinearError("the graph does not say how large its maps are")
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    nodes: list[Any] = []
    arrays: list[Any] = []
    summed: list[str] = []

    def computed(kind: str, name: str, *inputs: Any) -> str:
        names = [one if isinstance(one, str) else f"{output}/{name}/{n}" for n, one in enumerate(inputs)]
        for given, key in zip(inputs, names, strict=True):
            if not isinstance(given, str):
                arrays.append(from_array(np.asarray(given, np.float32), key))
        nodes.append(make_node(kind, names, [f"{output}/{name}"], name=f"{output}/{name}"))
        return f"{output}/{name}"

    for n, (piece, size) in enumerate(zip(linear.pieces, sizes, strict=True)):
        tensor = piece.tensor
        if piece.channels_last:
            nodes.append(make_node("Transpose", [tensor], [f"{output}/{n}/first"], perm=[0, 3, 1, 2]))
            tensor = f"{output}/{n}/first"
        coarse = computed("Conv", f"{n}/coarse", tensor, piece.weight.T[:, :, None, None])
        rows = computed("MatMul", f"{n}/rows", _interpolation(height, size[0]), coarse)
        fine = computed("MatMul", f"{n}/fine", rows, _interpolation(width, size[1]).T)
        means = [computed("GlobalAveragePool", f"{n}/mean {part}", part) for part in (coarse, fine)]
        summed += [fine, computed("Sub", f"{n}/shift", *means)]
    nodes.append(make_node("Sum", summed, [output], name=output))
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(arrays)
    shape = ["N", linear.bias.size, height, width]
    model.graph.output.append(make_tensor_value_info(output, 1, shape))


def _interpolation(fine: int, coarse: int) -> NDArray[np.float64]:
    """Linear interpolation from `coarse` pixels to `fine` ones, as a matrix; their centres evenly spread."""
    at = ((np.arange(fine) + 0.5) * coarse / fine - 0.5).clip(0, coarse - 1)
    weights: NDArray[np.float64] = np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(coarse)[None, :]))
    return weights
