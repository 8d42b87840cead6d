"""MobileNetV2 at width 1.0 (Sandler et al. 2018). Tensor names are torchvision's."""

from __future__ import annotations

from .layers import State, Var, add, conv_bn, relu6

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


def trunk(x: Var, state: State) -> dict[str, Var]:
    """Maps after every block and after the last convolution, float32 (N, C, h, w), by name."""

    def layer(x: Var, conv: str, norm: str, stride: int = 1, depthwise: bool = False) -> Var:
        return conv_bn(
            x, state, conv, norm, eps=_EPS, stride=stride, depthwise=depthwise, padding="symmetric"
        )

    x = relu6(layer(x, "features.0.0", "features.0.1", stride=2))
    taps: dict[str, Var] = {}
    channels = 32
    for expand, outputs, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            block = f"features.{len(taps) + 1}.conv."
            inner, part = x, 0
            if expand > 1:
                inner, part = relu6(layer(inner, block + "0.0", block + "0.1")), 1
            inner = relu6(layer(inner, f"{block}{part}.0", f"{block}{part}.1", stride, depthwise=True))
            inner = layer(inner, f"{block}{part + 1}", f"{block}{part + 2}")
            x = add(x, inner) if stride == 1 and channels == outputs else inner
            channels = outputs
            taps[f"features.{len(taps) + 1}"] = x
    last = f"features.{len(taps) + 1}"
    taps[last] = relu6(layer(x, f"{last}.0", f"{last}.1"))
    state.finish(unused=("classifier.1.weight", "classifier.1.bias", "num_batches_tracked"))
    return taps
