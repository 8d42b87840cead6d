"""Layers of mobile networks as ONNX nodes.

Weights come as a state dict of numpy arrays. Batch norm at inference is an affine map of each
channel, so it is folded into the convolution before it (Jacob et al. 2018, section 3.2):
w' = w * gamma / sqrt(var + eps), b' = beta - mean * gamma / sqrt(var + eps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from ...images import PreprocessSpec
from . import builder as op
from .builder import Var

__all__ = [
    "State",
    "conv_bn",
    "image_input",
    "inverted_residual",
    "normalised",
    "pooled",
    "relu6",
    "side_of",
    "whitened",
]

Arrays = Mapping[str, NDArray[Any]]


@dataclass
class State:
    """A state dict that records which of its tensors were used.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The tensors by name.
    name : str
        Its name in errors: "efficientnet_lite0".
    """

    arrays: Arrays
    name: str

    def __post_init__(self) -> None:
        self._used: set[str] = set()

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Tensor of that name as float32; WeightsError where it is missing or of another shape."""
        if name not in self.arrays:
            raise WeightsError(
                f"{self.name}: the weight file has no tensor {name!r}; it is of another network"
            )
        if (found := self.arrays[name].shape) != shape:
            raise WeightsError(
                f"{self.name}: tensor {name!r} of the weight file has shape {found}, expected {shape}; "
                "it is of another network"
            )
        self._used.add(name)
        return np.asarray(self.arrays[name], dtype=np.float32)

    def norm(self, name: str, channels: int, eps: float) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Batch norm of that name as the factor and the summand of each channel."""
        gamma, beta, mean, var = (
            self.take(f"{name}.{part}", (channels,)).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + eps)
        return scale, (beta - mean * scale).astype(np.float32)

    def finish(self, unused: tuple[str, ...]) -> None:
        """Check that every tensor was used, except those whose names end in one of `unused`."""
        left = [n for n in self.arrays if n not in self._used and not n.endswith(unused)]
        if left:
            raise WeightsError(
                f"{self.name}: {len(left)} tensors of the weight file have no place in the network, "
                f"the first {left[0]!r}; it is of another network"
            )


def side_of(network: Any) -> int:
    """Side S of the photos that an ONNX model with such an input takes, pixels."""
    return int(network.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def image_input(size: int) -> Var:
    """The graph's input: uint8 (N, S, S, 3) RGB."""
    return op.argument(np.uint8, ("N", size, size, 3))


def normalised(image: Var, preprocess: PreprocessSpec) -> Var:
    """uint8 (N, S, S, 3) RGB as the raw network takes it: float32, centred, scaled, in its own layout."""
    if preprocess.channels == "BGR":
        image = op.gather(image, op.const(np.array([2, 1, 0])), axis=3)
    if preprocess.layout == "NCHW":
        image = op.transpose(image, perm=[0, 3, 1, 2])
    shape = (1, 3, 1, 1) if preprocess.layout == "NCHW" else (1, 1, 1, 3)
    mean = np.array(preprocess.mean, np.float32).reshape(shape)
    factor = (1 / np.array(preprocess.std, np.float64)).astype(np.float32).reshape(shape)
    return op.mul(op.sub(op.cast(image, to=np.float32), op.const(mean)), op.const(factor))


def whitened(image: Var, preprocess: PreprocessSpec) -> Var:
    """uint8 (N, S, S, 3) RGB, each with mean 0 and standard deviation 1: FaceNet's `prewhiten`.

    The deviation is not less than that of one pixel value among all, 1 / sqrt(3 S S).
    """
    x = normalised(image, replace(preprocess, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    axes = [1, 2, 3]
    x = op.sub(x, op.reduce_mean(x, axes=axes, keepdims=1))
    deviation = op.sqrt(op.reduce_mean(op.mul(x, x), axes=axes, keepdims=1))
    least = np.float32(1 / np.sqrt(3 * preprocess.size**2))
    return op.div(x, op.max([deviation, op.const(least)]))


def conv_bn(
    x: Var,
    state: State,
    conv: str,
    norm: str,
    *,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    eps: float,
    stride: int = 1,
    depthwise: bool = False,
    padding: Literal["same", "symmetric", "none"] = "same",
) -> Var:
    """Convolution with the batch norm after it folded in.

    Parameters
    ----------
    x : Var, float32 (N, C, H, W)
    state : State
        Holds `conv`.weight (O, I, k, k) and `norm`.weight, .bias, .running_mean, .running_var (O,).
    outputs : int
        O.
    kernel : int or (int, int)
        k, or height and width.
    padding : str
        "same" pads as TensorFlow does, the odd pixel at the end; "symmetric" pads k // 2 all round.
    """
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    inputs = 1 if depthwise else x.shape[1]
    weight = state.take(f"{conv}.weight", (outputs, inputs, height, width)).astype(np.float64)
    scale, shift = state.norm(norm, outputs, eps)
    folded = op.const((weight * scale[:, None, None, None]).astype(np.float32))
    bias = op.const(shift)
    group = outputs if depthwise else 1
    if padding == "same":
        return op.conv(x, folded, bias, strides=[stride] * 2, group=group, auto_pad="SAME_UPPER")
    pads = [height // 2, width // 2] * 2 if padding == "symmetric" else [0] * 4
    return op.conv(x, folded, bias, strides=[stride] * 2, group=group, pads=pads)


def relu6(x: Var) -> Var:
    """min(max(x, 0), 6)."""
    return op.clip(x, op.const(np.float32(0)), op.const(np.float32(6)))


def inverted_residual(
    x: Var,
    state: State,
    layers: Sequence[tuple[str, str]],
    *,
    expand: int,
    outputs: int,
    stride: int,
    kernel: int = 3,
    **options: Any,
) -> Var:
    """A block of MobileNetV2: a depthwise convolution between an expansion, if any, and a projection.

    `layers` are convolution and batch norm of each of these, `options` those of `conv_bn`. With stride 1 and
    as many outputs as inputs, `x` is added.
    """
    channels = x.shape[1]
    wide = channels * expand
    *expansion, depthwise, projection = layers
    inner = x
    for names in expansion:
        inner = relu6(conv_bn(inner, state, *names, outputs=wide, **options))
    inner = conv_bn(
        inner, state, *depthwise, outputs=wide, kernel=kernel, stride=stride, depthwise=True, **options
    )
    inner = conv_bn(relu6(inner), state, *projection, outputs=outputs, **options)
    return op.add(x, inner) if stride == 1 and channels == outputs else inner


def pooled(trunk: Any, image: Var, levels: Sequence[str]) -> Var:
    """The levels of a copy of `trunk` for `image` (N, S, S, 3), average-pooled and concatenated, (N, D)."""
    maps = op.inline(trunk, levels)(image).values()
    flat = [m if len(m.shape) == 2 else op.flatten(op.global_average_pool(m)) for m in maps]
    return op.concat(flat, axis=1) if len(flat) > 1 else flat[0]
