"""The LightningModule of fine-tuning, whatever the task: data, loss, optimizer, moving average and state."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.runtime import cpu_count
from ..errors import TrainingError
from .checkpoint import EpochMetrics
from .config import FineTuneConfig
from .data import step_seed
from .model import Network
from .trainable import parameter_groups

__all__ = ["FineTuneModule", "Tensors"]

_MAX_WORKERS = 8  # processes that augment for one accelerator
_MOMENTUM = 0.9  # of SGD, as in nearly all published recipes

Tensors = tuple[torch.Tensor, torch.Tensor]  # inputs and targets of a batch


class FineTuneModule(pl.LightningModule):
    """A network with its data, loss and optimizer; subclasses give the data and the loss.

    Parameters
    ----------
    network : Network
    validation : bool ndarray (n,)
        The validation photos; there may be none.
    options : FineTuneConfig
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
        validation: NDArray[np.bool_],
        options: FineTuneConfig,
        file: Path,
        seed: int,
        pretrained: bool,
        from_prefix: bool,
    ) -> None:
        super().__init__()
        self.network, self.validation, self.options = network, validation, options
        self.file, self.seed, self.pretrained = file, seed, pretrained
        self.progress: Callable[[int, int], None] | None = None
        self.max_epoch = options.epochs  # the last one, for progress
        self.curves: list[Any] = []
        self.ema: dict[str, torch.Tensor] = {}
        self.val_outputs: list[torch.Tensor] = []  # of the validation photos, after each epoch
        self.head_only, self.from_prefix = options.train == "frozen", from_prefix
        self.from_maps = self.head_only or from_prefix

    @abstractmethod
    def loss_and_metric(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, and the `metric`."""

    @abstractmethod
    def val_metrics(self, outputs: torch.Tensor) -> dict[str, float]:
        """The `val_` fields of `metrics_type`, from the network's outputs for the validation photos."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (N, 3, S, S), or feature maps of what is frozen, to outputs (N, ...)."""
        if self.head_only:
            return self.network.head(inputs)
        return self.network(inputs if self.from_prefix else self.network.normalised(inputs))

    def shard(self) -> tuple[int, int]:
        """Rank of this process, and the number of processes."""
        return self.trainer.global_rank, self.trainer.world_size

    def num_workers(self) -> int:
        """Processes that load and augment; 0: this one."""
        return 0 if self.device.type == "cpu" or self.from_maps else min(_MAX_WORKERS, cpu_count() // 2)

    # moving average of the weights

    def _moving(self) -> Iterator[tuple[str, torch.Tensor]]:
        """What training changes: trained parameters and the statistics of batch norm."""
        for name, value in self.network.state_dict(keep_vars=True).items():
            if value.is_floating_point() and (value.requires_grad or not isinstance(value, nn.Parameter)):
                yield name, value.detach()

    def on_fit_start(self) -> None:
        """Called by Lightning, after a checkpoint was loaded."""
        if self.options.ema and not self.ema:
            self.ema = {name: value.clone() for name, value in self._moving()}
        self.ema = {name: value.to(self.device) for name, value in self.ema.items()}

    def on_train_batch_end(self, *_: Any) -> None:
        """Called by Lightning after each step."""
        if self.ema:
            # TensorFlow's ExponentialMovingAverage: the first steps do not count for long
            decay = min(self.options.ema, (1 + self.global_step) / (10 + self.global_step))
            for name, value in self._moving():
                self.ema[name].lerp_(value, 1 - decay)

    def _swap(self) -> None:
        for name, value in self._moving() if self.ema else ():
            own = value.clone()
            value.copy_(self.ema[name])
            self.ema[name].copy_(own)

    def on_validation_epoch_end(self) -> None:
        """Called by Lightning."""
        self._swap()

    def averaged_state(self) -> dict[str, torch.Tensor]:
        """State dict of the network with the averaged weights, which are those that are validated."""
        return {**self.network.state_dict(), **self.ema}

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
        self._swap()
        self._outputs = []

    def validation_step(self, batch: Tensors, _index: int) -> None:
        """Outputs of a batch."""
        self._outputs.append(self(batch[0]).float().cpu())

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
        optimizer: torch.optim.Optimizer
        match options.optimizer:
            case "sgd":
                optimizer = torch.optim.SGD(groups, momentum=_MOMENTUM, nesterov=True)
            case "rmsprop":
                optimizer = torch.optim.RMSprop(groups)
            case "adam":
                optimizer = torch.optim.Adam(groups)
            case _:
                optimizer = torch.optim.AdamW(groups)
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
        checkpoint["val_outputs"], checkpoint["ema"] = self.val_outputs, self.ema

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        self.curves = [self.metrics_type(**epoch) for epoch in checkpoint["curves"]]
        self.val_outputs, self.ema = checkpoint["val_outputs"], checkpoint["ema"]
