"""What is kept of a training after each epoch, in files that survive a kill at any moment."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
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
from ..errors import TrainingError

__all__ = [
    "LAST",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "EpochMetrics",
    "best_of",
    "curves_in",
    "finished",
    "held_in",
    "weights_file",
]

LAST = "last.ckpt"


@dataclass(frozen=True)
class EpochMetrics:
    """How an epoch went.

    Parameters
    ----------
    epoch : int
        From 1.
    train_loss : float
        Mean over the epoch's batches, augmented and with dropout, as they were trained on.
    val_loss : float
        Of the validation photos after the epoch; not a number where none are held out.
    rate : float
        Largest learning rate at the end.
    seconds : float
    """

    epoch: int
    train_loss: float
    val_loss: float
    rate: float
    seconds: float

    judged_by: ClassVar[str] = "val_loss"

    @classmethod
    def unjudged(cls) -> dict[str, float]:
        """What it holds of validation photos where there are none."""
        return {field.name: math.nan for field in fields(cls) if field.name.startswith("val_")}

    @property
    def score(self) -> float:
        """What the best epoch has least of; not a number where no photo is held out."""
        return float(getattr(self, self.judged_by))


OneEpoch = TypeVar("OneEpoch", bound=EpochMetrics)


def best_of(curves: Sequence[OneEpoch]) -> OneEpoch:
    """The epoch with the least score; the last one where nothing is held out."""
    judged = [epoch for epoch in curves if not math.isnan(epoch.score)]
    return min(judged, key=lambda epoch: epoch.score) if judged else curves[-1]


def finished(curves: Sequence[EpochMetrics], epochs: int, patience: int) -> bool:
    """Whether there is nothing more to do: all epochs, or no better one for too long."""
    if not curves:
        return False
    waited = len(curves) - best_of(curves).epoch
    return len(curves) >= epochs or (patience > 0 and waited >= patience)


def curves_in(checkpoint: Path, kind: type[OneEpoch]) -> list[OneEpoch]:
    """The epochs that a state holds."""
    return _epochs_in(checkpoint, kind)[0]


def held_in(checkpoint: Path) -> NDArray[np.float32]:
    """Answers for the validation photos after each epoch that a state holds, float32 (E, n, ...)."""
    return np.stack([answers.numpy() for answers in _epochs_in(checkpoint, None)[1]])


def _epochs_in(checkpoint: Path, kind: type[OneEpoch] | None) -> tuple[list[OneEpoch], list[torch.Tensor]]:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return [kind(**epoch) for epoch in state["curves"]] if kind else [], state["held"]
    except Exception as error:  # a file of another program, or a damaged one
        raise TrainingError(
            f"{checkpoint}: not a state of a training by rehead; remove it to start that training anew"
        ) from error


def weights_file(epoch: EpochMetrics) -> str:
    """Name of the file of that epoch's weights."""
    return f"best-{epoch.epoch}.pt"


class AtomicCheckpointIO(TorchCheckpointIO):
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


class BestCheckpoint(Checkpoint):
    """After each epoch: the best weights, then the whole state, then what is no longer needed.

    Ends the training after `epochs`, or when no better one came for `patience` of them, unless that is 0.
    """

    def __init__(self, work: Path, epochs: int, patience: int) -> None:
        self.work, self.epochs, self.patience = work, epochs, patience

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Called by Lightning after validation."""
        curves: list[EpochMetrics] = module.curves
        best = best_of(curves)
        if trainer.is_global_zero and best is curves[-1]:
            buffer = io.BytesIO()
            torch.save(module.averaged_state(), buffer)
            atomic.write_bytes(self.work / weights_file(best), buffer.getvalue())
        trainer.save_checkpoint(self.work / LAST)
        trainer.should_stop = trainer.should_stop or finished(curves, self.epochs, self.patience)
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
    writer = csv.DictWriter(text, list(asdict(curves[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in curves)
    atomic.write_text(path, text.getvalue())
