"""What fine-tuning needs to know of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .config import TrainingConfig
from .data import PhotoLoader
from .model import Network

if TYPE_CHECKING:
    from .module import FineTuneModule

__all__ = ["TrainingTask"]

Config = TypeVar("Config", bound=TrainingConfig, contravariant=True)


class TrainingTask(Protocol[Config]):
    """Photos, their targets, and which of them are for validation."""

    head_first: ClassVar[bool]
    """Whether a head on a pretrained network is fitted or trained on the frozen features first."""

    module_type: ClassVar[type[FineTuneModule]]
    """The LightningModule that trains it."""

    @property
    def validation(self) -> NDArray[np.bool_]:
        """Which photos are for validation, (n,)."""

    def pixels(self, network: Network, to: Path) -> None:
        """Write the preprocessed photos as one .npy file."""

    def loaders(
        self, network: Network, pixels: Path, options: Config, *, views: int, seed: int
    ) -> Sequence[PhotoLoader]:
        """What gives the photos, and `views` augmented views of them, whose feature maps are cached."""
