"""A face embedder: uint8 pixels in, unit vectors out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v17 as op

from ...errors import WeightsError
from .ops import Var, image_input, side_of

__all__ = ["unit_vectors"]


def unit_vectors(network: Any, *, mirrored: bool, name: str) -> Any:
    """`image` uint8 (N, S, S, 3) RGB to `embedding` float32 (N, D), each of length 1.

    Parameters
    ----------
    network : onnx.ModelProto
        `image` as above; its first output of vectors (N, D), or of maps of one pixel (N, D, 1, 1), is taken.
    mirrored : bool
        Whether the network's answer to the mirror image is added before the length is made 1.
    name : str
        What the errors call it.

    Raises
    ------
    WeightsError
        The network has no such output.
    """
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in network.graph.output}
    chosen = next((n for n, shape in shapes.items() if len(shape) == 2 or shape[2:] == [1, 1]), None)
    if chosen is None:
        raise WeightsError(
            f"{name}: expected an output of float vectors [N, D], as embedders have, found {shapes}"
        )
    image = image_input(side_of(network))
    inner = onnx.utils.Extractor(network).extract_model(["image"], [chosen])
    x = _vectors(inner, chosen, image)
    if mirrored:
        x = op.add(x, _vectors(inner, chosen, _mirrored(image)))
    length = op.reduce_l2(x, axes=[1], keepdims=1)
    unit = op.div(x, op.max([length, op.const(np.float32(1e-12))]))
    model = spox.build({"image": image}, {"embedding": unit})
    _share_constants(model.graph)
    return model


def _vectors(network: Any, output: str, image: Var) -> Var:
    return op.flatten(spox.inline(network)(image=image)[output])


def _mirrored(image: Var) -> Var:
    last, first = op.const([-1]), op.const([np.iinfo(np.int64).min])
    return op.slice(image, last, first, op.const([2]), op.const([-1]))


def _share_constants(graph: Any) -> None:
    """Store equal arrays once: the network is in the graph twice."""
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return  # a branch or a loop may use names from outside
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    kept = []
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        tensor = node.attribute[0].t if node.op_type == "Constant" else None
        if tensor is not None and tensor.raw_data:
            same = first.setdefault((tensor.data_type, tuple(tensor.dims), tensor.raw_data), node.output[0])
            if same != node.output[0]:
                instead[node.output[0]] = same
                continue
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
