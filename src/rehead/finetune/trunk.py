"""Trunks: everything before the head of a network, its blocks, and its names."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import timm
import torch
from timm.models._manipulate import group_with_matcher
from torch import nn

from ..backbones.weights import registry
from ..errors import DataError, UnknownNameError
from ..images import PreprocessSpec
from .small_cnns import SMALL_CNNS

__all__ = ["PLAIN_NAMES", "Block", "TimmTrunk", "blocks", "evaluating", "make_trunk", "timm_name"]

_TIMM_NAMES = {
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "resnet50": "resnet50",
    "inception_v3": "inception_v3",
    "mobilenet": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "efficientnet_lite1": "tf_efficientnet_lite1",
    "efficientnet_lite2": "tf_efficientnet_lite2",
}
PLAIN_NAMES = (*_TIMM_NAMES, *SMALL_CNNS)
"""rehead's own names; every name of timm is accepted too."""


class Block(NamedTuple):
    """A block of the trunk, frozen or trained as a whole.

    Parameters
    ----------
    name : str
        Its path in the trunk: "layer4.2".
    modules : list of nn.Module
        The layers with its parameters and statistics.
    parameters : tuple of (str, nn.Parameter)
        Its parameters with their paths.
    """

    name: str
    modules: list[nn.Module]
    parameters: tuple[tuple[str, nn.Parameter], ...]


class TimmTrunk(nn.Module):
    """A timm network without its classifier: maps where it has plain global average pooling, else vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.gives_maps = False

    def detect_maps(self, photo: torch.Tensor) -> None:
        """Set whether the trunk gives maps, by one photo (1, 3, S, S)."""
        maps = self.model.forward_features(photo)
        if maps.ndim == 4:  # whether the network only average-pools between maps and classifier
            maps = torch.rand_like(maps)
            pooled, mean = self.model.forward_head(maps, pre_logits=True), maps.mean((2, 3))
            self.gives_maps = pooled.shape == mean.shape and torch.allclose(pooled, mean, atol=1e-5)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to maps (N, C, h, w) or vectors (N, D)."""
        return self.model.forward_features(photos) if self.gives_maps else self.model(photos)


def make_trunk(name: str, size: int | None) -> tuple[nn.Module, PreprocessSpec, tuple[int, ...]]:
    """A trunk with random weights, its preprocessing, and the shape of its output for one photo.

    Raises
    ------
    UnknownNameError, DataError
        Unknown network, or a size that it does not support.
    """
    trunk: nn.Module
    if name in SMALL_CNNS:
        trunk = SMALL_CNNS[name].trunk()
        preprocess = _sized(PreprocessSpec(SMALL_CNNS[name].size, (0, 0, 0), (255, 255, 255)), size)
    else:
        trunk, preprocess = _timm_trunk(name, size)
    return trunk, preprocess, _output_shape(name, trunk, preprocess.size)


def timm_name(name: str) -> str:
    """timm's name of the architecture."""
    return _TIMM_NAMES.get(name, name)


def _timm_trunk(name: str, size: int | None) -> tuple[TimmTrunk, PreprocessSpec]:
    architecture = timm_name(name)
    if not timm.is_model(architecture):
        every = [*PLAIN_NAMES, *timm.list_models()]
        near = difflib.get_close_matches(name, every, n=1, cutoff=0.6)
        raise UnknownNameError("network of rehead or timm", name, every if near else PLAIN_NAMES)
    try:
        config = timm.get_pretrained_cfg(architecture)
    except RuntimeError as error:  # an unknown tag after the dot
        raise DataError(f"{name}: {_line(error)}") from error
    if name in registry.every_name():
        preprocess = registry.get(name).preprocess if size is None else registry.get(name).sized(size)
    else:
        preprocess = _sized(_preprocess(config), size)
    side = {"img_size": preprocess.size} if size and config.fixed_input_size else {}
    try:
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **side)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise DataError(f"{name}: timm cannot make this network ({_line(error)})") from error
    if architecture.startswith("vgg"):
        # VGG's hidden layers, 120 million parameters, serve ImageNet's classes and one size only
        model.pre_logits = nn.Identity()
    return TimmTrunk(model), preprocess


def _preprocess(config: Any) -> PreprocessSpec:
    mean, std = ([255 * value for value in values] for values in (config.mean, config.std))
    kind: Literal["bilinear", "bicubic"] = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    return PreprocessSpec(max(config.input_size[1:]), tuple(mean), tuple(std), interpolation=kind)


def _sized(spec: PreprocessSpec, size: int | None) -> PreprocessSpec:
    return spec if size is None else replace(spec, size=size)


def _output_shape(name: str, trunk: nn.Module, size: int) -> tuple[int, ...]:
    """Shape of the trunk's output for one photo; DataError where it does not support the size."""
    photo = torch.zeros(1, 3, size, size)
    try:
        with evaluating(trunk):
            if isinstance(trunk, TimmTrunk):
                trunk.detect_maps(photo)
            return tuple(trunk(photo).shape[1:])
    except (RuntimeError, ValueError, AssertionError) as error:
        raise DataError(
            f"{name} does not take photos of {size} x {size} pixels ({_line(error)}); give a larger --size, "
            "or none for the network's own"
        ) from error


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, a network is in eval mode and without gradients; then it is in the mode that it was in."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def blocks(trunk: nn.Module) -> Iterator[Block]:
    """The blocks of a timm network, as timm groups them for layer decay; the children of a small one."""
    module = trunk.model if isinstance(trunk, TimmTrunk) else trunk
    named = dict(module.named_parameters())
    if isinstance(trunk, TimmTrunk):
        groups = list(group_with_matcher(named.items(), module.group_matcher(coarse=False)).values())
    else:
        groups = [[name for name in named if name.startswith(f"{c}.")] for c, _ in module.named_children()]
    owners = [list(dict.fromkeys(name.rpartition(".")[0] for name in group)) for group in groups]
    for group, own in zip(groups, owners, strict=True):
        others = [owner for other in owners if other is not own for owner in other]
        modules = [module.get_submodule(owner) for owner in own if owner]
        yield Block(_block_name(own, others), modules, tuple((name, named[name]) for name in group))


def _block_name(owners: list[str], others: list[str]) -> str:
    """The shortest path that is a prefix of the block's first layer and of no layer of another block."""
    parts = next((owner for owner in owners if owner), "stem").split(".")
    for length in range(1, len(parts)):
        path = ".".join(parts[:length])
        if not any(f"{other}.".startswith(f"{path}.") for other in others):
            return path
    return ".".join(parts)
