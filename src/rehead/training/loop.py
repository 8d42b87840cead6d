"""What happens in an epoch, and what is kept after it."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from .. import atomic
from ..calibration import log_loss
from ..engine import processors
from ..errors import TrainingError
from ..heads.select import balanced_weights
from .batches import batches, step_seed
from .networks import Network, parameter_groups
from .options import TrainingOptions

__all__ = [
    "LAST",
    "Epoch",
    "Keep",
    "Loop",
    "TrainingPhotos",
    "WholeFiles",
    "best_of",
    "curves_in",
    "finished",
    "held_in",
    "weights_file",
]

LAST = "last.ckpt"
_MOST_WORKERS = 8  # processes that augment for one accelerator
_MOMENTUM = 0.9  # of SGD, as in nearly all published recipes


@dataclass(frozen=True)
class Epoch:
    """How an epoch went.

    Parameters
    ----------
    epoch : int
        From 1.
    train_loss, train_accuracy : float
        Mean over the epoch's batches, augmented and with dropout, as they were trained on.
    val_loss, val_accuracy : float
        Of the validation photos after the epoch; loss in nats.
    rate : float
        Learning rate of the head at the end.
    seconds : float
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class TrainingPhotos:
    """What is trained on: n photos, their class 0..K-1, and which are held out for validation."""

    paths: Sequence[Path]
    target: NDArray[np.intp]
    validation: NDArray[np.bool_]


def best_of(curves: Sequence[Epoch]) -> Epoch:
    """The epoch with the least validation loss."""
    return min(curves, key=lambda epoch: epoch.val_loss)


def finished(curves: Sequence[Epoch], options: TrainingOptions) -> bool:
    """Whether there is nothing more to do: all epochs, or no better one for too long."""
    if not curves:
        return False
    waited = len(curves) - best_of(curves).epoch
    return len(curves) >= options.epochs or (options.patience > 0 and waited >= options.patience)


def curves_in(checkpoint: Path) -> list[Epoch]:
    """The epochs that a state holds."""
    return _epochs_in(checkpoint)[0]


def held_in(checkpoint: Path) -> NDArray[np.float32]:
    """Logits of the validation photos after each epoch that a state holds, float32 (E, n, K)."""
    return np.stack([logits.numpy() for logits in _epochs_in(checkpoint)[1]])


def _epochs_in(checkpoint: Path) -> tuple[list[Epoch], list[torch.Tensor]]:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return [Epoch(**epoch) for epoch in state["curves"]], state["held"]
    except Exception as error:  # a file of another program, or a damaged one
        raise TrainingError(
            f"{checkpoint}: not a state of a training by rehead; remove it to start that training anew"
        ) from error


def weights_file(epoch: Epoch) -> str:
    """Name of the file of that epoch's weights."""
    return f"best-{epoch.epoch}.pt"


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, wherever temporary files lie."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Any,
        storage_options: Any = None,  # noqa: ARG002
    ) -> None:
        """Write a state beside its place and move it there."""
        with atomic.replacing(path) as beside:
            torch.save(checkpoint, beside)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read a state: tensors and plain values, nothing that could run."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state


class Keep(Checkpoint):
    """After each epoch: the best weights, then the whole state, then what is no longer needed."""

    def __init__(self, work: Path, options: TrainingOptions) -> None:
        self.work, self.options = work, options

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Called by Lightning after validation."""
        curves: list[Epoch] = module.curves
        best = best_of(curves)
        if trainer.is_global_zero and best is curves[-1]:
            buffer = io.BytesIO()
            torch.save(module.averaged_state(), buffer)
            atomic.write_bytes(self.work / weights_file(best), buffer.getvalue())
        trainer.save_checkpoint(self.work / LAST)
        trainer.should_stop = trainer.should_stop or finished(curves, self.options)
        if trainer.is_global_zero:
            _write_curves(self.work / "logs" / "curves.csv", curves)
            if trainer.logger:
                numbers = {k: v for k, v in asdict(curves[-1]).items() if k != "epoch"}
                trainer.logger.log_metrics(numbers, step=curves[-1].epoch)
            for old in self.work.glob("best-*.pt"):
                if old.name != weights_file(best):
                    old.unlink()


def _write_curves(path: Path, curves: Sequence[Epoch]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(asdict(curves[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in curves)
    atomic.write_text(path, text.getvalue())


class Loop(pl.LightningModule):
    """A network with its data, loss and optimizer, as Lightning takes them."""

    def __init__(
        self,
        network: Network,
        photos: TrainingPhotos,
        options: TrainingOptions,
        file: Path,
        balanced: bool,
        seed: int,
        pretrained: bool,
        begun: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.photos, self.options, self.file, self.seed = network, photos, options, file, seed
        self.pretrained = pretrained
        self.progress: Callable[[int, int], None] | None = None
        self.curves: list[Epoch] = []
        self.average: dict[str, torch.Tensor] = {}
        self.held: list[torch.Tensor] = []  # logits of the validation photos, after each epoch
        self.frozen, self.begun = options.train == "frozen", begun
        self.maps = self.frozen or begun
        weight = balanced_weights(photos.target) if balanced else np.ones(len(photos.target))
        self.row_weight: NDArray[np.float64] = weight
        of_class = [weight[photos.target == c].mean() for c in range(network.linear.out_features)]
        self.register_buffer("class_weight", torch.tensor(of_class, dtype=torch.float32), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (N, 3, S, S), or maps of the frozen trunk or its beginning, to logits (N, K)."""
        if self.frozen:
            return self.network.linear(self.network.neck(inputs))
        return self.network(inputs if self.begun else self.network.normalised(inputs))

    # data

    def train_dataloader(self) -> Any:
        """Shuffled batches of this process's share."""
        on_processor = self.device.type == "cpu" or self.maps
        return batches(
            self.file,
            self.photos.target,
            np.flatnonzero(~self.photos.validation),
            size=self.options.batch_size,
            seed=self.seed,
            augment="none" if self.maps else self.options.augment,
            maps=self.maps,
            shuffle=True,
            share=(self.trainer.global_rank, self.trainer.world_size),
            workers=0 if on_processor else min(_MOST_WORKERS, processors() // 2),
        )

    def val_dataloader(self) -> Any:
        """All validation photos, in every process."""
        rows = np.flatnonzero(self.photos.validation)
        size = self.options.batch_size
        return batches(self.file, self.photos.target, rows, size=size, seed=self.seed, maps=self.maps)

    # the average of the weights

    def _moving(self) -> Iterator[tuple[str, torch.Tensor]]:
        """What training changes: the trained parameters, and what batch norm has counted."""
        for name, value in self.network.state_dict(keep_vars=True).items():
            if value.is_floating_point() and (value.requires_grad or not isinstance(value, nn.Parameter)):
                yield name, value.detach()

    def on_fit_start(self) -> None:
        """Called by Lightning, after a state was loaded."""
        if self.options.average and not self.average:
            self.average = {name: value.clone() for name, value in self._moving()}
        self.average = {name: value.to(self.device) for name, value in self.average.items()}

    def on_train_batch_end(self, *_: Any) -> None:
        """Called by Lightning after each step."""
        if self.average:
            # TensorFlow's ExponentialMovingAverage: the first steps do not count for long
            kept = min(self.options.average, (1 + self.global_step) / (10 + self.global_step))
            for name, value in self._moving():
                self.average[name].lerp_(value, 1 - kept)

    def _swap(self) -> None:
        for name, value in self._moving() if self.average else ():
            own = value.clone()
            value.copy_(self.average[name])
            self.average[name].copy_(own)

    def on_validation_epoch_end(self) -> None:
        """Called by Lightning."""
        self._swap()

    def averaged_state(self) -> dict[str, torch.Tensor]:
        """The network's state with the averaged weights, as they are validated."""
        return {**self.network.state_dict(), **self.average}

    # training

    def on_train_epoch_start(self) -> None:
        """Called by Lightning."""
        self._start()

    def _start(self) -> None:
        self.network.train()
        self._sums = torch.zeros(3, device=self.device)  # loss, right, photos
        self._began = time.perf_counter()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        """Loss of a batch."""
        if index == 0:  # a continued run does not call on_train_epoch_start
            self._start()
        torch.manual_seed(step_seed(self.seed, self.current_epoch, index, self.global_rank))
        inputs, target = batch
        goal = target
        if self.options.mixup:
            inputs, goal = self._mixed(inputs, target)
        logits = self(inputs)
        loss = functional.cross_entropy(
            logits, goal, weight=self.class_weight, label_smoothing=self.options.label_smoothing
        )
        n = len(target)
        right = (logits.detach().argmax(1) == target).sum()
        self._sums += torch.stack([loss.detach() * n, right, torch.tensor(n, device=self.device)])
        if self.progress:
            photos = int((~self.photos.validation).sum())
            done = min((index + 1) * self.options.batch_size, photos)
            self.progress(self.current_epoch * photos + done, self.options.epochs * photos)
        return loss

    def _mixed(self, inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        beta = torch.distributions.Beta(self.options.mixup, self.options.mixup)
        share = float(max(share := float(beta.sample()), 1 - share))  # the batch's own photos weigh more
        other = torch.randperm(len(target), device=inputs.device)
        goal = functional.one_hot(target, self.network.linear.out_features).float()
        mixed = share * inputs.float() + (1 - share) * inputs[other].float()
        return mixed, share * goal + (1 - share) * goal[other]

    def on_validation_epoch_start(self) -> None:
        """Called by Lightning."""
        self._swap()
        self._logits: list[torch.Tensor] = []

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _index: int) -> None:
        """Take note of a batch's logits."""
        self._logits.append(self(batch[0]).float().cpu())

    def on_train_epoch_end(self) -> None:
        """Called by Lightning after validation."""
        loss, right, photos = self._sums.tolist()
        held = self.photos.validation
        logits, truth = torch.cat(self._logits).numpy(), self.photos.target[held]
        epoch = Epoch(
            self.current_epoch + 1,
            loss / photos,
            right / photos,
            log_loss(logits, truth, self.row_weight[held]),
            float((logits.argmax(1) == truth).mean()),
            self._rate,
            round(time.perf_counter() - self._began, 3),
        )
        if not (math.isfinite(epoch.train_loss) and math.isfinite(epoch.val_loss)):
            raise TrainingError(
                f"epoch {epoch.epoch}: the loss is not a number; give a lower --lr than {self._rate_given:g}"
                + ("" if self.trainer.precision == "32-true" else ", or --precision 32")
            )
        self.curves.append(epoch)
        self.held.append(torch.from_numpy(logits))

    @property
    def _rate_given(self) -> float:
        return self.options.rate(pretrained=self.pretrained)

    @property
    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.trainer.optimizers[0].param_groups)

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
        warm = int(options.warm_up * steps)

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
        checkpoint["held"], checkpoint["average"] = self.held, self.average

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        self.curves = [Epoch(**epoch) for epoch in checkpoint["curves"]]
        self.held, self.average = checkpoint["held"], checkpoint["average"]
