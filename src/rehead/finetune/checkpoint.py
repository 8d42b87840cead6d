"""Checkpoints: state and best weights after each epoch, in files that survive a kill at any moment."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray

from ..core import atomic
from ..core.csv_cells import CsvWriter
from ..errors import TrainingError

__all__ = [
    "LAST",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "EpochMetrics",
    "best_of",
    "finished",
    "read_curves",
    "read_val_outputs",
    "weights_file",
]

LAST = "last.ckpt"


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch.

    Parameters
    ----------
    epoch : int
        From 1.
    train_loss : float
        Mean over the epoch's batches, with augmentation and dropout.
    val_loss : float
        Of the validation photos after the epoch; NaN where there are none.
    rate : float
        Largest learning rate of any parameter group at the end of the epoch.
    seconds : float
        Wall time.
    """

    epoch: int
    train_loss: float
    val_loss: float
    rate: float
    seconds: float

    monitor: ClassVar[str] = "val_loss"

    @classmethod
    def no_validation(cls) -> dict[str, float]:
        """The `val_` fields where there are no validation photos: NaN."""
        return {field.name: math.nan for field in fields(cls) if field.name.startswith("val_")}

    @property
    def monitored(self) -> float:
        """The metric that the best epoch minimises; NaN where there are no validation photos."""
        return float(getattr(self, self.monitor))


Metrics = TypeVar("Metrics", bound=EpochMetrics)
Value = TypeVar("Value")


def best_of(curves: Sequence[Metrics]) -> Metrics:
    """The epoch with the smallest monitored metric; the last one where there are no validation photos."""
    validated = [epoch for epoch in curves if not math.isnan(epoch.monitored)]
    return min(validated, key=lambda epoch: epoch.monitored) if validated else curves[-1]


def finished(curves: Sequence[EpochMetrics], max_epoch: int, patience: int) -> bool:
    """Whether epoch `max_epoch` is reached, or the last `patience` epochs were no better."""
    if not curves:
        return False
    waited = len(curves) - best_of(curves).epoch
    return len(curves) >= max_epoch or (patience > 0 and waited >= patience)


def read_curves(checkpoint: Path, kind: type[Metrics]) -> list[Metrics]:
    """The epochs of a checkpoint."""
    return _read(checkpoint, lambda state: [kind(**epoch) for epoch in state["curves"]])


def read_val_outputs(checkpoint: Path) -> NDArray[np.float32]:
    """Outputs for the validation photos after each epoch of a checkpoint, float32 (E, n, ...)."""
    return _read(checkpoint, lambda state: np.stack([output.numpy() for output in state["val_outputs"]]))


def _read(checkpoint: Path, field: Callable[[Any], Value]) -> Value:
    try:
        return field(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True))
    except Exception as error:  # a file of another program, or a damaged one
        raise TrainingError(
            f"{checkpoint}: not a state of a training by rehead; remove it to start that training anew"
        ) from error


def weights_file(epoch: EpochMetrics) -> str:
    """Name of the weight file of an epoch."""
    return f"best-{epoch.epoch}.pt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, whichever disk the temporary files are on."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Any,
        storage_options: Any = None,  # noqa: ARG002
    ) -> None:
        """Write beside the path, then rename."""
        with atomic.replacing(path) as beside:
            torch.save(checkpoint, beside)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read tensors and plain values only, so nothing in the file can run."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state


class BestCheckpoint(Checkpoint):
    """After each epoch, writes the best weights and the whole state, then removes superseded weights.

    Stops the training after epoch `max_epoch`, or after `patience` epochs without a better one; 0 never stops
    early.
    """

    def __init__(self, work: Path, max_epoch: int, patience: int) -> None:
        self.work, self.max_epoch, self.patience = work, max_epoch, patience

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Called by Lightning after validation."""
        curves: list[EpochMetrics] = module.curves
        best = best_of(curves)
        if trainer.is_global_zero and best is curves[-1]:
            buffer = io.BytesIO()
            torch.save(module.averaged.state_dict(), buffer)
            atomic.write_bytes(self.work / weights_file(best), buffer.getvalue())
        trainer.save_checkpoint(self.work / LAST)
        trainer.should_stop = trainer.should_stop or finished(curves, self.max_epoch, self.patience)
        if trainer.is_global_zero:
            _write_curves(self.work / "logs" / "curves.csv", curves)
            if trainer.logger:
                numbers = {k: v for k, v in asdict(curves[-1]).items() if k != "epoch"}
                trainer.logger.log_metrics(numbers, step=curves[-1].epoch)
            for old in self.work.glob("best-*.pt"):
                if old.name != weights_file(best):
                    old.unlink()


def _write_curves(path: Path, curves: Sequence[EpochMetrics]) -> None:
    text = io.StringIO(newline="")
    CsvWriter(text).writerows([asdict(curves[0]), *(asdict(epoch).values() for epoch in curves)])
    atomic.write_text(path, text.getvalue())
