"""MobileNetV2 at width 1.0 (Sandler et al. 2018). Tensor names are torchvision's."""

from __future__ import annotations

from typing import Any

from .builder import Var
from .ops import State, conv_bn, inverted_residual, relu6

__all__ = ["trunk"]

# expand, output channels, repeats, stride: table 2 of the paper
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_EPS = 1e-5


# convolution and batch norm of each step of a block, without its expansion and with it
_PLAIN = (("0.0", "0.1"), ("1", "2"))
_EXPANDED = (("0.0", "0.1"), ("1.0", "1.1"), ("2", "3"))


def trunk(x: Var, state: State, name: str) -> dict[str, Var]:  # noqa: ARG001
    """Maps after every block and after the last convolution, float32 (N, C, h, w), by name."""
    options: dict[str, Any] = {"eps": _EPS, "padding": "symmetric"}
    x = conv_bn(x, state, "features.0.0", "features.0.1", outputs=32, kernel=3, stride=2, **options)
    x = relu6(x)
    levels: dict[str, Var] = {}
    for expand, outputs, repeats, first_stride in _STAGES:
        steps = _PLAIN if expand == 1 else _EXPANDED
        for repeat in range(repeats):
            block = f"features.{len(levels) + 1}"
            layers = [(f"{block}.conv.{conv}", f"{block}.conv.{norm}") for conv, norm in steps]
            stride = first_stride if repeat == 0 else 1
            x = inverted_residual(x, state, layers, expand=expand, outputs=outputs, stride=stride, **options)
            levels[block] = x
    last = f"features.{len(levels) + 1}"
    levels[last] = relu6(conv_bn(x, state, f"{last}.0", f"{last}.1", outputs=1280, **options))
    state.finish(unused=("classifier.1.weight", "classifier.1.bias", "num_batches_tracked"))
    return levels
