"""The frozen prefix of a network, run once for each view of a photo instead of in every epoch.

The layers before the first trained block give the same feature maps every time: their weights are frozen, and
so are their batch norm statistics. Where the network is a chain up to that block, the maps are cached in a
file, and training starts from them. That it is one is checked, not assumed: with the prefix bypassed, the
network must give for the maps what it gives for the photos.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .model import Network
from .trunk import evaluating

__all__ = ["FrozenPrefix", "find_frozen_prefix"]

_PHOTOS = 2  # of the check
_TOLERANCE = 1e-5  # of the largest value: the same operations, perhaps in another order


class _StopForwardError(Exception):
    """Raised at the first trained layer, with its input as the argument."""


def _identity(inputs: Any, *_: Any, **__: Any) -> Any:
    return inputs


@dataclass(frozen=True)
class FrozenPrefix:
    """The layers before the first trained one.

    Parameters
    ----------
    network : Network
    layers : tuple of nn.Module
        The frozen layers, in the order they run.
    first_trained : nn.Module
        The first layer with trained parameters.
    shape : tuple of int
        Shape of its input for one photo.
    """

    network: Network
    layers: tuple[nn.Module, ...]
    first_trained: nn.Module
    shape: tuple[int, ...]

    def maps(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to the input of the first trained layer, (N, *shape)."""
        return _input_of(self.first_trained, self.network.trunk, photos)

    @contextlib.contextmanager
    def bypassed(self) -> Iterator[None]:
        """Within, the network takes maps instead of photos; its state dict is unchanged."""
        for layer in self.layers:
            layer.forward = _identity
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward


def find_frozen_prefix(network: Network) -> FrozenPrefix | None:
    """The frozen prefix of a network after `set_trainable`; None where there is none, or it is no chain."""
    size = network.preprocess.size
    generator = torch.Generator().manual_seed(0)
    photos = torch.randn(_PHOTOS, 3, size, size, generator=generator)
    with evaluating(network):
        return _find(network, photos)


def _find(network: Network, photos: torch.Tensor) -> FrozenPrefix | None:
    calls: list[nn.Module] = []
    with contextlib.ExitStack() as hooks:
        for unit in _units(getattr(network.trunk, "model", network.trunk)):
            hooks.enter_context(unit.register_forward_pre_hook(lambda unit, _: calls.append(unit)))
        expected = network.features(photos)
    trained = (any(p.requires_grad for p in unit.parameters()) for unit in calls)
    first = next((index for index, is_trained in enumerate(trained) if is_trained), 0)
    if first == 0:
        return None
    maps = _input_of(calls[first], network.trunk, photos)
    if not isinstance(maps, torch.Tensor) or len(maps) != len(photos):
        return None
    prefix = FrozenPrefix(network, tuple(calls[:first]), calls[first], tuple(maps.shape[1:]))
    try:
        with prefix.bypassed():
            outputs = network.features(maps)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError):
        return None  # it does more with photos than pass them through its layers
    same = (
        outputs.shape == expected.shape
        and (outputs - expected).abs().max() <= _TOLERANCE * expected.abs().max()
    )
    return prefix if same else None


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """Layers that are wholly frozen or hold the first trained one, as coarse as possible."""
    for child in module.children():
        flags = {parameter.requires_grad for parameter in child.parameters()}
        if isinstance(child, nn.ModuleList) or (len(flags) == 2 and isinstance(child, nn.Sequential)):
            yield from _units(child)
        else:
            yield child


def _input_of(layer: nn.Module, trunk: nn.Module, photos: torch.Tensor) -> Any:
    def stop(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        raise _StopForwardError(inputs[0] if len(inputs) == 1 else None)

    with layer.register_forward_pre_hook(stop):
        try:
            trunk(photos)
        except _StopForwardError as reached:
            return reached.args[0]
    return None
