"""MTCNN's three networks (Zhang et al. 2016).

Weights are lists of arrays in the order of the layers, as TensorFlow keeps them: convolutions (h, w, in,
out), dense layers (in, out). Pixels come in as uint8 RGB and are brought to (x - 127.5) / 128 by the first
convolution, whose weights are changed for it.

Here max pooling comes before PReLU, see `_pooled`: the answers are those of the paper's order, in two thirds
of the time (benchmarks/faces.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from . import builder as op
from .builder import Var

__all__ = ["output_network", "proposal_network", "refinement_network"]

Arrays = Sequence[NDArray[np.float32]]


class _Queue:
    """Arrays that are taken in order, each with its shape checked."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        self._arrays: Iterator[NDArray[np.float32]] = iter(arrays)
        self._name = name

    def take(self, *shape: int) -> NDArray[np.float32]:
        array = next(self._arrays, None)
        if array is None or array.shape != shape:
            found = "none" if array is None else f"shape {array.shape}"
            raise WeightsError(
                f"{self._name}: the weight file has {found} where {shape} was expected; "
                "it is of another network"
            )
        return array

    def finish(self) -> None:
        if next(self._arrays, None) is not None:
            raise WeightsError(f"{self._name}: the weight file has more arrays; it is of another network")


def proposal_network(arrays: Arrays) -> Any:
    """P-net: `image` uint8 (N, H, W, 3) to `face` (N, h, w) and `shift` (N, 4, h, w).

    Every cell looks at 12 x 12 pixels, with 2 pixels between neighbours. `face` is a probability 0..1;
    `shift` is that of the box's x0, y0, x1, y1 in units of its sides.
    """
    queue = _Queue(arrays, "mtcnn_pnet")
    image = op.argument(np.uint8, ("N", "H", "W", 3))
    maps = _pooled(_pixels(image), queue, 3, 10, 2, same=True)
    maps = _Maps(_conv(maps, queue, 3, 16), np.arange(16))
    x = _conv(maps, queue, 3, 32)
    shift_weight, shift_bias = queue.take(1, 1, 32, 4), queue.take(4)
    face_weight, face_bias = queue.take(1, 1, 32, 2), queue.take(2)
    queue.finish()
    weight = np.concatenate([shift_weight, face_weight[..., 1:] - face_weight[..., :1]], axis=3)
    bias = np.concatenate([shift_bias, face_bias[1:] - face_bias[:1]])
    both = op.conv(x, op.const(_filters(weight)), op.const(bias))
    face = op.sigmoid(op.gather(both, op.const(4), axis=1))
    return op.build({"image": image}, {"face": face, "shift": _channels(both, 0, 4)})


def refinement_network(arrays: Arrays) -> Any:
    """R-net: `image` uint8 (N, 24, 24, 3) to `face` (N,) and `shift` (N, 4), as P-net's."""
    queue = _Queue(arrays, "mtcnn_rnet")
    image = op.argument(np.uint8, ("N", 24, 24, 3))
    maps = _pooled(_pooled(_pixels(image), queue, 3, 28, 3, same=True), queue, 3, 48, 3)
    x = _hidden(_conv(maps, queue, 2, 64), queue, 576, 128)
    shift = _dense(x, queue, 128, 4)
    face = _face(x, queue, 128)
    queue.finish()
    return op.build({"image": image}, {"face": face, "shift": shift})


def output_network(arrays: Arrays) -> Any:
    """O-net: `image` uint8 (N, 48, 48, 3) to `face` (N,), `shift` (N, 4) and `points` (N, 10).

    `points` are x of both eyes, nose and both corners of the mouth, then their y, 0..1 across the box.
    """
    queue = _Queue(arrays, "mtcnn_onet")
    image = op.argument(np.uint8, ("N", 48, 48, 3))
    maps = _pooled(_pooled(_pixels(image), queue, 3, 32, 3, same=True), queue, 3, 64, 3)
    maps = _pooled(maps, queue, 3, 64, 2, same=True)
    x = _hidden(_conv(maps, queue, 2, 128), queue, 1152, 256)
    shift = _dense(x, queue, 256, 4)
    points = _dense(x, queue, 256, 10)
    face = _face(x, queue, 256)
    queue.finish()
    return op.build({"image": image}, {"face": face, "shift": shift, "points": points})


class _Maps(NamedTuple):
    """Maps (N, C, h, w) whose channels may stand in another order than the weights have them."""

    x: Var
    order: NDArray[np.intp]
    mean: float = 0.0
    scale: float = 1.0  # the weights are for (x - mean) / scale


def _pixels(image: Var) -> _Maps:
    return _Maps(op.transpose(op.cast(image, to=np.float32), perm=[0, 3, 1, 2]), np.arange(3), 127.5, 128.0)


def _filters(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolutions (h, w, in, out) as ONNX has them."""
    return np.ascontiguousarray(weight.transpose(3, 2, 0, 1))


def _taken(maps: _Maps, queue: _Queue, kernel: int, outputs: int) -> tuple[NDArray[np.float32], Any]:
    """Filters (out, in, k, k) and biases for such maps."""
    weight = _filters(queue.take(kernel, kernel, len(maps.order), outputs)).astype(np.float64) / maps.scale
    bias = queue.take(outputs) - maps.mean * weight.sum(axis=(1, 2, 3))
    return weight[:, maps.order].astype(np.float32), bias.astype(np.float32)


def _conv(maps: _Maps, queue: _Queue, kernel: int, outputs: int) -> Var:
    """A convolution with PReLU."""
    weight, bias = _taken(maps, queue, kernel, outputs)
    slopes = queue.take(1, 1, outputs).reshape(outputs, 1, 1)
    return op.prelu(op.conv(maps.x, op.const(weight), op.const(bias)), op.const(slopes))


def _pooled(maps: _Maps, queue: _Queue, kernel: int, outputs: int, pool: int, *, same: bool = False) -> _Maps:
    """Convolution, PReLU and max pooling, with PReLU on what is left after the pooling.

    Where the slope a is not negative, PReLU never falls, and so it may as well come after the maximum. Where
    it is negative, PReLU(x) = max(x, a x): both are convolutions, and their maxima are taken apart.
    """
    weight, bias = _taken(maps, queue, kernel, outputs)
    slope = queue.take(1, 1, outputs).reshape(outputs)
    order = np.argsort(slope < 0, kind="stable")
    falling = order[int((slope >= 0).sum()) :]
    spare = -(outputs + len(falling)) % _BLOCK
    weight = np.concatenate(
        [
            weight[order],
            weight[falling] * slope[falling, None, None, None],
            np.zeros((spare, *weight.shape[1:]), np.float32),
        ]
    )
    bias = np.concatenate([bias[order], bias[falling] * slope[falling], np.zeros(spare, np.float32)])
    x = op.max_pool(
        op.conv(maps.x, op.const(weight), op.const(bias)),
        kernel_shape=[pool] * 2,
        strides=[2, 2],
        auto_pad="SAME_UPPER" if same else "VALID",
    )
    rising = outputs - len(falling)
    slopes = slope[order[:rising]].reshape(rising, 1, 1)
    parts = [op.prelu(_channels(x, 0, rising), op.const(slopes))] if rising else []
    if len(falling):
        direct, turned = _channels(x, rising, outputs), _channels(x, outputs, outputs + len(falling))
        parts.append(op.max([direct, turned]))
    return _Maps(op.concat(parts, axis=1), order)


_BLOCK = 16  # channels that ONNX Runtime keeps together; of other numbers it pools slowly


def _channels(x: Var, start: int, stop: int) -> Var:
    return op.slice(x, op.const([start]), op.const([stop]), op.const([1]))


def _hidden(x: Var, queue: _Queue, inputs: int, outputs: int) -> Var:
    """The dense layer over a map, whose columns come first in the weights, with its PReLU."""
    x = _dense(op.flatten(op.transpose(x, perm=[0, 3, 2, 1])), queue, inputs, outputs)
    return op.prelu(x, op.const(queue.take(outputs)))


def _dense(x: Var, queue: _Queue, inputs: int, outputs: int) -> Var:
    return op.add(op.matmul(x, op.const(queue.take(inputs, outputs))), op.const(queue.take(outputs)))


def _face(x: Var, queue: _Queue, inputs: int) -> Var:
    """The probability of a face, the second of two classes: (N,)."""
    return op.gather(op.softmax(_dense(x, queue, inputs, 2), axis=1), op.const(1), axis=1)
