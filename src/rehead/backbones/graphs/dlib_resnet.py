"""dlib's face embedder: a ResNet of 29 convolutions with half the usual filters (King 2017).

The network is that of dlib's `examples/dnn_face_recognition_ex.cpp`. A convolution with a stride has no
padding, so where a block halves the map its two branches may differ by a row and a column, and by
channels: dlib then adds zeros at the lower right and behind the last channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...errors import WeightsError
from ..weights.dlib_dat import Affine, Convolution, Dense, Layer
from . import builder as op
from .builder import Var
from .ops import image_input

__all__ = ["SIZE", "embedder"]

SIZE = 150
"""Side of the input, pixels."""

# Mean of the colours and the divisor, as dlib/dnn/input.h has them.
_MEAN = (122.782, 117.001, 104.298)
_SCALE = 256.0

# Filters and the number of blocks of each level; the first block of all levels but the first halves the map.
_LEVELS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))


def embedder(layers: Sequence[Layer]) -> Any:
    """`image` uint8 (N, 150, 150, 3) RGB to `embedding` float32 (N, 128), as dlib gives it."""
    given = iter(layers)
    image = image_input(SIZE)
    x = op.transpose(op.cast(image, to=np.float32), perm=[0, 3, 1, 2])
    mean = np.array(_MEAN, np.float32).reshape(3, 1, 1)
    x = op.mul(op.sub(x, op.const(mean)), op.const(np.float32(1 / _SCALE)))
    x = op.relu(_convolved(x, given, 3, 32, 7, 2))
    x = op.max_pool(x, kernel_shape=[3, 3], strides=[2, 2])
    side, channels = 35, 32
    for number, (filters, blocks) in enumerate(_LEVELS):
        for block in range(blocks):
            stride = 2 if number > 0 and block == 0 else 1
            inner = op.relu(_convolved(x, given, channels, filters, 3, stride))
            inner = _convolved(inner, given, filters, filters, 3, 1)
            if stride == 2:
                x = op.average_pool(x, kernel_shape=[2, 2], strides=[2, 2])
                less, side = (side - 3) // 2 + 1, (side - 2) // 2 + 1
                x = _padded(x, filters - channels, 0)
                inner = _padded(inner, 0, side - less)
            x, channels = op.relu(op.add(x, inner)), filters
    dense = next(given, None)
    if not isinstance(dense, Dense) or dense.weights.shape != (256, 128) or next(given, None) is not None:
        raise _other_network()
    embedding = op.matmul(op.flatten(op.global_average_pool(x)), op.const(dense.weights))
    return op.build({"image": image}, {"embedding": embedding})


def _convolved(x: Var, given: Iterator[Layer], inputs: int, outputs: int, kernel: int, stride: int) -> Var:
    """A convolution and the affine map of its channels, as one convolution."""
    conv, affine = next(given, None), next(given, None)
    shape = (outputs, inputs, kernel, kernel)
    if not (isinstance(conv, Convolution) and isinstance(affine, Affine)):
        raise _other_network()
    if conv.filters.shape != shape or conv.stride != stride or affine.factor.shape != (outputs,):
        raise _other_network()
    filters = conv.filters * affine.factor.reshape(-1, 1, 1, 1)
    biases = conv.biases * affine.factor + affine.summand
    return op.conv(x, op.const(filters), op.const(biases), strides=[stride] * 2, pads=[conv.padding] * 4)


def _padded(x: Var, channels: int, side: int) -> Var:
    """Zeros behind the last channel, the lowest row and the rightmost column."""
    if channels == side == 0:
        return x
    return op.pad(x, op.const(np.array([0, 0, 0, 0, 0, channels, side, side])))


def _other_network() -> WeightsError:
    return WeightsError("dlib_resnet: the file holds another network than dlib's face embedder")
