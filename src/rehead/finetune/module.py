"""What happens in an epoch, whatever is learnt in it."""

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
from .config import TrainingConfig
from .data import step_seed
from .model import Network, parameter_groups

__all__ = ["FineTuneModule", "Tensors"]

_MOST_WORKERS = 8  # processes that augment for one accelerator
_MOMENTUM = 0.9  # of SGD, as in nearly all published recipes

Tensors = tuple[torch.Tensor, torch.Tensor]  # of a batch: what goes in, and what should come out


class FineTuneModule(pl.LightningModule):
    """A network with its data, loss and optimizer, as Lightning takes them.

    Parameters
    ----------
    network : Network
    validation : bool ndarray (n,)
        Photos that nothing is learnt from; there may be none.
    options : TrainingConfig
    file : Path
        Pixels, or maps where the trunk or its beginning is frozen.
    seed : int
    pretrained : bool
        Whether the network starts from pretrained weights; sets the learning rate where none is given.
    from_prefix : bool
        Whether the maps are those of the trunk's frozen beginning.
    """

    epoch_kind: ClassVar[type[EpochMetrics]]
    other: ClassVar[str]  # what the curves show beside the loss

    def __init__(
        self,
        network: Network,
        validation: NDArray[np.bool_],
        options: TrainingConfig,
        file: Path,
        seed: int,
        pretrained: bool,
        from_prefix: bool,
    ) -> None:
        super().__init__()
        self.network, self.validation, self.options = network, validation, options
        self.file, self.seed, self.pretrained = file, seed, pretrained
        self.progress: Callable[[int, int], None] | None = None
        self.until = options.epochs  # the epoch that is the last, for progress
        self.curves: list[Any] = []
        self.ema: dict[str, torch.Tensor] = {}
        self.held: list[torch.Tensor] = []  # answers for the validation photos, after each epoch
        self.frozen, self.from_prefix = options.train == "frozen", from_prefix
        self.maps = self.frozen or from_prefix

    @abstractmethod
    def loss_of(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, and the `other` number."""

    @abstractmethod
    def judged(self, answers: torch.Tensor) -> dict[str, float]:
        """What `epoch_kind` holds of the validation photos, by the network's answers for them."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (N, 3, S, S), or maps of the frozen trunk or its beginning, to answers (N, ...)."""
        if self.frozen:
            return self.network.head(inputs)
        return self.network(inputs if self.from_prefix else self.network.normalised(inputs))

    def share(self) -> tuple[int, int]:
        """Which of how many processes this is."""
        return self.trainer.global_rank, self.trainer.world_size

    def workers(self) -> int:
        """How many processes augment."""
        on_processor = self.device.type == "cpu" or self.maps
        return 0 if on_processor else min(_MOST_WORKERS, cpu_count() // 2)

    # the average of the weights

    def _moving(self) -> Iterator[tuple[str, torch.Tensor]]:
        """What training changes: the trained parameters, and what batch norm has counted."""
        for name, value in self.network.state_dict(keep_vars=True).items():
            if value.is_floating_point() and (value.requires_grad or not isinstance(value, nn.Parameter)):
                yield name, value.detach()

    def on_fit_start(self) -> None:
        """Called by Lightning, after a state was loaded."""
        if self.options.ema and not self.ema:
            self.ema = {name: value.clone() for name, value in self._moving()}
        self.ema = {name: value.to(self.device) for name, value in self.ema.items()}

    def on_train_batch_end(self, *_: Any) -> None:
        """Called by Lightning after each step."""
        if self.ema:
            # TensorFlow's ExponentialMovingAverage: the first steps do not count for long
            kept = min(self.options.ema, (1 + self.global_step) / (10 + self.global_step))
            for name, value in self._moving():
                self.ema[name].lerp_(value, 1 - kept)

    def _swap(self) -> None:
        for name, value in self._moving() if self.ema else ():
            own = value.clone()
            value.copy_(self.ema[name])
            self.ema[name].copy_(own)

    def on_validation_epoch_end(self) -> None:
        """Called by Lightning."""
        self._swap()

    def averaged_state(self) -> dict[str, torch.Tensor]:
        """The network's state with the averaged weights, as they are validated."""
        return {**self.network.state_dict(), **self.ema}

    # training

    def on_train_epoch_start(self) -> None:
        """Called by Lightning."""
        self._start()

    def _start(self) -> None:
        self.network.train()
        self._sums = torch.zeros(3, device=self.device)  # both numbers and photos
        self._answers: list[torch.Tensor] = []
        self._began = time.perf_counter()

    def training_step(self, batch: Tensors, index: int) -> torch.Tensor:
        """Loss of a batch."""
        if index == 0:  # a continued run does not call on_train_epoch_start
            self._start()
        torch.manual_seed(step_seed(self.seed, self.current_epoch, index, self.global_rank))
        n = len(batch[1])
        loss, other = self.loss_of(batch)
        self._sums += torch.stack([loss.detach() * n, other * n, torch.tensor(n, device=self.device)])
        if self.progress:
            photos = int((~self.validation).sum())
            done = min((index + 1) * self.options.batch_size, photos)
            self.progress(self.current_epoch * photos + done, self.until * photos)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Called by Lightning."""
        self._swap()
        self._answers = []

    def validation_step(self, batch: Tensors, _index: int) -> None:
        """Take note of a batch's answers."""
        self._answers.append(self(batch[0]).float().cpu())

    def answers(self) -> torch.Tensor:
        """For the validation photos, by the network as it is; both on the processor."""
        self.network.eval()
        with torch.inference_mode():
            return torch.cat([self(batch[0]).float() for batch in self.val_dataloader()])

    def on_train_epoch_end(self) -> None:
        """Called by Lightning after validation."""
        loss, other, photos = self._sums.tolist()
        answers = torch.cat(self._answers) if self._answers else torch.empty(0)
        epoch = self.epoch_kind(
            **{"train_loss": loss / photos, f"train_{self.other}": other / photos},
            **(self.judged(answers) if self._answers else self.epoch_kind.unjudged()),
            epoch=self.current_epoch + 1,
            rate=max(float(group["lr"]) for group in self.trainer.optimizers[0].param_groups),
            seconds=round(time.perf_counter() - self._began, 3),
        )
        losses = [epoch.train_loss, epoch.val_loss] if self._answers else [epoch.train_loss]
        if not all(map(math.isfinite, losses)):
            raise TrainingError(
                f"epoch {epoch.epoch}: the loss is not a number; give a lower --lr than {self._rate_given:g}"
                + ("" if self.trainer.precision == "32-true" else ", or --precision 32")
            )
        self.curves.append(epoch)
        self.held.append(answers)

    @property
    def _rate_given(self) -> float:
        return self.options.rate(pretrained=self.pretrained)

    def configure_optimizers(self) -> Any:
        """Optimizer with a rate for each block, and the schedule of all steps."""
        options = self.options
        groups = parameter_groups(self.network, self._rate_given, options.layer_decay, options.weight_decay)
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
        warm = int(options.warmup * steps)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / (warm + 1)
            if options.schedule == "constant":
                return 1.0
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # the state

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        checkpoint["curves"] = [asdict(epoch) for epoch in self.curves]
        checkpoint["held"], checkpoint["ema"] = self.held, self.ema

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        self.curves = [self.epoch_kind(**epoch) for epoch in checkpoint["curves"]]
        self.held, self.ema = checkpoint["held"], checkpoint["ema"]
