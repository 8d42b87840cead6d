"""Which parameters of a network are trained, and at which learning rates."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import DataError, UnknownNameError
from .model import Network
from .trunk import Block

__all__ = ["count_parameters", "parameter_groups", "set_trainable"]


def set_trainable(network: Network, what: str, *, freeze_bn_stats: bool = False) -> None:
    """Set which blocks of the trunk are trained; neck and last layer always are, except for a fitted head.

    Frozen blocks get no gradients, and their batch norm keeps its statistics even in training mode. A fitted
    last layer is frozen while blocks are trained: gradient steps would undo its regularisation
    (benchmarks/RESULTS.md).

    Parameters
    ----------
    network : Network
        Changed in place.
    what : str
        "frozen", "all", "top:N" (the last N blocks) or "from:LAYER" (that layer's block and all after it).
    freeze_bn_stats : bool
        Batch norm in trained blocks keeps its statistics too, and normalises by them: only its scale and
        shift are trained.

    Raises
    ------
    DataError
        None of these, or more blocks than there are.
    UnknownNameError
        Unknown layer.
    """
    blocks = network.blocks
    first = _first_trained(network.name, blocks, what)
    network.frozen = frozenset(block.name for block in blocks[:first])
    for number, block in enumerate(blocks):
        for _, parameter in block.parameters:
            parameter.requires_grad_(number >= first)
    network.linear.requires_grad_(not network.fitted or first == len(blocks))
    network.freeze_bn_stats = freeze_bn_stats
    network.train(network.training)


def _first_trained(name: str, blocks: list[Block], what: str) -> int:
    kind, _, value = what.partition(":")
    match kind:
        case "frozen" if not value:
            return len(blocks)
        case "all" if not value:
            return 0
        case "top" if value.isdecimal() and int(value) >= 1:
            if int(value) > len(blocks):
                raise DataError(
                    f"{what}: {name} has {len(blocks)} blocks; give top:{len(blocks)} at most, or all"
                )
            return len(blocks) - int(value)
        case "from" if value:
            for number, block in enumerate(blocks):
                paths = (block.name, *(path for path, _ in block.parameters))
                if any(path == value or path.startswith(value + ".") for path in paths):
                    return number
            raise UnknownNameError(f"layer of {name}", value, [block.name for block in blocks])
    raise DataError(f"cannot train {what!r}; expected frozen, all, top:N (N from 1) or from:LAYER")


def parameter_groups(
    network: Network, lr: float, decay: float = 1.0, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Parameter groups of an optimizer, with layer-wise learning rate decay (Clark et al. 2020).

    Neck and last layer have the learning rate `lr`, the last block of the trunk `lr * decay`, the one before
    it `lr * decay**2`, and so on; where the head is frozen, the last block has `lr`. Biases and norms, which
    have one axis, have no weight decay.

    Parameters
    ----------
    network : Network
        After `set_trainable`.
    lr : float
        Learning rate of the last trained layers.
    decay : float
        In (0, 1]; 1: the same learning rate for all.
    weight_decay : float
        Of parameters with two axes or more.

    Returns
    -------
    list of dict
        With "params", "lr", "weight_decay" and "name", last layer first.
    """
    layers = [("head", [*network.neck.parameters(), *network.linear.parameters()])]
    layers += [(b.name, [p for _, p in b.parameters]) for b in reversed(network.blocks)]
    trained = [(name, [p for p in parameters if p.requires_grad]) for name, parameters in layers]
    groups = []
    for depth, (name, parameters) in enumerate(layer for layer in trained if layer[1]):
        for decayed in (True, False):
            params = [p for p in parameters if (p.ndim > 1) is decayed]
            if params:
                groups.append(
                    {
                        "params": params,
                        "lr": lr * decay**depth,
                        "weight_decay": weight_decay if decayed else 0.0,
                        "name": name if decayed else f"{name}, biases and norms",
                    }
                )
    return groups


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Number of parameters of a network, total and trained."""
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return sum(n for n, _ in counts), sum(n for n, trained in counts if trained)
