"""EfficientNet-Lite 0 to 2 (Liu 2020): EfficientNet without squeeze-and-excitation, with ReLU6.

Tensor names are those of the `efficientnet_lite_pytorch` package. Stem and head keep their width in
the whole family, and the first and the last stage their depth.
"""

from __future__ import annotations

import math

from .builder import Var
from .ops import State, conv_bn, inverted_residual, relu6

__all__ = ["SCALES", "trunk"]

SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Width and depth factors, from efficientnet/lite/efficientnet_lite_builder.py of tensorflow/tpu."""

# expand, output channels, repeats, stride, kernel: table 1 of Tan & Le 2019
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_EPS = 1e-3
_STEPS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def _width(channels: int, factor: float) -> int:
    """Scale to the nearest multiple of 8 that is not more than 10 % below."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def trunk(x: Var, state: State, name: str) -> dict[str, Var]:
    """Maps after every block and after the head convolution, float32 (N, C, h, w), by name."""
    width, depth = SCALES[name]
    x = relu6(conv_bn(x, state, "_conv_stem", "_bn0", outputs=32, kernel=3, eps=_EPS, stride=2))
    levels: dict[str, Var] = {}
    for stage, (expand, outputs, repeats, first_stride, kernel) in enumerate(_STAGES):
        if 0 < stage < len(_STAGES) - 1:
            repeats = math.ceil(repeats * depth)
        for repeat in range(repeats):
            steps = _STEPS if expand > 1 else _STEPS[1:]
            x = inverted_residual(
                x,
                state,
                [(f"_blocks.{len(levels)}.{conv}", f"_blocks.{len(levels)}.{norm}") for conv, norm in steps],
                expand=expand,
                outputs=_width(outputs, width),
                stride=first_stride if repeat == 0 else 1,
                kernel=kernel,
                eps=_EPS,
            )
            levels[f"blocks.{len(levels)}"] = x
    levels["head"] = relu6(conv_bn(x, state, "_conv_head", "_bn1", outputs=1280, eps=_EPS))
    state.finish(unused=("_fc.weight", "_fc.bias", "num_batches_tracked"))
    return levels
