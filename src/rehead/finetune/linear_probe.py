"""Several depths of a network for one head: what its last blocks give, averaged, beside its own features.

The depths are those that `rehead.backbones` knows of the networks of the core, so that a head that was fitted
on the frozen network's features is a head of the network in torch as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..heads import select_head
from ..heads.temperature import fit_temperature

if TYPE_CHECKING:
    from ..classification.training_data import TrainingFeatures
    from .model import Network

__all__ = ["init_from_probe", "max_levels", "set_levels"]


def max_levels(network: Network) -> int:
    """How many of the last depths belong to what is trained: the maps it gets, and all that it gives.

    Depths before those would keep the network from being run from its first trained block on.
    """
    trained = sum(block.name not in network.frozen for block in network.blocks)
    return min(trained + 2, len(network.blocks)) if trained else 1


def set_levels(network: Network, count: int) -> None:
    """Give a network a new last layer, of zeros, that sees its last `count` depths.

    Parameters
    ----------
    network : Network
        With a linear head, after `networks.set_trainable`. Changed in place.
    count : int
        1: the network's own features; 2: what its last block gives, too; 3: what the block before gives; ...
    """
    network.n_levels = count
    size = network.preprocess.size
    training = network.training
    network.eval()
    with torch.no_grad():
        photo = torch.zeros(1, 3, size, size, device=network.linear.weight.device)
        network.widths = tuple(vector.shape[1] for vector in network.vectors(photo))
    network.linear = nn.Linear(sum(network.widths), network.linear.out_features)
    nn.init.zeros_(network.linear.weight)
    nn.init.zeros_(network.linear.bias)
    network.train(training)


def init_from_probe(
    network: Network,
    look: TrainingFeatures,
    fold: NDArray[np.intp],
    *,
    n_levels: Callable[[int], Sequence[int]],
    balanced: bool,
) -> None:
    """Let a network begin with the best linear head of the depths that are trained, fitted and calibrated.

    Parameters
    ----------
    network : Network
        As `set_levels`.
    look : TrainingFeatures
        What the frozen network says of the photos that are trained on. More than its last depth is used only
        where it has all those of `network`.
    fold : int ndarray (n,)
        Of each photo.
    n_levels : callable
        How many of the last depths to try, where there are that many.
    balanced : bool
        Whether every class weighs the same.
    """
    blocks, y = look.backbone.blocks, look.target
    most = max_levels(network) if len(blocks) == len(network.blocks) else 1
    first = blocks[-most].start
    known = [slice(block.start - first, block.stop - first) for block in blocks[-most:]]
    head = select_head(look.plain[:, first:], y, fold, known, n_levels=n_levels(most), balanced=balanced)
    checked = fold >= 0
    heat = fit_temperature(head.held_out[checked], y[checked], smooth=True)
    if head.chosen.n_levels > 1:
        set_levels(network, head.chosen.n_levels)
    network.fitted = True
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(head.weight.T / heat)))
        network.linear.bias.copy_(torch.from_numpy(np.asarray(head.bias / heat)))
