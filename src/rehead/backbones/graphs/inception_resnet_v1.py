"""FaceNet's network: Inception-ResNet v1 (Schroff et al. 2015; Szegedy et al. 2016).

The network is that of davidsandberg/facenet, `src/models/inception_resnet_v1.py`. Its weights are published
with two sets of names: those of facenet-pytorch's state dict, and those of Keras' layers, whose batch norms
have no gamma (`facenet_keras.h5`). All tensors of a file are compared with the network before it is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.preprocess import PreprocessSpec
from ...errors import WeightsError
from . import builder as op
from .builder import Var
from .ops import State, conv_bn, image_input, normalised, whitened

__all__ = ["SIZE", "Tensor", "dimensions_of", "embedder", "from_keras", "tensors"]

SIZE = 160
"""Side of the input, pixels."""

Arrays = Mapping[str, NDArray[Any]]

_EPS = 1e-3  # of every batch norm
_WIDTH = 1792  # channels of the last map
_LISTED = 4  # names that an error lists of each kind


class _Conv(NamedTuple):
    """A convolution with batch norm and ReLU or, at the end of a block, with a bias."""

    name: str  # in the state dict
    layer: str  # in Keras; it ends in the kernel, such as 1x7
    inputs: int
    outputs: int
    stride: int = 1
    padded: bool = True
    norm: bool = True

    @property
    def kernel(self) -> tuple[int, int]:
        height, width = self.layer.rpartition("_")[2].split("x")
        return int(height), int(width)


class _Block(NamedTuple):
    """Branches side by side: with `up` added to what came in, without it (a reduction) beside its pooling."""

    branches: tuple[tuple[_Conv, ...], ...]
    up: _Conv | None = None
    scale: float = 1.0
    relu: bool = True


class Tensor(NamedTuple):
    """A tensor of the weights.

    Parameters
    ----------
    name : str
        In the state dict.
    keras : str
        Layer and weight in a Keras file.
    shape : tuple of int
        In the state dict.
    """

    name: str
    keras: str
    shape: tuple[int, ...]

    @property
    def keras_shape(self) -> tuple[int, ...]:
        """The shape in a Keras file: convolutions (h, w, in, out), dense layers (in, out)."""
        return tuple(self.shape[axis] for axis in _TO_KERAS[len(self.shape)])


_TO_KERAS: Mapping[int, tuple[int, ...]] = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}

_STEM = (
    _Conv("conv2d_1a", "Conv2d_1a_3x3", 3, 32, stride=2, padded=False),
    _Conv("conv2d_2a", "Conv2d_2a_3x3", 32, 32, padded=False),
    _Conv("conv2d_2b", "Conv2d_2b_3x3", 32, 64),
    _Conv("conv2d_3b", "Conv2d_3b_1x1", 64, 80),
    _Conv("conv2d_4a", "Conv2d_4a_3x3", 80, 192, padded=False),
    _Conv("conv2d_4b", "Conv2d_4b_3x3", 192, 256, stride=2, padded=False),
)
_POOLED_AFTER = "conv2d_2b"

# Every branch's convolutions: the end of the Keras name, and the filters. 1a is the one with a stride.
_Branches = tuple[tuple[tuple[str, int], ...], ...]
_BLOCK35: _Branches = (
    (("1x1", 32),),
    (("0a_1x1", 32), ("0b_3x3", 32)),
    (("0a_1x1", 32), ("0b_3x3", 32), ("0c_3x3", 32)),
)
_MIXED_6A: _Branches = ((("1a_3x3", 384),), (("0a_1x1", 192), ("0b_3x3", 192), ("1a_3x3", 256)))
_BLOCK17: _Branches = ((("1x1", 128),), (("0a_1x1", 128), ("0b_1x7", 128), ("0c_7x1", 128)))
_MIXED_7A: _Branches = (
    (("0a_1x1", 256), ("1a_3x3", 384)),
    (("0a_1x1", 256), ("1a_3x3", 256)),
    (("0a_1x1", 256), ("0b_3x3", 256), ("1a_3x3", 256)),
)
_BLOCK8: _Branches = ((("1x1", 192),), (("0a_1x1", 192), ("0b_1x3", 192), ("0c_3x1", 192)))


def _blocks() -> Iterator[_Block]:
    """The blocks, first to last."""
    for n in range(5):
        yield _residual(f"repeat_1.{n}", f"Block35_{n + 1}", 256, _BLOCK35, 0.17)
    yield _Block(_branches("mixed_6a", "Mixed_6a", 256, _MIXED_6A))
    for n in range(10):
        yield _residual(f"repeat_2.{n}", f"Block17_{n + 1}", 896, _BLOCK17, 0.10)
    yield _Block(_branches("mixed_7a", "Mixed_7a", 896, _MIXED_7A))
    for n in range(5):
        yield _residual(f"repeat_3.{n}", f"Block8_{n + 1}", _WIDTH, _BLOCK8, 0.20)
    yield _residual("block8", "Block8_6", _WIDTH, _BLOCK8, 1.0)._replace(relu=False)


def _residual(name: str, layer: str, width: int, branches: _Branches, scale: float) -> _Block:
    inner = sum(branch[-1][1] for branch in branches)
    up = _Conv(f"{name}.conv2d", f"{layer}_Conv2d_1x1", inner, width, norm=False)
    return _Block(_branches(name, layer, width, branches), up, scale)


def _branches(name: str, layer: str, inputs: int, branches: _Branches) -> tuple[tuple[_Conv, ...], ...]:
    return tuple(
        tuple(
            _Conv(
                f"{name}.branch{number}" + (f".{place}" if len(branch) > 1 else ""),
                f"{layer}_Branch_{number}_Conv2d_{end}",
                branch[place - 1][1] if place else inputs,
                outputs,
                stride=2 if end.startswith("1a") else 1,
                padded=not end.startswith("1a"),
            )
            for place, (end, outputs) in enumerate(branch)
        )
        for number, branch in enumerate(branches)
    )


def tensors(dimensions: int) -> Iterator[Tensor]:
    """Yield the tensors of the network whose embeddings have so many numbers."""
    convolutions = list(_STEM)
    for block in _blocks():
        convolutions += [conv for branch in block.branches for conv in branch]
        convolutions += [block.up] if block.up is not None else []
    for conv in convolutions:
        shape = (conv.outputs, conv.inputs, *conv.kernel)
        if conv.norm:
            yield Tensor(f"{conv.name}.conv.weight", f"{conv.layer}/kernel", shape)
            yield from _norm(f"{conv.name}.bn", f"{conv.layer}_BatchNorm", conv.outputs)
        else:
            yield Tensor(f"{conv.name}.weight", f"{conv.layer}/kernel", shape)
            yield Tensor(f"{conv.name}.bias", f"{conv.layer}/bias", (conv.outputs,))
    yield Tensor("last_linear.weight", "Bottleneck/kernel", (dimensions, _WIDTH))
    yield from _norm("last_bn", "Bottleneck_BatchNorm", dimensions)


def _norm(name: str, layer: str, channels: int) -> Iterator[Tensor]:
    parts = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    for own, keras in parts.items():
        yield Tensor(f"{name}.{own}", f"{layer}/{keras}", (channels,))


def from_keras(arrays: Arrays, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a Keras file, "layer/weight", as the state dict has them; gamma is 1 if it is left out.

    Raises WeightsError, naming the file as `name`, where they are those of another network.
    """
    kernel = arrays.get("Bottleneck/kernel", np.empty((0, 0)))
    known = list(tensors(kernel.shape[-1]))
    given = dict(arrays)
    for tensor in known:
        if tensor.keras.endswith("/gamma"):
            given.setdefault(tensor.keras, np.ones(tensor.shape, np.float32))
    _compare(given, {tensor.keras: tensor.keras_shape for tensor in known}, name)
    back = {rank: tuple(np.argsort(axes)) for rank, axes in _TO_KERAS.items()}
    return {t.name: given[t.keras].transpose(back[len(t.shape)]) for t in known}


def dimensions_of(arrays: Arrays, name: str) -> int:
    """Length of the embeddings that a state dict gives.

    Raises
    ------
    WeightsError
        It is of another network; the message, which begins with `name`, lists what is missing, what has
        another shape and what is left over. The classifier of the training, `logits`, may be there.
    """
    last = arrays.get("last_linear.weight", np.empty((0, 0)))
    used = {k: v for k, v in arrays.items() if not k.endswith("num_batches_tracked")}
    used = {k: v for k, v in used.items() if k not in ("logits.weight", "logits.bias")}
    _compare(used, {tensor.name: tensor.shape for tensor in tensors(last.shape[0])}, name)
    return int(last.shape[0])


def _compare(arrays: Arrays, expected: Mapping[str, tuple[int, ...]], name: str) -> None:
    """WeightsError where names or shapes are not those expected; all that differs is in its one line."""
    missing = [key for key in expected if key not in arrays]
    other = [
        f"{key} {arrays[key].shape} instead of {shape}"
        for key, shape in expected.items()
        if key in arrays and arrays[key].shape != shape
    ]
    left = [key for key in arrays if key not in expected]
    said = [
        f"{len(keys)} {what}: {', '.join(keys[:_LISTED])}" + (", ..." if len(keys) > _LISTED else "")
        for what, keys in (("missing", missing), ("of another shape", other), ("left over", left))
        if keys
    ]
    if said:
        raise WeightsError(
            f"{name}: not the weights of FaceNet's Inception-ResNet v1, which has {len(expected)} tensors: "
            f"{'; '.join(said)}; expected facenet-pytorch's names, or Keras' as facenet_keras.h5 has them"
        )


def embedder(arrays: Arrays, preprocess: PreprocessSpec, *, prewhitened: bool, name: str) -> Any:
    """`image` uint8 (N, 160, 160, 3) RGB to `embedding` float32 (N, D), before its length is made 1.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The state dict.
    preprocess : PreprocessSpec
        Its mean and std are the standardisation, unless `prewhitened`: then every square's own.
    name : str
        What the errors call the weights.

    Raises
    ------
    WeightsError
        The weights are of another network.
    """
    dimensions = dimensions_of(arrays, name)
    state = State(arrays, name)
    image = image_input(preprocess.size)
    x = whitened(image, preprocess) if prewhitened else normalised(image, preprocess)
    for conv in _STEM:
        x = _convolved(x, conv, state)
        if conv.name == _POOLED_AFTER:
            x = _pooled(x)
    for block in _blocks():
        x = _through(x, block, state)
    factor, summand = state.norm("last_bn", dimensions, _EPS)
    dense = state.take("last_linear.weight", (dimensions, _WIDTH)).T * factor
    x = op.matmul(op.flatten(op.global_average_pool(x)), op.const(dense.astype(np.float32)))
    return op.build({"image": image}, {"embedding": op.add(x, op.const(summand))})


def _through(x: Var, block: _Block, state: State) -> Var:
    parts = [reduce(lambda y, conv: _convolved(y, conv, state), branch, x) for branch in block.branches]
    if block.up is None:
        return op.concat([*parts, _pooled(x)], axis=1)
    up = block.up
    weight = state.take(f"{up.name}.weight", (up.outputs, up.inputs, 1, 1)) * np.float32(block.scale)
    bias = state.take(f"{up.name}.bias", (up.outputs,)) * np.float32(block.scale)
    x = op.add(x, op.conv(op.concat(parts, axis=1), op.const(weight), op.const(bias)))
    return op.relu(x) if block.relu else x


def _convolved(x: Var, conv: _Conv, state: State) -> Var:
    return op.relu(
        conv_bn(
            x,
            state,
            f"{conv.name}.conv",
            f"{conv.name}.bn",
            outputs=conv.outputs,
            kernel=conv.kernel,
            eps=_EPS,
            stride=conv.stride,
            padding="symmetric" if conv.padded else "none",
        )
    )


def _pooled(x: Var) -> Var:
    return op.max_pool(x, kernel_shape=[3, 3], strides=[2, 2])
