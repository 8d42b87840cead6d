"""The LightningModule of fine-tuning, whatever the task: data, loss, optimizer, moving average and state."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils import ModelEmaV3

from ..core.progress import Progress
from ..core.runtime import cpu_count
from ..errors import TrainingError
from .checkpoint import EpochMetrics
from .config import TrainingConfig
from .data import MemmapDataset, PhotoLoader, batches, step_seed
from .model import Network
from .trainable import parameter_groups

__all__ = ["FineTuneModule", "Tensors", "TrainingTask"]

_MAX_WORKERS = 8  # processes that augment for one accelerator
_MOMENTUM = 0.9  # of SGD, as in nearly all published recipes

_OPTIMIZERS: dict[str, Any] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, momentum=_MOMENTUM, nesterov=True),
}

Tensors = tuple[torch.Tensor, torch.Tensor]  # inputs and targets of a batch
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


class FineTuneModule(pl.LightningModule):
    """A network with its data, loss and optimizer; subclasses give the data and the loss.

    Parameters
    ----------
    network : Network
    task : TrainingTask
        There may be no validation photos.
    options : TrainingConfig
    file : Path
        Pixels, or feature maps where the trunk or a prefix of it is frozen.
    seed : int
    pretrained : bool
        Whether the network starts from pretrained weights; sets the learning rate where none is given.
    from_prefix : bool
        Whether the feature maps are those of a frozen prefix of the trunk.
    """

    metrics_type: ClassVar[type[EpochMetrics]]
    metric: ClassVar[str]  # reported beside the loss

    def __init__(
        self,
        network: Network,
        task: TrainingTask[Any],
        options: TrainingConfig,
        file: Path,
        seed: int,
        pretrained: bool,
        from_prefix: bool,
    ) -> None:
        super().__init__()
        self.network, self.task, self.options = network, task, options
        self.file, self.seed, self.pretrained = file, seed, pretrained
        self.validation = task.validation
        self.progress: Progress | None = None
        self.max_epoch = options.epochs  # the last one, for progress
        self.curves: list[Any] = []
        self.ema: ModelEmaV3 | None = None
        self.val_outputs: list[torch.Tensor] = []  # of the validation photos, after each epoch
        self.head_only, self.from_prefix = options.train == "frozen", from_prefix
        self.from_maps = self.head_only or from_prefix

    @abstractmethod
    def dataset(self, *, training: bool) -> MemmapDataset:
        """What `file` holds, with its targets: in training augmented, else as in prediction."""

    @abstractmethod
    def loss_and_metric(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, and the `metric`."""

    @abstractmethod
    def val_metrics(self, outputs: torch.Tensor) -> dict[str, float]:
        """The `val_` fields of `metrics_type`, from the network's outputs for the validation photos."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (N, 3, S, S), or feature maps of what is frozen, to outputs (N, ...)."""
        return self._run(self.network, inputs)

    def _run(self, network: Network, inputs: torch.Tensor) -> torch.Tensor:
        if self.head_only:
            return network.head(inputs)
        return network(inputs if self.from_prefix else network.normalised(inputs))

    def train_dataloader(self) -> Any:
        """Shuffled batches of this process's shard."""
        here = self.device.type == "cpu" or self.from_maps
        return batches(
            self.dataset(training=True),
            np.flatnonzero(~self.validation),
            self.options.batch_size,
            shuffle=True,
            shard=(self.trainer.global_rank, self.trainer.world_size),
            workers=0 if here else min(_MAX_WORKERS, cpu_count() // 2),
        )

    def val_dataloader(self) -> Any:
        """All validation photos, in every process."""
        rows = np.flatnonzero(self.validation)
        return batches(self.dataset(training=False), rows, self.options.batch_size)

    # moving average of the weights

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Called by Lightning in each process, before a checkpoint is loaded."""
        if self.options.ema:
            # gamma 9 and power 1: min(decay, (1 + step) / (10 + step)), as TensorFlow's moving average
            warmup = {"use_warmup": True, "warmup_gamma": 9, "warmup_power": 1}
            self.ema = ModelEmaV3(self.network, self.options.ema, **warmup)
            self.ema.requires_grad_(False)

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Called by Lightning."""
        self.ema = None

    def on_train_batch_end(self, *_: Any) -> None:
        """Called by Lightning after each step."""
        if self.ema:
            self.ema.update(self.network, step=self.global_step + 2)  # its warm-up counts from 2

    @property
    def averaged(self) -> Network:
        """The network with the averaged weights, which are those that are validated and kept."""
        return self.ema.module if self.ema else self.network

    # training

    def on_train_epoch_start(self) -> None:
        """Called by Lightning."""
        self._reset()

    def _reset(self) -> None:
        self.network.train()
        self._sums = torch.zeros(3, device=self.device)  # of loss and metric over photos, and photos
        self._outputs: list[torch.Tensor] = []
        self._started = time.perf_counter()

    def training_step(self, batch: Tensors, index: int) -> torch.Tensor:
        """Loss of a batch."""
        if index == 0:  # a resumed run does not call on_train_epoch_start
            self._reset()
        torch.manual_seed(step_seed(self.seed, self.current_epoch, index, self.global_rank))
        n = len(batch[1])
        loss, metric = self.loss_and_metric(batch)
        self._sums += torch.stack([loss.detach() * n, metric * n, torch.tensor(n, device=self.device)])
        if self.progress:
            photos = int((~self.validation).sum())
            done = min((index + 1) * self.options.batch_size, photos)
            self.progress(self.current_epoch * photos + done, self.max_epoch * photos)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Called by Lightning."""
        self._outputs = []

    def validation_step(self, batch: Tensors, _index: int) -> None:
        """Outputs of a batch."""
        self._outputs.append(self._run(self.averaged, batch[0]).float().cpu())

    def predict_validation(self) -> torch.Tensor:
        """Outputs (n, ...) for the validation photos by the network as it is, which is on the processor."""
        self.network.eval()
        with torch.inference_mode():
            return torch.cat([self(batch[0]).float() for batch in self.val_dataloader()])

    def on_train_epoch_end(self) -> None:
        """Called by Lightning after validation."""
        loss, metric, photos = self._sums.tolist()
        outputs = torch.cat(self._outputs) if self._outputs else torch.empty(0)
        epoch = self.metrics_type(
            **{"train_loss": loss / photos, f"train_{self.metric}": metric / photos},
            **(self.val_metrics(outputs) if self._outputs else self.metrics_type.no_validation()),
            epoch=self.current_epoch + 1,
            rate=max(float(group["lr"]) for group in self.trainer.optimizers[0].param_groups),
            seconds=round(time.perf_counter() - self._started, 3),
        )
        losses = [epoch.train_loss, epoch.val_loss] if self._outputs else [epoch.train_loss]
        if not all(map(math.isfinite, losses)):
            raise TrainingError(
                f"epoch {epoch.epoch}: the loss is not a number; give a lower --lr than {self._lr:g}"
                + ("" if self.trainer.precision == "32-true" else ", or --precision 32")
            )
        self.curves.append(epoch)
        self.val_outputs.append(outputs)

    @property
    def _lr(self) -> float:
        return self.options.rate(pretrained=self.pretrained)

    def configure_optimizers(self) -> Any:
        """Optimizer with a learning rate for each block, and its schedule over all steps."""
        options = self.options
        groups = parameter_groups(self.network, self._lr, options.layer_decay, options.weight_decay)
        optimizer: torch.optim.Optimizer = _OPTIMIZERS[options.optimizer](groups)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = int(options.warmup * steps)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            if options.schedule == "constant":
                return 1.0
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        checkpoint["curves"] = [asdict(epoch) for epoch in self.curves]
        checkpoint["val_outputs"] = self.val_outputs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        self.curves = [self.metrics_type(**epoch) for epoch in checkpoint["curves"]]
        self.val_outputs = checkpoint["val_outputs"]
