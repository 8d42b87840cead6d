"""A face embedder: uint8 pixels in, unit vectors out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import WeightsError
from . import builder as op
from .builder import Var
from .ops import image_input, side_of

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
    vectors = op.inline(network, [chosen])
    x = op.flatten(vectors(image)[chosen])
    if mirrored:
        x = op.add(x, op.flatten(vectors(_mirrored(image))[chosen]))
    length = op.reduce_l2(x, axes=[1], keepdims=1)
    unit = op.div(x, op.max([length, op.const(np.float32(1e-12))]))
    return op.build({"image": image}, {"embedding": unit})


def _mirrored(image: Var) -> Var:
    last, first = op.const([-1]), op.const([np.iinfo(np.int64).min])
    return op.slice(image, last, first, op.const([2]), op.const([-1]))
