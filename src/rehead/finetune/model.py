"""Networks of torch: a trunk, a neck and one linear layer.

Everything before the last linear layer is a backbone as in `rehead.backbones`, and the last layer is a head
as in `rehead.heads`; so a trained network is exported, evaluated and used like any other model.
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

from ..errors import DataError
from ..images import PreprocessSpec
from . import load_weights
from .small_cnns import SMALL_CNNS
from .trunk import PLAIN_NAMES, Block, TimmTrunk, blocks, make_trunk, timm_name

__all__ = [
    "PLAIN_NAMES",
    "Block",
    "Network",
    "build",
    "load_state",
    "neck_of",
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
        The trunk's output, to vectors (N, D).
    linear : nn.Linear
        Vectors to logits (N, K).
    blocks : list of Block
        Of the trunk, first to last.
    preprocess : PreprocessSpec
        Preprocessing of photos.
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
        self.fitted = False  # whether the last layer is a fitted head, see `linear_probe.init_from_probe`
        self.n_levels = 1  # feature levels that the last layer takes, see `linear_probe.set_levels`
        self.widths: tuple[int, ...] = ()  # of each of them, where there are several
        for field in ("mean", "std"):
            values = torch.tensor(getattr(preprocess, field)).view(1, 3, 1, 1)
            self.register_buffer(f"_{field}", values, persistent=False)

    @property
    def blocks(self) -> list[Block]:
        """The trunk's blocks, first to last."""
        return list(blocks(self.trunk))

    def normalised(self, photos: torch.Tensor) -> torch.Tensor:
        """Uint8 photos (N, 3, S, S), RGB, to the normalised float32 that the trunk takes."""
        return (photos.float() - self._mean) / self._std

    def vectors(self, photos: torch.Tensor) -> list[torch.Tensor]:
        """Normalised photos (N, 3, S, S) to the feature levels that the last layer takes, (N, D) each."""
        module = self.trunk.model if isinstance(self.trunk, TimmTrunk) else self.trunk
        blocks = [module.get_submodule(block.name) for block in self.blocks[1:]] if self.n_levels > 1 else []
        with _pooled(blocks, self.n_levels) as earlier:
            last = self.neck(self.trunk(photos))
        return [*earlier, last]

    def features(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to the last layer's input (N, D): the vectors concatenated."""
        return torch.cat(self.vectors(photos), 1)

    def head(self, maps: torch.Tensor) -> torch.Tensor:
        """The trunk's output, to logits (N, K)."""
        return self.linear(self.neck(maps))

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to logits (N, K)."""
        return self.linear(self.features(photos)) if self.n_levels > 1 else self.head(self.trunk(photos))

    def train(self, mode: bool = True) -> Network:
        """Set training mode, but not for frozen blocks and batch norm with frozen statistics."""
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
    """Build a network for training.

    Parameters
    ----------
    name : str
        One of `PLAIN_NAMES`, or a name of timm.
    classes : int
        K, at least 2.
    size : int, optional
        Side S of the photos, pixels, instead of the network's own.
    weights : "pretrained", "none" or path
        Initial weights of the trunk; "none": random numbers. The small networks have only these.
    head : str
        "linear"; "mlp:WIDTH": pooling, dense, ReLU, dropout 0.5; or "conv": 3 x 3 convolution with 512
        filters, max pooling, dense 512, dropout 0.5. A small network's own layers count as "linear".
    dropout : float
        Of a further dropout layer before the last layer, in [0, 1).

    Returns
    -------
    Network
        In training mode, with all its parameters trained.

    Raises
    ------
    UnknownNameError, DataError, WeightsError
        Unknown network or head; a size it does not support; weights that are missing or do not fit.
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
    """Load a trunk's weights from a torch or safetensors file, and set the record to that of the file.

    Names are timm's, those of torchvision for the plain names, or those of `efficientnet_lite_pytorch`; a
    small network has its own. A classifier in the file is ignored.

    Raises
    ------
    WeightsError
        The file cannot be read, or its tensors do not fit; the message lists those that do not.
    """
    path, trunk = Path(path), network.trunk
    module = trunk.model if isinstance(trunk, TimmTrunk) else trunk
    load_weights.load_matching(module, load_weights.read_state(path), f"{path}, as {network.name}")
    network.record = load_weights.file_record(network.name, path)


def neck_of(name: str, head: str, shape: tuple[int, ...]) -> tuple[nn.Sequential, int]:
    """The layers between the trunk's output of `shape` and the last layer, and their output width.

    Raises
    ------
    DataError
        Unknown head, or the network has no maps for it.
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
def _pooled(blocks: Sequence[nn.Module], count: int) -> Iterator[list[torch.Tensor]]:
    """While the trunk runs, the average-pooled maps of the `count` - 1 levels before its own features.

    A block's maps are taken as the input of the next one, so that they are also there where the network is
    run from that block on.
    """
    pooled: list[torch.Tensor] = []

    def before(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        pooled.append(inputs[0].mean((2, 3)))

    def after(_: nn.Module, __: Any, maps: torch.Tensor) -> None:
        pooled.append(maps.mean((2, 3)))

    with contextlib.ExitStack() as hooks:
        for block in blocks[len(blocks) - (count - 2) :] if count > 1 else ():
            hooks.enter_context(block.register_forward_pre_hook(before))
        if count > 1:
            hooks.enter_context(blocks[-1].register_forward_hook(after))
        yield pooled
