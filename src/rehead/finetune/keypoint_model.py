"""Keypoint networks: a trunk, and a head that ends in coordinates."""

from __future__ import annotations

import copy
import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import DataError, UnknownNameError
from .export import export_function
from .model import Network, build, neck_of
from .trunk import evaluating

__all__ = ["KEYPOINT_HEADS", "KeypointNetwork", "export_network", "keypoint_network"]

KEYPOINT_HEADS = ("conv", "heatmap")
"""`conv`: 3 x 3 convolution with 512 filters, max pooling, dense 512, dropout 0.5 and sigmoid, the
tutorials' head on VGG16. `heatmap`: two transposed convolutions (Xiao et al. 2018) and the soft-argmax of
each point's map (Sun et al. 2018)."""

_FILTERS = 256  # of each transposed convolution, as Xiao et al. 2018
_INIT_SCALE = 0.1  # times the usual weights of the last layer: the points begin near `start`
_EDGE = 1e-3  # of the side: sigmoids start at least so far from 0 and 1


class KeypointNetwork(Network):
    """A network that predicts K points.

    Parameters
    ----------
    base : Network
        Its neck and last layer are the head.
    points : int
        K.
    finish : nn.Module
        From the output of the last layer, (N, 2K), to coordinates.
    """

    def __init__(self, base: Network, points: int, finish: nn.Module) -> None:
        super().__init__(
            base.name, base.trunk, base.neck, base.linear, preprocess=base.preprocess, record=base.record
        )
        self.points, self.finish = points, finish

    def head(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps of the trunk to points in units of the side (N, K, 2)."""
        return self.finish(super().head(maps)).unflatten(1, (self.points, 2))

    def predict(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to points in units of the side and pooled maps, (N, 2K + C)."""
        maps = self.trunk(photos)
        points, pooled = self.head(maps), maps.mean((2, 3))
        return torch.cat([points.flatten(1), pooled], dim=1)


class _HeatMaps(nn.Module):
    """Maps (N, C, h, w) to the soft-argmax of each of K heat maps of four times the side, (N, 2K)."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (width, _FILTERS):
            layers += [
                nn.ConvTranspose2d(channels, _FILTERS, 4, 2, 1, bias=False),
                nn.BatchNorm2d(_FILTERS),
                nn.ReLU(),
            ]
        self.up = nn.Sequential(*layers, nn.Conv2d(_FILTERS, points, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        heat = self.up(maps)
        height, width = heat.shape[2:]
        probability = heat.flatten(2).softmax(-1)
        x = (torch.arange(width, device=maps.device) + 0.5) / width
        y = (torch.arange(height, device=maps.device) + 0.5) / height
        grid = torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)
        return (probability @ grid).flatten(1)


def keypoint_network(
    name: str,
    start: NDArray[np.float64],
    *,
    size: int | None = None,
    weights: str | os.PathLike[str] = "pretrained",
    head: str = "conv",
    dropout: float = 0.0,
    seed: int = 0,
) -> KeypointNetwork:
    """A network before training, its random numbers drawn from `seed`.

    Parameters
    ----------
    name, size, weights
        As `model.build`.
    start : float64 ndarray (K, 2)
        In units of the side: the output before training; that of heat maps is the middle.
    dropout : float
        Another before the last layer of `conv`, in [0, 1).
    head : str
        One of `KEYPOINT_HEADS`.

    Raises
    ------
    UnknownNameError, DataError, WeightsError
    """
    if head not in KEYPOINT_HEADS:
        raise UnknownNameError("head for keypoints", head, KEYPOINT_HEADS)
    points = len(start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(name, classes=2 * points, size=size, weights=weights)
        shape = _map_shape(network)
        if head == "heatmap":
            network.neck = _HeatMaps(shape[0], points)
            network.linear = nn.Identity()
            return KeypointNetwork(network, points, nn.Identity())
        layers, width = neck_of(name, head, shape)
        network.neck = nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))
        network.linear = nn.Linear(width, 2 * points)
    inside = torch.from_numpy(start.ravel().clip(_EDGE, 1 - _EDGE)).float()
    with torch.no_grad():
        network.linear.weight.mul_(_INIT_SCALE)
        network.linear.bias.copy_(torch.logit(inside))
    return KeypointNetwork(network, points, nn.Sigmoid())


def _map_shape(network: Network) -> tuple[int, ...]:
    """Shape (C, h, w) of the trunk's maps; DataError where it has none."""
    side = network.preprocess.size
    with evaluating(network):
        maps = network.trunk(torch.zeros(1, 3, side, side))
    if maps.ndim != 4:
        raise DataError(
            f"{network.name} has no spatial feature maps, which keypoints need; take another network"
        )
    return tuple(maps.shape[1:])


def export_network(model: KeypointNetwork) -> bytes:
    """ONNX of the network: `image` uint8 (N, S, S, 3) to `trained` (N, 2K + C), points and pooled maps.

    Raises
    ------
    WeightsError
        torch cannot export it, or ONNX Runtime and torch differ by more than 1e-4.
    """
    frozen = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    side, numbers = frozen.preprocess.size, 2 * frozen.points
    with torch.no_grad():
        width = frozen.predict(torch.zeros(1, 3, side, side)).shape[1]
    return export_function(frozen, frozen.predict, (numbers, width - numbers))
