"""Learning the classes of photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..heads.model_selection import balanced_weights
from ..heads.temperature import calibrated_loss, log_loss
from .checkpoint import EpochMetrics
from .config import FineTuneConfig
from .data import batches, decode, frozen_maps
from .frozen_prefix import FrozenPrefix
from .model import Network
from .module import FineTuneModule, Tensors

__all__ = ["ClassEpoch", "ClassLoop", "TrainingPhotos"]


@dataclass(frozen=True)
class ClassEpoch(EpochMetrics):
    """How an epoch went; losses in nats, accuracies on the same photos as the losses.

    The loss on validation photos after the temperature that suits them, `val_calibrated`, chooses the epoch:
    a network that is often too sure may be right more often, and gets a temperature in the end.
    """

    train_accuracy: float
    val_accuracy: float
    val_calibrated: float

    judged_by: ClassVar[str] = "val_calibrated"


@dataclass(frozen=True)
class TrainingPhotos:
    """Photos with their classes.

    Parameters
    ----------
    paths : sequence of Path
        n photos.
    target : int ndarray (n,)
        Class, 0..K-1.
    validation : bool ndarray (n,)
        Which are held out.
    balanced : bool
        Whether every class weighs the same.
    """

    paths: Sequence[Path]
    target: NDArray[np.intp]
    validation: NDArray[np.bool_]
    balanced: bool = False

    epoch_kind: ClassVar[type[EpochMetrics]] = ClassEpoch
    head_first: ClassVar[bool] = True

    def pixels(self, network: Network, to: Path) -> None:
        """Write the photos, prepared."""
        decode(self.paths, network.preprocess, to)

    def maps(
        self,
        network: Network,
        pixels: Path,
        to: Path,
        options: FineTuneConfig,
        *,
        views: int,
        seed: int,
        beginning: FrozenPrefix | None,
    ) -> None:
        """Write what the frozen trunk, or its beginning, gives for them and for views of them."""
        part = beginning.maps if beginning else None
        frozen_maps(network, pixels, to, augment=options.augment, views=views, seed=seed, part=part)

    def loop(
        self,
        network: Network,
        options: FineTuneConfig,
        file: Path,
        *,
        seed: int,
        pretrained: bool,
        from_prefix: bool = False,
    ) -> ClassLoop:
        """The loop that learns from `file`."""
        return ClassLoop(network, self, options, file, seed, pretrained, from_prefix)


class ClassLoop(FineTuneModule):
    """Cross-entropy of classes."""

    epoch_kind, other = ClassEpoch, "accuracy"

    options: FineTuneConfig

    def __init__(
        self,
        network: Network,
        photos: TrainingPhotos,
        options: FineTuneConfig,
        file: Path,
        seed: int,
        pretrained: bool,
        from_prefix: bool,
    ) -> None:
        super().__init__(network, photos.validation, options, file, seed, pretrained, from_prefix)
        self.photos = photos
        weight = balanced_weights(photos.target) if photos.balanced else np.ones(len(photos.target))
        self.row_weight: NDArray[np.float64] = weight
        of_class = [weight[photos.target == c].mean() for c in range(network.linear.out_features)]
        self.register_buffer("class_weight", torch.tensor(of_class, dtype=torch.float32), persistent=False)

    def train_dataloader(self) -> Any:
        """Shuffled batches of this process's share."""
        return batches(
            self.file,
            self.photos.target,
            np.flatnonzero(~self.validation),
            size=self.options.batch_size,
            seed=self.seed,
            augment="none" if self.maps else self.options.augment,
            maps=self.maps,
            shuffle=True,
            share=self.share(),
            workers=self.workers(),
        )

    def val_dataloader(self) -> Any:
        """All validation photos, in every process."""
        rows = np.flatnonzero(self.validation)
        size = self.options.batch_size
        return batches(self.file, self.photos.target, rows, size=size, seed=self.seed, maps=self.maps)

    def loss_of(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy, and the share that is right."""
        inputs, target = batch
        goal = target
        if self.options.mixup:
            inputs, goal = self._mixed(inputs, target)
        logits = self(inputs)
        loss = functional.cross_entropy(
            logits, goal, weight=self.class_weight, label_smoothing=self.options.label_smoothing
        )
        return loss, (logits.detach().argmax(1) == target).float().mean()

    def _mixed(self, inputs: torch.Tensor, target: torch.Tensor) -> Tensors:
        beta = torch.distributions.Beta(self.options.mixup, self.options.mixup)
        share = float(max(share := float(beta.sample()), 1 - share))  # the batch's own photos weigh more
        other = torch.randperm(len(target), device=inputs.device)
        goal = functional.one_hot(target, self.network.linear.out_features).float()
        mixed = share * inputs.float() + (1 - share) * inputs[other].float()
        return mixed, share * goal + (1 - share) * goal[other]

    def judged(self, answers: torch.Tensor) -> dict[str, float]:
        """Log loss, also with the temperature that suits the photos, and accuracy."""
        logits, truth = answers.numpy(), self.photos.target[self.validation]
        weight = self.row_weight[self.validation]
        return {
            "val_loss": log_loss(logits, truth, weight),
            "val_accuracy": float((logits.argmax(1) == truth).mean()),
            "val_calibrated": calibrated_loss(logits, truth, weight),
        }
