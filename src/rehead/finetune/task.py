"""What fine-tuning needs to know of a task."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .config import TrainingConfig
from .frozen_prefix import FrozenPrefix
from .model import Network
from .module import FineTuneModule

__all__ = ["TrainingTask"]

Config = TypeVar("Config", bound=TrainingConfig, contravariant=True)


class TrainingTask(Protocol[Config]):
    """Photos, their targets, and which of them are for validation."""

    head_first: ClassVar[bool]
    """Whether a head on a pretrained network is fitted or trained on the frozen features first."""

    @property
    def validation(self) -> NDArray[np.bool_]:
        """Which photos are for validation, (n,)."""

    def pixels(self, network: Network, to: Path) -> None:
        """Write the preprocessed photos as one .npy file."""

    def maps(
        self,
        network: Network,
        pixels: Path,
        to: Path,
        options: Config,
        *,
        views: int,
        seed: int,
        prefix: FrozenPrefix | None,
    ) -> None:
        """Write the feature maps of the frozen trunk, or of a prefix, for the photos and augmented views."""

    def make_module(
        self,
        network: Network,
        options: Config,
        file: Path,
        *,
        seed: int,
        pretrained: bool,
        from_prefix: bool = False,
    ) -> FineTuneModule:
        """The LightningModule that trains on `file`, which holds pixels or feature maps."""
