"""Weights interpolated between the initial and the fine-tuned ones (WiSE-FT, Wortsman et al. 2022).

A pretrained network that is fine-tuned on few photos learns from them, and forgets as well. Weights
`(1 - alpha) * initial + alpha * trained` are often better than both, and cost nothing at inference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from .frozen_prefix import FrozenPrefix
from .module import FineTuneModule

__all__ = ["ALPHAS", "best_interpolation", "interpolate_", "state_of"]

ALPHAS = (0.25, 0.5, 0.75)
"""Tried besides 1, the trained weights."""


def state_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the state dict of a network."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def interpolate_(
    network: torch.nn.Module,
    start: Mapping[str, torch.Tensor],
    end: Mapping[str, torch.Tensor],
    alpha: float,
) -> None:
    """Set the weights to `(1 - alpha) * start + alpha * end`; whole numbers are those of `end`."""
    network.load_state_dict(
        {
            name: start[name].lerp(value, alpha) if value.is_floating_point() else value
            for name, value in end.items()
        }
    )


def best_interpolation(
    module: FineTuneModule, start: Mapping[str, torch.Tensor], monitored: float, prefix: FrozenPrefix | None
) -> tuple[float, NDArray[np.float32]]:
    """Set the trained network of `module` to the weights of the best alpha, by the validation photos.

    Parameters
    ----------
    module : FineTuneModule
    start : mapping
        State dict of the network before training.
    monitored : float
        The monitored validation metric of the trained weights; less is better.
    prefix : FrozenPrefix or None
        Whose maps the module is trained on.

    Returns
    -------
    alpha : float
        The best one, in (0, 1].
    val_outputs : float32 ndarray (3, n, ...)
        Outputs for the validation photos at each of `ALPHAS`.
    """
    network, end = module.network, state_of(module.network)
    best, outputs = 1.0, []
    with prefix.bypassed() if prefix else contextlib.nullcontext():
        for alpha in ALPHAS:
            interpolate_(network, start, end, alpha)
            outputs.append(module.predict_validation())
            value = module.val_metrics(outputs[-1])[module.metrics_type.monitor]
            if value < monitored:
                best, monitored = alpha, value
    interpolate_(network, start, end, best)
    return best, torch.stack(outputs).numpy()
