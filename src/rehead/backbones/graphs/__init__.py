"""Networks as ONNX graphs: uint8 pixels in, feature maps and pooled features out, normalisation inside.

onnx is imported only when a graph is built.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.runtime import open_session
from ...core.text import first_line
from ...errors import WeightsError
from ...images import PreprocessSpec

if TYPE_CHECKING:
    from ...heads.mahalanobis import RelativeMahalanobis

__all__ = ["build_trunk", "count_parameters", "linear_model", "load", "pooled_levels", "truncated", "wrap"]

_FAMILIES = {"efficientnet_lite": ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")}
"""Modules that build several architectures; any other architecture has the module of its own name."""


def build_trunk(architecture: str, arrays: Mapping[str, NDArray[Any]], preprocess: PreprocessSpec) -> Any:
    """Build a network, without its classifier, as an ONNX model.

    Parameters
    ----------
    architecture : str
        As in a `WeightSpec` of the registry. The module of that name here, or that of its family, builds it.
    arrays : mapping of str to ndarray
        Its state dict, as `weights.torch_checkpoint.read_state_dict` gives it.
    preprocess : PreprocessSpec
        Side of the input and normalisation.

    Returns
    -------
    onnx.ModelProto
        Input `image`, uint8 (N, S, S, 3) RGB. Outputs, all float32: the map of every feature level by its
        name, (N, C, h, w), in the order of the network.

    Raises
    ------
    WeightsError
        Where the state dict is of another network.
    """
    from . import builder as op
    from .ops import State, image_input, normalised

    image = image_input(preprocess.size)
    state = State(arrays, architecture)
    x = normalised(image, preprocess)
    family = next((name for name, members in _FAMILIES.items() if architecture in members), architecture)
    levels = importlib.import_module(f".{family}", __name__).trunk(x, state, architecture)
    return op.build({"image": image}, levels)


def wrap(model: Any, preprocess: PreprocessSpec, name: str, *, prewhitened: bool = False) -> Any:
    """A user's ONNX model with `image` uint8 (N, S, S, 3) RGB as its input and the preprocessing inside.

    With `prewhitened` every photo is brought to mean 0 and standard deviation 1 by its own pixels.
    Outputs that are float maps (N, C, h, w) or vectors (N, C) stay, under their own names. Raises
    WeightsError, naming `name`, where the model does not take one float image or has no such output.
    """
    import onnx.shape_inference
    import onnx.version_converter

    from . import builder as op
    from .builder import OPSET
    from .ops import image_input, normalised, whitened

    versions = {i.domain: i.version for i in model.opset_import}
    if (version := versions.get("", OPSET)) < OPSET:
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter raises what it likes
            raise WeightsError(
                f"{name}: written with opset {version}, which cannot be brought up to {OPSET} "
                f"({first_line(error)}); export it again with opset {OPSET} or later"
            ) from error
    _image_input_of(model, preprocess, name).type.tensor_type.shape.dim[0].dim_param = "N"
    for output in model.graph.output:
        if output.type.tensor_type.shape.dim:
            output.type.tensor_type.shape.dim[0].dim_param = "N"
    model = onnx.shape_inference.infer_shapes(model)
    _complete_shapes(model, preprocess)
    image = image_input(preprocess.size)
    x = whitened(image, preprocess) if prewhitened else normalised(image, preprocess)
    outputs = op.inline(model)(x)
    shapes = {
        o.name: [d.dim_value for d in o.type.tensor_type.shape.dim]
        for o in model.graph.output
        if o.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    levels = {n: outputs[n] for n, s in shapes.items() if len(s) in (2, 4) and s[1] > 0}
    if not levels:
        raise WeightsError(
            f"{name}: expected an output of float vectors [N, C] or maps [N, C, h, w], "
            f"found {shapes or 'none'}"
        )
    return op.build({"image": image}, levels)


def _complete_shapes(model: Any, preprocess: PreprocessSpec) -> None:
    """Give float outputs whose shape the graph does not say the one that they have for an empty image."""
    import onnx

    unknown = {
        o.name: o
        for o in model.graph.output
        if o.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        and [d.dim_value for d in o.type.tensor_type.shape.dim][1:2] in ([], [0])
    }
    if not unknown:
        return
    size, given = preprocess.size, {i.name for i in model.graph.initializer}
    image = np.zeros((1, 3, size, size) if preprocess.layout == "NCHW" else (1, size, size, 3), np.float32)
    name = next(i.name for i in model.graph.input if i.name not in given)
    try:
        session = open_session(model.SerializeToString(), threads=1)
        found = session.run(list(unknown), {name: image})
    except Exception:  # ONNX Runtime raises what it likes; the caller says which shapes it found
        return
    for output, array in zip(unknown.values(), found, strict=True):
        dims = output.type.tensor_type.shape.dim
        del dims[:]
        for n, length in enumerate(array.shape):
            if n == 0 and length == 1:
                dims.add().dim_param = "N"
            else:
                dims.add().dim_value = length


def _image_input_of(model: Any, preprocess: PreprocessSpec, name: str) -> Any:
    """The input of a user's model; WeightsError where it is not one float image of the record's size."""
    import onnx

    given = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in given]
    kinds = [i.type.tensor_type.elem_type for i in inputs]
    fits = kinds == [onnx.TensorProto.FLOAT]
    shape = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim] if fits else []
    size = preprocess.size
    wanted = [3, size, size] if preprocess.layout == "NCHW" else [size, size, 3]
    if len(shape) != 4 or any(have not in (0, want) for have, want in zip(shape[1:], wanted, strict=True)):
        found = "; ".join(
            f"{i.name} {onnx.TensorProto.DataType.Name(kind).lower()} "
            f"{[d.dim_value or '?' for d in i.type.tensor_type.shape.dim]}"
            for i, kind in zip(inputs, kinds, strict=True)
        )
        raise WeightsError(
            f"{name}: expected one float input of shape [N, {', '.join(map(str, wanted))}], found {found}"
        )
    return inputs[0]


def load(graph: bytes) -> Any:
    """The onnx.ModelProto of a serialised ONNX model."""
    import onnx

    return onnx.load_from_string(graph)


def truncated(model: Any, tensors: Mapping[str, str], side: int) -> Any:
    """`image` uint8 (N, S, S, 3) to tensors of a network (name of the output to name in the graph)."""
    from . import builder as op
    from .ops import image_input
    from .resize import without_resize

    image = image_input(side)
    found = op.inline(without_resize(model, side), list(tensors.values()))(image)
    return op.build({"image": image}, {name: found[tensor] for name, tensor in tensors.items()})


def pooled_levels(trunk: Any, levels: Sequence[str]) -> Any:
    """`image` to `features`, float32 (N, D): all levels average-pooled and concatenated."""
    from . import builder as op
    from .ops import image_input, pooled, side_of

    image = image_input(side_of(trunk))
    return op.build({"image": image}, {"features": pooled(trunk, image, levels)})


def linear_model(
    trunk: Any,
    levels: Sequence[str],
    *,
    first: int,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    outlier: RelativeMahalanobis,
    resize: PreprocessSpec | None = None,
) -> Any:
    """The whole classifier: `image` to `probabilities`, `features` and `outlier_score`.

    `image` is uint8 (N, S, S, 3), or with `resize` (N, H, W, 3), which is brought to squares as that says.
    With features x (N, D), logits are x[:, first:] @ weight + bias; the outlier score is that of
    `heads.mahalanobis.RelativeMahalanobis`.
    """
    from . import builder as op
    from .ops import image_input, pooled, side_of
    from .resize import photo_input, squared

    image = image_input(side_of(trunk)) if resize is None else photo_input()
    x = pooled(trunk, image if resize is None else squared(image, resize), levels)
    used = op.slice(x, op.const([first]), op.const([np.iinfo(np.int64).max]), op.const([1])) if first else x
    probabilities = op.softmax(op.add(op.matmul(used, op.const(weight)), op.const(bias)), axis=1)

    def square(v: Any) -> Any:
        return op.reduce_sum(op.mul(v, v), op.const([1]), keepdims=0)

    mean, scale, basis = op.const(outlier.mean), op.const(outlier.scale), op.const(outlier.basis)
    within, total, outside = (
        op.const(outlier.within),
        op.const(outlier.total),
        op.const(np.float32(outlier.outside)),
    )
    norms, centres = op.const((outlier.centres**2).sum(axis=1)), op.const(2 * outlier.centres.T)

    def outlier_score(x: Any) -> Any:
        z = op.mul(op.sub(x, mean), scale)
        u = op.matmul(z, basis)
        v = op.matmul(u, within)
        near = op.add(square(v), op.reduce_min(op.sub(norms, op.matmul(v, centres)), axes=[1], keepdims=0))
        rest = op.mul(op.sub(square(z), square(u)), outside)
        return op.add(op.sub(near, square(op.matmul(u, total))), rest)

    score = outlier_score(x)
    if (styles := outlier.styles) is not None:
        margins = op.add(op.matmul(x, op.const(styles.weight)), op.const(styles.bias))
        seen = op.greater(op.reduce_max(margins, axes=[1], keepdims=0), op.const(np.float32(styles.limit)))
        style = op.arg_max(margins, axis=1, keepdims=0)
        styled = outlier_score(op.sub(x, op.gather(op.const(outlier.shifts), style)))
        allowed = op.sub(styled, op.gather(op.const(outlier.allowances), style))
        score = op.where(seen, op.min([score, allowed]), score)
    return op.build({"image": image}, {"probabilities": probabilities, "features": x, "outlier_score": score})


def count_parameters(model: Any) -> int:
    """Number of parameters of an ONNX model: weights and biases, batch norm folded into them.

    Tensors of up to three numbers are not counted: mean and deviation of three colours, limits, axes.
    """
    import onnx

    tensors = list(model.graph.initializer)
    tensors += [a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute]
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    sizes = [int(np.prod(t.dims, dtype=np.int64)) for t in tensors if t.data_type in floats]
    return sum(size for size in sizes if size > 3)
