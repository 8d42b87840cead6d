"""MobileNetV2 at width 1.0 (Sandler et al. 2018). Tensor names are torchvision's."""

from __future__ import annotations

from functools import partial

from .ops import State, Var, add, conv_bn, relu6

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


def trunk(x: Var, state: State, name: str) -> dict[str, Var]:  # noqa: ARG001
    """Maps after every block and after the last convolution, float32 (N, C, h, w), by name."""
    layer = partial(conv_bn, eps=_EPS, padding="symmetric")
    channels = 32
    x = relu6(layer(x, state, "features.0.0", "features.0.1", outputs=channels, kernel=3, stride=2))
    levels: dict[str, Var] = {}
    for expand, outputs, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            block = f"features.{len(levels) + 1}.conv."
            inner, part, wide = x, 0, channels * expand
            if expand > 1:
                inner, part = relu6(layer(inner, state, block + "0.0", block + "0.1", outputs=wide)), 1
            inner = relu6(
                layer(
                    inner,
                    state,
                    f"{block}{part}.0",
                    f"{block}{part}.1",
                    outputs=wide,
                    kernel=3,
                    stride=stride,
                    depthwise=True,
                )
            )
            inner = layer(inner, state, f"{block}{part + 1}", f"{block}{part + 2}", outputs=outputs)
            x = add(x, inner) if stride == 1 and channels == outputs else inner
            channels = outputs
            levels[f"features.{len(levels) + 1}"] = x
    last = f"features.{len(levels) + 1}"
    levels[last] = relu6(layer(x, state, f"{last}.0", f"{last}.1", outputs=1280))
    state.finish(unused=("classifier.1.weight", "classifier.1.bias", "num_batches_tracked"))
    return levels
