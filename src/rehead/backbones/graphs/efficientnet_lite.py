"""EfficientNet-Lite 0 to 2 (Liu 2020): EfficientNet without squeeze-and-excitation, with ReLU6.

Tensor names are those of the `efficientnet_lite_pytorch` package. Stem and head keep their width in
the whole family, and the first and the last stage their depth.
"""

from __future__ import annotations

import math

from .ops import State, Var, add, conv_bn, relu6

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


def _width(channels: int, factor: float) -> int:
    """Scale to the nearest multiple of 8 that is not more than 10 % below."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def trunk(x: Var, state: State, name: str) -> dict[str, Var]:
    """Maps after every block and after the head convolution, float32 (N, C, h, w), by name."""
    width, depth = SCALES[name]
    channels = 32
    x = relu6(conv_bn(x, state, "_conv_stem", "_bn0", outputs=channels, kernel=3, eps=_EPS, stride=2))
    levels: dict[str, Var] = {}
    for stage, (expand, outputs, repeats, first_stride, kernel) in enumerate(_STAGES):
        outputs = _width(outputs, width)
        if 0 < stage < len(_STAGES) - 1:
            repeats = math.ceil(repeats * depth)
        for repeat in range(repeats):
            block, stride = f"_blocks.{len(levels)}.", first_stride if repeat == 0 else 1
            inner, wide = x, channels * expand
            if expand > 1:
                inner = conv_bn(inner, state, block + "_expand_conv", block + "_bn0", outputs=wide, eps=_EPS)
                inner = relu6(inner)
            inner = relu6(
                conv_bn(
                    inner,
                    state,
                    block + "_depthwise_conv",
                    block + "_bn1",
                    outputs=wide,
                    kernel=kernel,
                    eps=_EPS,
                    stride=stride,
                    depthwise=True,
                )
            )
            inner = conv_bn(inner, state, block + "_project_conv", block + "_bn2", outputs=outputs, eps=_EPS)
            x = add(x, inner) if stride == 1 and channels == outputs else inner
            channels = outputs
            levels[f"blocks.{len(levels)}"] = x
    levels["head"] = relu6(conv_bn(x, state, "_conv_head", "_bn1", outputs=1280, eps=_EPS))
    state.finish(unused=("_fc.weight", "_fc.bias", "num_batches_tracked"))
    return levels
