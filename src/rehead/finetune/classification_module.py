"""Fine-tuning for classification: the photos, the loss and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..core.photos import File
from ..heads.model_selection import balanced_weights
from ..heads.temperature import calibrated_loss, log_loss
from .checkpoint import EpochMetrics
from .config import FineTuneConfig
from .data import CachedMaps, MemmapDataset, PhotoLoader, Photos, decode
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


class ClassificationModule(FineTuneModule):
    """Cross-entropy of classes, with label smoothing and mixup."""

    metrics_type, metric = ClassificationMetrics, "accuracy"

    task: ClassificationTask
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
        super().__init__(network, task, options, file, seed, pretrained, from_prefix)
        weight = balanced_weights(task.target) if task.balanced else np.ones(len(task.target))
        self.sample_weight: NDArray[np.float64] = weight
        of_class = [weight[task.target == c].mean() for c in range(network.linear.out_features)]
        self.register_buffer("class_weight", torch.tensor(of_class, dtype=torch.float32), persistent=False)

    def dataset(self, *, training: bool) -> MemmapDataset:
        """Photos or feature maps, with their classes."""
        target = self.task.target
        if self.from_maps:
            return CachedMaps(self.file, target, self.seed, training)
        return Photos(self.file, target, self.options.augment if training else "none", self.seed)

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


@dataclass(frozen=True)
class ClassificationTask:
    """Photos with their classes, as `TrainingTask`.

    Parameters
    ----------
    paths : sequence of path or bytes
        n photos.
    target : int ndarray (n,)
        Class, 0..K-1.
    validation : bool ndarray (n,)
        Which are for validation.
    balanced : bool
        Whether every class has the same total weight.
    """

    paths: Sequence[File]
    target: NDArray[np.intp]
    validation: NDArray[np.bool_]
    balanced: bool = False

    head_first: ClassVar[bool] = True
    module_type: ClassVar[type[FineTuneModule]] = ClassificationModule

    def pixels(self, network: Network, to: Path) -> None:
        """Write the photos, prepared."""
        decode(self.paths, network.preprocess, to)

    def loaders(
        self,
        network: Network,  # noqa: ARG002
        pixels: Path,
        options: FineTuneConfig,
        *,
        views: int,
        seed: int,
    ) -> list[PhotoLoader]:
        """What gives the photos, and augmented views of them."""
        augments = ["none"] + [options.augment] * views
        data = [Photos(pixels, self.target, augment, seed) for augment in augments]
        return [partial(photos.load, view) for view, photos in enumerate(data)]
