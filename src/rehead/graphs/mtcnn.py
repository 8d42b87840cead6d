"""MTCNN's three networks (Zhang et al. 2016).

Weights are lists of arrays in the order of the layers, as TensorFlow keeps them: convolutions (h, w, in,
out), dense layers (in, out). Pixels come in as uint8 RGB and are brought to (x - 127.5) / 128 inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import spox
import spox.opset.ai.onnx.v17 as op
from numpy.typing import NDArray

from ..errors import WeightsError
from .layers import Var

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
    image = spox.argument(spox.Tensor(np.uint8, ("N", "H", "W", 3)))
    x = _pool(_conv(_normalised(image), queue, 3, 3, 10), 2, same=True)
    x = _conv(_conv(x, queue, 3, 10, 16), queue, 3, 16, 32)
    shift = _conv(x, queue, 1, 32, 4, prelu=False)
    face = _second(op.softmax(_conv(x, queue, 1, 32, 2, prelu=False), axis=1))
    queue.finish()
    return spox.build({"image": image}, {"face": face, "shift": shift})


def refinement_network(arrays: Arrays) -> Any:
    """R-net: `image` uint8 (N, 24, 24, 3) to `face` (N,) and `shift` (N, 4), as P-net's."""
    queue = _Queue(arrays, "mtcnn_rnet")
    image = spox.argument(spox.Tensor(np.uint8, ("N", 24, 24, 3)))
    x = _pool(_conv(_normalised(image), queue, 3, 3, 28), 3, same=True)
    x = _pool(_conv(x, queue, 3, 28, 48), 3)
    x = _conv(x, queue, 2, 48, 64)
    x = _hidden(x, queue, 576, 128)
    shift = _dense(x, queue, 128, 4)
    face = _second(op.softmax(_dense(x, queue, 128, 2), axis=1))
    queue.finish()
    return spox.build({"image": image}, {"face": face, "shift": shift})


def output_network(arrays: Arrays) -> Any:
    """O-net: `image` uint8 (N, 48, 48, 3) to `face` (N,), `shift` (N, 4) and `points` (N, 10).

    `points` are x of both eyes, nose and both corners of the mouth, then their y, 0..1 across the box.
    """
    queue = _Queue(arrays, "mtcnn_onet")
    image = spox.argument(spox.Tensor(np.uint8, ("N", 48, 48, 3)))
    x = _pool(_conv(_normalised(image), queue, 3, 3, 32), 3, same=True)
    x = _pool(_conv(x, queue, 3, 32, 64), 3)
    x = _pool(_conv(x, queue, 3, 64, 64), 2, same=True)
    x = _conv(x, queue, 2, 64, 128)
    x = _hidden(x, queue, 1152, 256)
    shift = _dense(x, queue, 256, 4)
    points = _dense(x, queue, 256, 10)
    face = _second(op.softmax(_dense(x, queue, 256, 2), axis=1))
    queue.finish()
    return spox.build({"image": image}, {"face": face, "shift": shift, "points": points})


def _normalised(image: Var) -> Var:
    x = op.transpose(op.cast(image, to=np.float32), perm=[0, 3, 1, 2])
    return op.mul(op.sub(x, op.const(np.float32(127.5))), op.const(np.float32(1 / 128)))


def _conv(x: Var, queue: _Queue, kernel: int, inputs: int, outputs: int, *, prelu: bool = True) -> Var:
    weight = queue.take(kernel, kernel, inputs, outputs).transpose(3, 2, 0, 1)
    x = op.conv(x, op.const(np.ascontiguousarray(weight)), op.const(queue.take(outputs)))
    if not prelu:
        return x
    return op.prelu(x, op.const(queue.take(1, 1, outputs).reshape(outputs, 1, 1)))


def _pool(x: Var, kernel: int, *, same: bool = False) -> Var:
    padding = "SAME_UPPER" if same else "VALID"
    return op.max_pool(x, kernel_shape=[kernel] * 2, strides=[2, 2], auto_pad=padding)[0]


def _hidden(x: Var, queue: _Queue, inputs: int, outputs: int) -> Var:
    """The dense layer over a map, whose columns come first in the weights, with its PReLU."""
    x = _dense(op.flatten(op.transpose(x, perm=[0, 3, 2, 1])), queue, inputs, outputs)
    return op.prelu(x, op.const(queue.take(outputs)))


def _dense(x: Var, queue: _Queue, inputs: int, outputs: int) -> Var:
    return op.add(op.matmul(x, op.const(queue.take(inputs, outputs))), op.const(queue.take(outputs)))


def _second(x: Var) -> Var:
    """The second of two channels: the probability of a face."""
    return op.gather(x, op.const(1), axis=1)
