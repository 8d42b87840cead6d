"""Fine-tuning for classification: the photos, the loss and its metrics."""

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

__all__ = ["ClassificationMetrics", "ClassificationModule", "ClassificationTask"]


@dataclass(frozen=True)
class ClassificationMetrics(EpochMetrics):
    """Metrics of one epoch; losses in nats, accuracies on the same photos as the losses.

    The epoch is chosen by `val_calibrated`, the validation loss after temperature scaling: an overconfident
    network may be right more often, and the model gets a temperature anyway.
    """

    train_accuracy: float
    val_accuracy: float
    val_calibrated: float

    monitor: ClassVar[str] = "val_calibrated"


@dataclass(frozen=True)
class ClassificationTask:
    """Photos with their classes, as `TrainingTask`.

    Parameters
    ----------
    paths : sequence of Path
        n photos.
    target : int ndarray (n,)
        Class, 0..K-1.
    validation : bool ndarray (n,)
        Which are for validation.
    balanced : bool
        Whether every class has the same total weight.
    """

    paths: Sequence[Path]
    target: NDArray[np.intp]
    validation: NDArray[np.bool_]
    balanced: bool = False

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
        prefix: FrozenPrefix | None,
    ) -> None:
        """Write the feature maps of the frozen trunk, or of a prefix, for the photos and augmented views."""
        forward = prefix.maps if prefix else None
        frozen_maps(network, pixels, to, augment=options.augment, views=views, seed=seed, forward=forward)

    def make_module(
        self,
        network: Network,
        options: FineTuneConfig,
        file: Path,
        *,
        seed: int,
        pretrained: bool,
        from_prefix: bool = False,
    ) -> ClassificationModule:
        """The LightningModule that trains on `file`."""
        return ClassificationModule(network, self, options, file, seed, pretrained, from_prefix)


class ClassificationModule(FineTuneModule):
    """Cross-entropy of classes, with label smoothing and mixup."""

    metrics_type, metric = ClassificationMetrics, "accuracy"

    options: FineTuneConfig

    def __init__(
        self,
        network: Network,
        task: ClassificationTask,
        options: FineTuneConfig,
        file: Path,
        seed: int,
        pretrained: bool,
        from_prefix: bool,
    ) -> None:
        super().__init__(network, task.validation, options, file, seed, pretrained, from_prefix)
        self.task = task
        weight = balanced_weights(task.target) if task.balanced else np.ones(len(task.target))
        self.sample_weight: NDArray[np.float64] = weight
        of_class = [weight[task.target == c].mean() for c in range(network.linear.out_features)]
        self.register_buffer("class_weight", torch.tensor(of_class, dtype=torch.float32), persistent=False)

    def train_dataloader(self) -> Any:
        """Shuffled batches of this process's shard."""
        return batches(
            self.file,
            self.task.target,
            np.flatnonzero(~self.validation),
            size=self.options.batch_size,
            seed=self.seed,
            augment="none" if self.from_maps else self.options.augment,
            maps=self.from_maps,
            shuffle=True,
            shard=self.shard(),
            workers=self.num_workers(),
        )

    def val_dataloader(self) -> Any:
        """All validation photos, in every process."""
        rows = np.flatnonzero(self.validation)
        size = self.options.batch_size
        return batches(self.file, self.task.target, rows, size=size, seed=self.seed, maps=self.from_maps)

    def loss_and_metric(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy and accuracy."""
        inputs, target = batch
        soft = target
        if self.options.mixup:
            inputs, soft = self._mixup(inputs, target)
        logits = self(inputs)
        loss = functional.cross_entropy(
            logits, soft, weight=self.class_weight, label_smoothing=self.options.label_smoothing
        )
        return loss, (logits.detach().argmax(1) == target).float().mean()

    def _mixup(self, inputs: torch.Tensor, target: torch.Tensor) -> Tensors:
        beta = torch.distributions.Beta(self.options.mixup, self.options.mixup)
        lam = float(max(lam := float(beta.sample()), 1 - lam))  # each photo outweighs its partner
        partner = torch.randperm(len(target), device=inputs.device)
        one_hot = functional.one_hot(target, self.network.linear.out_features).float()
        mixed = lam * inputs.float() + (1 - lam) * inputs[partner].float()
        return mixed, lam * one_hot + (1 - lam) * one_hot[partner]

    def val_metrics(self, outputs: torch.Tensor) -> dict[str, float]:
        """Log loss, before and after temperature scaling, and accuracy."""
        logits, truth = outputs.numpy(), self.task.target[self.validation]
        weight = self.sample_weight[self.validation]
        return {
            "val_loss": log_loss(logits, truth, weight),
            "val_accuracy": float((logits.argmax(1) == truth).mean()),
            "val_calibrated": calibrated_loss(logits, truth, weight),
        }
