"""The small CNNs of the tutorials, which are trained from random weights.

Convolutions are 3 x 3 with ReLU, each followed by max pooling, as in the Keras tutorials.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

__all__ = ["SMALL_CNNS", "SmallCnn"]


@dataclass(frozen=True)
class SmallCnn:
    """A small convolutional network.

    Parameters
    ----------
    size : int
        Side of the photos, pixels.
    channels : tuple of int
        Of each convolution.
    padding : int
        Pixels added on every side before each convolution.
    pool : int
        Side of the max pooling.
    dense : int
        Width of the hidden layer on the flattened maps; 0: global average pooling instead.
    dropout : float
        Before the last layer.
    """

    size: int
    channels: tuple[int, ...]
    padding: int
    pool: int
    dense: int
    dropout: float

    def trunk(self) -> nn.Sequential:
        """The convolutions: float32 (N, 3, S, S) to maps (N, C, h, w)."""
        blocks = OrderedDict(
            (
                f"conv{number}",
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, padding=self.padding), nn.ReLU(), nn.MaxPool2d(self.pool)
                ),
            )
            for number, (inputs, outputs) in enumerate(pairwise((3, *self.channels)), 1)
        )
        return nn.Sequential(blocks)

    def neck(self, side: int) -> tuple[nn.Sequential, int]:
        """The layers between maps of `side` and the last layer, and their output width."""
        width = self.channels[-1]
        layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if self.dense:
            layers = [nn.Flatten(), nn.Linear(width * side * side, self.dense), nn.ReLU()]
        dropout = [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(*layers, *dropout), self.dense or width


_FOUR = (64, 128, 256, 512)

SMALL_CNNS = {
    "small-cnn": SmallCnn(160, (32, 64, 128), padding=1, pool=2, dense=0, dropout=0.5),
    "cnn4-300": SmallCnn(300, _FOUR, padding=0, pool=2, dense=100, dropout=0.0),
    "cnn4-50": SmallCnn(50, _FOUR, padding=0, pool=2, dense=100, dropout=0.0),
    "cnn4-300-pool3": SmallCnn(300, _FOUR, padding=0, pool=3, dense=100, dropout=0.0),
}
"""By their names on the command line."""
