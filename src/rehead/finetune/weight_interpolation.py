"""Weights between those that a training began with and those that it led to (WiSE-FT, Wortsman et al. 2022).

A pretrained network that is trained from a fitted head on few photos gains from them and forgets as well.
Networks in between, whose every number lies a share of the way from one to the other, are often better than
both, and cost nothing to run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .frozen_prefix import FrozenPrefix
from .module import FineTuneModule

__all__ = ["SHARES", "Interpolation", "best_interpolation", "interpolate_", "state_of"]

SHARES = (0.25, 0.5, 0.75)
"""That are tried; the training's own weights have 1."""


class Interpolation(NamedTuple):
    """What became of the validation photos.

    Parameters
    ----------
    share : float
        The best one, in (0, 1].
    answers : float32 ndarray (3, n, ...)
        By the network at each of `SHARES`.
    """

    share: float
    answers: NDArray[np.float32]


def state_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all numbers of a network."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def interpolate_(
    network: torch.nn.Module,
    start: Mapping[str, torch.Tensor],
    end: Mapping[str, torch.Tensor],
    share: float,
) -> None:
    """Give a network the weights that lie so much of the way from `start` to `end`."""
    network.load_state_dict(
        {
            name: start[name].lerp(value, share) if value.is_floating_point() else value
            for name, value in end.items()
        }
    )


def best_interpolation(
    module: FineTuneModule, start: Mapping[str, torch.Tensor], score: float, beginning: FrozenPrefix | None
) -> Interpolation:
    """Leave the network of `module`, which is trained, with the best of its own weights and those between.

    Parameters
    ----------
    module : FineTuneModule
    start : mapping
        State of the network before the training.
    score : float
        Of its own weights on the validation photos; less is better.
    beginning : FrozenPrefix or None
        That the loop's file was made by.
    """
    network, end = module.network, state_of(module.network)
    best, answers = 1.0, []
    with beginning.bypassed() if beginning else contextlib.nullcontext():
        for share in SHARES:
            interpolate_(network, start, end, share)
            answers.append(module.answers())
            found = module.judged(answers[-1])[module.epoch_kind.judged_by]
            if found < score:
                best, score = share, found
    interpolate_(network, start, end, best)
    return Interpolation(best, torch.stack(answers).numpy())
