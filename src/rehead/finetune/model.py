"""Networks that can be trained: a trunk, a neck and one linear layer.

Everything before the last linear layer is what `rehead.backbones` calls a backbone, and the last layer is
what `rehead.heads` fits; so whatever is trained here is exported, evaluated and used like any other model.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import DataError, UnknownNameError
from ..images import PreprocessSpec
from . import load_weights
from .small_cnns import SMALL_CNNS
from .trunk import PLAIN_NAMES, Block, TimmTrunk, blocks, make_trunk, timm_name

__all__ = [
    "PLAIN_NAMES",
    "Block",
    "Network",
    "averages",
    "build",
    "count_parameters",
    "load_state",
    "neck_of",
    "parameter_groups",
    "set_trainable",
]

_DROPOUT = 0.5  # of hidden layers: Srivastava et al. 2014, and the tutorials' heads
_CONV_WIDTH = 512  # filters and units of the `conv` head, as in the tutorials' VGG recipe


class Network(nn.Module):
    """A network whose last layer is linear.

    Parameters
    ----------
    name : str
        As the user gave it.
    trunk : nn.Module
        Float32 photos (N, 3, S, S), normalised, to maps (N, C, h, w) or vectors (N, D).
    neck : nn.Module
        What the trunk gives, to vectors (N, D).
    linear : nn.Linear
        Vectors to logits (N, K).
    blocks : list of Block
        The trunk's pieces, first to last.
    preprocess : PreprocessSpec
        How photos are prepared.
    record : dict
        Name, sha256 ("random" where there are no pretrained weights) and licences of the initial weights.
    """

    def __init__(
        self,
        name: str,
        trunk: nn.Module,
        neck: nn.Module,
        linear: nn.Linear,
        *,
        preprocess: PreprocessSpec,
        record: dict[str, Any],
    ) -> None:
        super().__init__()
        self.name = name
        self.trunk = trunk
        self.neck = neck
        self.linear = linear
        self.preprocess = preprocess
        self.record = record
        self.frozen: frozenset[str] = frozenset()
        self.freeze_bn_stats = False
        self.fitted = (
            False  # whether the last layer is a head that was fitted, see `n_levels.init_from_probe`
        )
        self.n_levels = 1  # the last so many are what the last layer sees, see `n_levels.set_levels`
        self.widths: tuple[int, ...] = ()  # of each of them, where they are several
        for field in ("mean", "std"):
            values = torch.tensor(getattr(preprocess, field)).view(1, 3, 1, 1)
            self.register_buffer(f"_{field}", values, persistent=False)

    @property
    def blocks(self) -> list[Block]:
        """The trunk's pieces, first to last."""
        return list(blocks(self.trunk))

    def normalised(self, photos: torch.Tensor) -> torch.Tensor:
        """Uint8 photos (N, 3, S, S), RGB, as the trunk takes them: float32."""
        return (photos.float() - self._mean) / self._std

    def vectors(self, photos: torch.Tensor) -> list[torch.Tensor]:
        """Normalised photos (N, 3, S, S) to what the last layer sees, (N, D) of each depth in order."""
        module = self.trunk.model if isinstance(self.trunk, TimmTrunk) else self.trunk
        pieces = [module.get_submodule(block.name) for block in self.blocks[1:]] if self.n_levels > 1 else []
        with averages(pieces, self.n_levels) as earlier:
            own = self.neck(self.trunk(photos))
        return [*earlier, own]

    def features(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to the last layer's input (N, D): the vectors side by side."""
        return torch.cat(self.vectors(photos), 1)

    def head(self, maps: torch.Tensor) -> torch.Tensor:
        """What the trunk gives, to logits (N, K)."""
        return self.linear(self.neck(maps))

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to logits (N, K)."""
        return self.linear(self.features(photos)) if self.n_levels > 1 else self.head(self.trunk(photos))

    def train(self, mode: bool = True) -> Network:
        """Switch to training, all but batch norm that keeps its statistics and frozen blocks."""
        super().train(mode)
        if mode and self.freeze_bn_stats:
            for module in self.trunk.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()
        if mode and self.frozen:
            for block in self.blocks:
                if block.name in self.frozen:
                    for module in block.modules:
                        module.eval()
        return self


def build(
    name: str,
    *,
    classes: int,
    size: int | None = None,
    weights: str | os.PathLike[str] = "pretrained",
    head: str = "linear",
    dropout: float = 0.0,
) -> Network:
    """Make a network ready to be trained.

    Parameters
    ----------
    name : str
        One of `PLAIN_NAMES`, or a name of timm.
    classes : int
        K, at least 2.
    size : int, optional
        Side S of the photos, pixels, instead of the network's own.
    weights : "pretrained", "none" or path
        What the trunk starts from; "none": random numbers. The small networks have nothing else.
    head : str
        "linear"; "mlp:WIDTH": average, dense, ReLU, dropout 0.5; or "conv": 3 x 3 convolution with 512
        filters, max pooling, dense 512, dropout 0.5. A small network's own layers count as "linear".
    dropout : float
        One more before the last layer, in [0, 1).

    Returns
    -------
    Network
        In training mode, with all its parameters trained.

    Raises
    ------
    UnknownNameError, DataError, WeightsError
        No such network or head; a size it does not take; weights that are not there or do not fit.
    """
    if classes < 2:
        raise DataError(f"a classifier needs 2 classes or more, not {classes}")
    if not 0 <= dropout < 1:
        raise DataError(f"dropout must be at least 0 and below 1, not {dropout}")
    trunk, preprocess, shape = make_trunk(name, size)
    if name in SMALL_CNNS and head == "linear":
        layers, width = SMALL_CNNS[name].neck(shape[-1])
    else:
        layers, width = neck_of(name, head, shape)
    neck = nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))
    network = Network(
        name,
        trunk,
        neck,
        nn.Linear(width, classes),
        preprocess=preprocess,
        record=load_weights.random_record(name),
    )
    if weights not in ("pretrained", "none"):
        load_state(network, weights)
    elif weights == "pretrained" and isinstance(trunk, TimmTrunk):
        path, record = load_weights.find_pretrained(name, timm_name(name), trunk.model.pretrained_cfg)
        load_state(network, path)
        network.record = record
    return network.train()


def load_state(network: Network, path: str | os.PathLike[str]) -> None:
    """Load a trunk's weights from a torch or safetensors file, and take its record.

    Names are timm's, those of torchvision for the plain names, or those of `efficientnet_lite_pytorch`; a
    small network has its own. A classifier in the file is not looked at.

    Raises
    ------
    WeightsError
        The file cannot be read, or its tensors do not fit; the message lists those that do not.
    """
    path, trunk = Path(path), network.trunk
    module = trunk.model if isinstance(trunk, TimmTrunk) else trunk
    load_weights.fit_state(module, load_weights.read_state(path), f"{path}, as {network.name}")
    network.record = load_weights.file_record(network.name, path)


def set_trainable(network: Network, what: str, *, keep_statistics: bool = False) -> None:
    """Say which blocks of the trunk are trained; neck and last layer always are, but a fitted head.

    Frozen blocks get no gradients, and their batch norm keeps its statistics even in training mode. A last
    layer that was fitted stays as it is while blocks learn: gradient steps would undo what its penalty did
    (benchmarks/RESULTS.md).

    Parameters
    ----------
    network : Network
        Changed in place.
    what : str
        "frozen", "all", "top:N" (the last N blocks) or "from:LAYER" (that layer's block and all after it).
    keep_statistics : bool
        The batch norm of trained blocks keeps its statistics too, and normalises by them: only its scale and
        shift are trained.

    Raises
    ------
    DataError
        Not one of these, or more blocks than there are.
    UnknownNameError
        No such layer.
    """
    blocks = network.blocks
    first = _first_trained(network.name, blocks, what)
    network.frozen = frozenset(block.name for block in blocks[:first])
    for number, block in enumerate(blocks):
        for _, parameter in block.parameters:
            parameter.requires_grad_(number >= first)
    network.linear.requires_grad_(not network.fitted or first == len(blocks))
    network.freeze_bn_stats = keep_statistics
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
    """The trained parameters as an optimiser takes them, with lower rates for deeper blocks.

    Neck and last layer have the rate `lr`; the last block of the trunk `lr * decay`, the one before it
    `lr * decay**2`, and so on (Clark et al. 2020); where a fitted head stays as it is, the last block has
    `lr`. Biases and norms, all that has one axis, do not decay.

    Parameters
    ----------
    network : Network
        After `set_trainable`.
    lr : float
        Rate of what is trained last.
    decay : float
        In (0, 1]; 1: the same rate for all.
    weight_decay : float
        Of weights with two axes or more.

    Returns
    -------
    list of dict
        With "params", "lr", "weight_decay" and "name", last layer first.
    """
    ends = [*network.neck.parameters(), *network.linear.parameters()]
    pieces = [("head", ends)]
    pieces += [(b.name, [p for _, p in b.parameters]) for b in reversed(network.blocks)]
    groups = []
    chosen_of = [(name, [p for p in parameters if p.requires_grad]) for name, parameters in pieces]
    for depth, (name, trained) in enumerate((name, chosen) for name, chosen in chosen_of if chosen):
        for decayed in (True, False):
            chosen = [p for p in trained if (p.ndim > 1) is decayed]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": lr * decay**depth,
                        "weight_decay": weight_decay if decayed else 0.0,
                        "name": name if decayed else f"{name}, biases and norms",
                    }
                )
    return groups


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Numbers of a network, all and those that are trained."""
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return sum(n for n, _ in counts), sum(n for n, trained in counts if trained)


def neck_of(name: str, head: str, shape: tuple[int, ...]) -> tuple[nn.Sequential, int]:
    """The layers between the trunk's output of `shape` and the last layer, and the width they end in.

    Raises
    ------
    DataError
        No such head, or the network has no maps for it.
    """
    width = shape[0]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if len(shape) == 3 else []
    kind, _, value = head.partition(":")
    match kind:
        case "linear" if not value:
            return nn.Sequential(*pool), width
        case "mlp" if value.isdecimal() and int(value) >= 1:
            hidden = int(value)
            return nn.Sequential(*pool, nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(_DROPOUT)), hidden
        case "conv" if not value:
            if len(shape) != 3:
                raise DataError(f"{name} has no plain maps for a conv head; take linear or mlp:WIDTH")
            side = math.ceil(shape[1] / 2), math.ceil(shape[2] / 2)
            return nn.Sequential(
                nn.Conv2d(width, _CONV_WIDTH, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
                nn.Flatten(),
                nn.Linear(_CONV_WIDTH * side[0] * side[1], _CONV_WIDTH),
                nn.ReLU(),
                nn.Dropout(_DROPOUT),
            ), _CONV_WIDTH
    raise DataError(f"unknown head {head!r}; expected linear, mlp:WIDTH or conv")


@contextlib.contextmanager
def averages(blocks: Sequence[nn.Module], count: int) -> Iterator[list[torch.Tensor]]:
    """While the trunk runs, the averaged maps of the `count` - 1 depths before its own features, in order.

    A block's maps are taken where the next one gets them: so they are there too where the network is run from
    that block on.
    """
    seen: list[torch.Tensor] = []
    hooks: list[Any] = []
    if count > 1:
        hooks += [
            block.register_forward_pre_hook(lambda _, given: seen.append(given[0].mean((2, 3))))
            for block in blocks[len(blocks) - (count - 2) :]
        ]
        hooks.append(blocks[-1].register_forward_hook(lambda _, __, maps: seen.append(maps.mean((2, 3)))))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
