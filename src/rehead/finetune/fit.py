"""Training a network: Lightning's Trainer, with files that survive a kill at any moment.

A training keeps everything in its work folder:

    training.json    what is trained on what; only the same training is resumed
    photos.npy       decoded photos, with maps.npy where the trunk or a prefix of it is frozen; rewritten by
                     each start
    last.ckpt        state after the last whole epoch, replaced whole
    best-N.pt        weights after epoch N, the best by the validation photos so far
    head/            the same again, of a head that is trained first on the frozen trunk
    all/             the same again, but for photos and maps, of the refit on all photos
    logs/            curves.csv, and TensorBoard's events

Every batch, augmentation and dropout mask is drawn from seed, epoch and step, so on a processor a resumed
training ends with the numbers of one that was never killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.progress import Progress, progress_bar
from ..errors import DataError
from .checkpoint import LAST, EpochMetrics, best_of, finished, read_curves, read_val_outputs, weights_file
from .config import FineTuneConfig, TrainingConfig
from .frozen_prefix import FrozenPrefix
from .model import Network, build
from .module import FineTuneModule, TrainingTask
from .trainable import set_trainable
from .trainer import interruptible, new_trainer, resolve_device, silence_lightning
from .weight_interpolation import best_interpolation, interpolate_, state_of
from .work_dir import cacheable_prefix, discard_other, inputs_file, open_work, write_inputs

__all__ = ["ALL", "TrainingResult", "last_layer", "new_network", "train_network"]

ALL = "all"
_HEAD = "head"


@dataclass(frozen=True)
class TrainingResult:
    """How a training went; the network has the weights of the best epoch, or interpolated ones.

    Parameters
    ----------
    curves : tuple of EpochMetrics
        One for each epoch, of the task's own kind.
    best_epoch : int
        Number of the epoch with the smallest monitored metric, from 1.
    val_outputs : float32 ndarray (E, n, ...)
        Outputs for the validation photos after each epoch and, where tried, by each interpolation: logits
        (E, n, K), or points (E, n, K, 2).
    epochs_resumed : int
        Epochs that were there already.
    logs : mapping of str to bytes
        Files for the run's folder: curves.csv and TensorBoard's events.
    work : Path
        Its work folder, with the inputs it was trained on.
    alpha : float
        The weights are `(1 - alpha) * initial + alpha * best epoch`.
    head : TrainingResult or None
        Of the head, where that was trained first on the frozen trunk.
    """

    curves: tuple[EpochMetrics, ...]
    best_epoch: int
    val_outputs: NDArray[np.float32]
    epochs_resumed: int
    logs: Mapping[str, bytes]
    work: Path
    alpha: float = 1.0
    head: TrainingResult | None = None


def new_network(
    name: str,
    options: TrainingConfig,
    *,
    classes: int,
    size: int | None,
    weights: Literal["pretrained", "none"] | Path,
    seed: int,
) -> Network:
    """`model.build`, its random numbers drawn from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(
            name, classes=classes, size=size, weights=weights, head=options.head, dropout=options.dropout
        )


def last_layer(network: Network) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (D, K) and bias (K,) of the last layer."""
    linear = network.linear
    return linear.weight.detach().numpy().T.copy(), linear.bias.detach().numpy().copy()


def train_network(
    network: Network,
    task: TrainingTask[Any],
    options: TrainingConfig,
    *,
    work: Path,
    identity: Mapping[str, Any],
    pretrained: bool,
    seed: int = 0,
    resume: bool = False,
    refit_of: TrainingResult | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network, and leave it with the weights of its best epoch, on the processor, in eval mode.

    Where it starts from a head that was fitted to it, interpolations between the initial weights and those of
    the best epoch are tried too, see `weight_interpolation`.

    Where a pretrained network has a head other than a linear one, and the task asks for it (`head_first`),
    the head is trained first, on the feature maps of the frozen trunk: gradients through a random head would
    distort the trunk (LP-FT, Kumar et al. 2022).

    Parameters
    ----------
    network : Network
        Which of its blocks are trained is set here, by `options.train`.
    task : TrainingTask
        ClassificationTask, or PointPhotos for keypoints.
    options : TrainingConfig
    work : Path
        Work folder; made where it is missing.
    identity : mapping
        JSON: what a training must have in common with the one it resumes, besides the options.
    pretrained : bool
        Whether the network starts from pretrained weights; sets the learning rate where none is given.
    seed : int
    resume : bool
        Resume the training in `work`, if there is one.
    refit_of : TrainingResult, optional
        Repeat this training of the same photos without validation photos: up to its best epoch, with the same
        learning rates, alpha and inputs.
    progress : callable, optional
        Called as progress(done, total) with photos of all epochs.

    Returns
    -------
    TrainingResult

    Raises
    ------
    DataError, UnknownNameError
        Options that the network or the machine does not support; `work` holds another training.
    TrainingError
        The loss is not a number.
    OutputError
        `work` cannot be written.
    """
    validation = task.validation
    if validation.all() or not (refit_of or validation.any()):
        raise DataError("training needs photos to learn from and others for validation; add photos")
    options = options.resolve_auto(pretrained=pretrained)
    device, _ = resolve_device(options)
    freeze_bn = options.freeze_bn_stats(pretrained=pretrained)
    set_trainable(network, options.train, freeze_bn_stats=freeze_bn)
    record = {**identity, "seed": seed, "options": options.to_dict()}
    if refit_of:
        record["max_epoch"] = refit_of.best_epoch
        discard_other(work, record)
    open_work(work, record, resume)
    head: TrainingResult | None = None
    # whether blocks are fine-tuned from a head that fits the frozen network
    from_head = task.head_first and pretrained and options.train != "frozen"
    if from_head and options.head != "linear":
        head = train_network(
            network,
            task,
            replace(options, train="frozen", lr=None),
            work=work / _HEAD,
            identity=identity,
            pretrained=False,  # the head is not
            seed=seed,
            resume=True,
            refit_of=refit_of and refit_of.head,
            progress=_half(progress, 0),
        )
        set_trainable(network, options.train, freeze_bn_stats=freeze_bn)
        progress = _half(progress, 1)
    with silence_lightning(), torch.random.fork_rng():
        torch.manual_seed(seed)
        prefix = cacheable_prefix(network, len(validation), options)
        if refit_of:
            file = inputs_file(refit_of.work, prefix, options)
        else:
            file = write_inputs(network, prefix, task, options, work, seed=seed, device=device)
        start = state_of(network)
        module = task.module_type(network, task, options, file, seed, pretrained, prefix is not None)
        module.progress = progress
        module.max_epoch = refit_of.best_epoch if refit_of else options.epochs
        result = replace(_run_epochs(module, prefix, work), head=head)
        if from_head and isinstance(options, FineTuneConfig) and options.interpolate:
            return _interpolated(module, start, result, prefix, refit_of)
        return result


def _half(progress: Progress | None, index: int) -> Any:
    """Progress of one of two stages of equal length."""
    return progress and (lambda done, total: progress(index * total + done, 2 * total))


def _run_epochs(module: FineTuneModule, prefix: FrozenPrefix | None, work: Path) -> TrainingResult:
    """Train the epochs that are missing in `work`, and load the weights of the best one."""
    network, options, last = module.network, module.options, work / LAST
    done = read_curves(last, module.metrics_type) if last.is_file() else []
    if not finished(done, module.max_epoch, options.patience):
        network.to(memory_format=torch.channels_last)  # a third faster, benchmarks/memory_format.py
        validate = bool(module.validation.any())
        trainer = new_trainer(options, work, max_epoch=module.max_epoch, validate=validate)
        bar = progress_bar(module.progress, "Training")
        with (
            bar as module.progress,
            interruptible(),
            prefix.bypassed() if prefix else contextlib.nullcontext(),
        ):
            trainer.fit(module, ckpt_path=last if last.is_file() else None)
    curves = read_curves(last, module.metrics_type)
    best = best_of(curves)
    state = torch.load(work / weights_file(best), map_location="cpu", weights_only=True)
    network.cpu().load_state_dict(state)
    network.eval()
    files = [*(work / "logs").glob("curves.csv"), *(work / "logs").glob("events.*")]
    logs = {path.name: path.read_bytes() for path in files}
    return TrainingResult(tuple(curves), best.epoch, read_val_outputs(last), len(done), logs, work)


def _interpolated(
    module: FineTuneModule,
    start: Mapping[str, torch.Tensor],
    result: TrainingResult,
    prefix: FrozenPrefix | None,
    refit_of: TrainingResult | None,
) -> TrainingResult:
    """Set the weights to the best interpolation from `start`, or to that of `refit_of`."""
    if refit_of:
        interpolate_(module.network, start, state_of(module.network), refit_of.alpha)
        return replace(result, alpha=refit_of.alpha)
    alpha, outputs = best_interpolation(module, start, best_of(result.curves).monitored, prefix)
    return replace(result, alpha=alpha, val_outputs=np.concatenate([result.val_outputs, outputs]))
