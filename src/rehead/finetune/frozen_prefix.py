"""The frozen beginning of a network, run once for each view of a photo instead of in every epoch.

Whatever stands before the first trained block gives the same maps every time: its weights are frozen, and so
are the statistics of its batch norm. Where a network is a chain up to that block, the maps are kept in a
file and training starts from them. Whether it is one is tried, not assumed: with the beginning passed over,
the network must give for the maps what it gives for the photos.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .model import Network

__all__ = ["FrozenPrefix", "frozen_beginning"]

_PHOTOS = 2  # that it is tried with
_CLOSE = 1e-5  # of the largest number: the same operations, perhaps in another order


class _StopForwardError(Exception):
    """The first trained layer is reached; its input is the argument."""


def _pass_on(inputs: Any, *_: Any, **__: Any) -> Any:
    return inputs


@dataclass(frozen=True)
class FrozenPrefix:
    """What comes before the first trained layer.

    Parameters
    ----------
    network : Network
    layers : tuple of nn.Module
        All that is run before.
    first : nn.Module
        The first layer with something to train.
    shape : tuple of int
        Of its input for one photo.
    """

    network: Network
    layers: tuple[nn.Module, ...]
    first: nn.Module
    shape: tuple[int, ...]

    def maps(self, photos: torch.Tensor) -> torch.Tensor:
        """Normalised photos (N, 3, S, S) to the input of the first trained layer, (N, *shape)."""
        return _input_of(self.first, self.network.trunk, photos)

    @contextlib.contextmanager
    def bypassed(self) -> Iterator[None]:
        """Within, the network takes maps instead of photos. Names and numbers of its state stay."""
        for layer in self.layers:
            layer.forward = _pass_on
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward


def frozen_beginning(network: Network) -> FrozenPrefix | None:
    """The beginning of a network after `set_trainable`; None where it has none, or is no chain there."""
    size = network.preprocess.size
    generator = torch.Generator().manual_seed(0)
    photos = torch.randn(_PHOTOS, 3, size, size, generator=generator)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return _tried(network, photos)
    finally:
        network.train(training)


def _tried(network: Network, photos: torch.Tensor) -> FrozenPrefix | None:
    calls: list[nn.Module] = []
    units = list(_units(getattr(network.trunk, "model", network.trunk)))
    hooks = [unit.register_forward_pre_hook(lambda unit, _: calls.append(unit)) for unit in units]
    try:
        expected = network.features(photos)
    finally:
        for hook in hooks:
            hook.remove()
    first = next((place for place, unit in enumerate(calls) if _is_trained(unit)), 0)
    if first == 0:
        return None
    maps = _input_of(calls[first], network.trunk, photos)
    if not isinstance(maps, torch.Tensor) or len(maps) != len(photos):
        return None
    beginning = FrozenPrefix(network, tuple(calls[:first]), calls[first], tuple(maps.shape[1:]))
    try:
        with beginning.bypassed():
            found = network.features(maps)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError):
        return None  # it does more with photos than to send them through its layers
    same = found.shape == expected.shape and (found - expected).abs().max() <= _CLOSE * expected.abs().max()
    return beginning if same else None


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """Layers that are wholly frozen or hold the first trained one, as coarse as they can be."""
    for child in module.children():
        flags = {parameter.requires_grad for parameter in child.parameters()}
        if isinstance(child, nn.ModuleList) or (len(flags) == 2 and isinstance(child, nn.Sequential)):
            yield from _units(child)
        else:
            yield child


def _is_trained(unit: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in unit.parameters())


def _input_of(layer: nn.Module, trunk: nn.Module, photos: torch.Tensor) -> Any:
    def stop(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        raise _StopForwardError(inputs[0] if len(inputs) == 1 else None)

    hook = layer.register_forward_pre_hook(stop)
    try:
        trunk(photos)
    except _StopForwardError as reached:
        return reached.args[0]
    finally:
        hook.remove()
    return None
