"""Initialising the last layer from a linear probe, on pooled features of the last blocks.

Feature levels are those of `rehead.backbones`, so that a head fitted on the frozen network's features by the
core is a last layer of the network in torch as well.
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
from .trunk import evaluating

if TYPE_CHECKING:
    from ..classification.training_data import TrainingFeatures
    from .model import Network

__all__ = ["init_from_probe", "max_levels", "set_levels"]


def max_levels(network: Network) -> int:
    """Number of last feature levels that trained blocks take or give.

    Earlier levels would prevent running the network from its first trained block.
    """
    trained = sum(block.name not in network.frozen for block in network.blocks)
    return min(trained + 2, len(network.blocks)) if trained else 1


def set_levels(network: Network, count: int) -> None:
    """Replace the last layer by one of zeros that takes the last `count` feature levels.

    Parameters
    ----------
    network : Network
        With a linear head, after `set_trainable`. Changed in place.
    count : int
        1: the network's own features; 2: those of its last block, too; 3: of the block before as well; ...
    """
    network.n_levels = count
    size = network.preprocess.size
    with evaluating(network):
        photo = torch.zeros(1, 3, size, size, device=network.linear.weight.device)
        network.widths = tuple(vector.shape[1] for vector in network.vectors(photo))
    network.linear = nn.Linear(sum(network.widths), network.linear.out_features)
    nn.init.zeros_(network.linear.weight)
    nn.init.zeros_(network.linear.bias)


def init_from_probe(
    network: Network,
    features: TrainingFeatures,
    fold: NDArray[np.intp],
    *,
    n_levels: Callable[[int], Sequence[int]],
    balanced: bool,
) -> None:
    """Set the last layer to the best linear probe of the trained feature levels, with its temperature.

    Parameters
    ----------
    network : Network
        As `set_levels`.
    features : TrainingFeatures
        Of the training photos, by the frozen network. More than its last level is used only where it has all
        the levels of `network`.
    fold : int ndarray (n,)
        Of each photo; -1: only trained on.
    n_levels : callable
        Numbers of last levels to try, by how many there are.
    balanced : bool
        Whether every class has the same total weight.
    """
    blocks, y = features.backbone.blocks, features.target
    most = max_levels(network) if len(blocks) == len(network.blocks) else 1
    first = blocks[-most].start
    levels = [slice(block.start - first, block.stop - first) for block in blocks[-most:]]
    head = select_head(features.plain[:, first:], y, fold, levels, n_levels=n_levels(most), balanced=balanced)
    held_out = fold >= 0
    temperature = fit_temperature(head.held_out[held_out], y[held_out], smooth=True)
    if head.chosen.n_levels > 1:
        set_levels(network, head.chosen.n_levels)
    network.fitted = True
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(head.weight.T / temperature)))
        network.linear.bias.copy_(torch.from_numpy(np.asarray(head.bias / temperature)))
