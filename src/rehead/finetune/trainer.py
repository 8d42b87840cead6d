"""Device and precision, and Lightning's Trainer without its banners."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import TensorBoardLogger

from ..errors import DataError
from .checkpoint import AtomicCheckpointIO, BestCheckpoint
from .config import TrainingConfig

__all__ = ["interruptible", "new_trainer", "resolve_device", "silence_lightning"]


def resolve_device(options: TrainingConfig) -> tuple[str, str]:
    """Accelerator and precision, "auto" resolved; DataError where this machine lacks them."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    accelerator: str = options.accelerator
    if accelerator == "auto":
        accelerator = next(name for name, ok in available.items() if ok)
    elif not available[accelerator]:
        raise DataError(f"accelerator {accelerator} is not available here; use --accelerator auto or cpu")
    precision: str = options.precision
    if precision == "auto":
        precision = "bf16-mixed" if accelerator == "cuda" and torch.cuda.is_bf16_supported() else "32"
    if precision == "16-mixed" and accelerator == "cpu":
        raise DataError("precision 16-mixed needs a graphics processor; use bf16-mixed or 32")
    return accelerator, precision


def new_trainer(options: TrainingConfig, work: Path, *, max_epoch: int, validate: bool) -> pl.Trainer:
    """A Trainer that saves its state in `work` and stops after `max_epoch`; the schedule spans all epochs."""
    accelerator, precision = resolve_device(options)
    return pl.Trainer(
        accelerator="gpu" if accelerator == "cuda" else accelerator,
        devices=options.devices,
        strategy="ddp_spawn" if options.devices > 1 else "auto",
        precision={"32": "32-true"}.get(precision, precision),
        max_epochs=options.epochs,
        gradient_clip_val=options.grad_clip or None,
        callbacks=[BestCheckpoint(work, max_epoch, options.patience)],
        limit_val_batches=None if validate else 0,
        plugins=[AtomicCheckpointIO()],
        logger=[TensorBoardLogger(work, name="", version="logs")],
        default_root_dir=work,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=True,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt; Lightning would exit with code 1 and ignore a second one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextlib.contextmanager
def silence_lightning() -> Iterator[None]:
    """Silence Lightning's banners and advice, which concern deliberate choices."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
