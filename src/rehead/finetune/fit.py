"""The training loop: Lightning's Trainer, with files that survive a kill at any moment.

A training keeps everything in its work folder:

    training.json    what is trained on what; a training is only continued where it is the same
    photos.npy       decoded photos; with maps.npy where the trunk or its beginning is frozen; written anew
                     by each start
    last.ckpt        state after the last whole epoch, replaced whole
    best-N.pt        weights after epoch N, of the least validation loss so far
    head/            the same again, of a head that is trained first on the frozen trunk
    all/             the same again, but for photos and maps, of the training on all photos that may follow
    logs/            curves.csv, and TensorBoard's events

Every batch, augmentation and dropout mask is drawn from seed, epoch and step, so on a processor a resumed
training ends with the numbers of one that was never killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import atomic
from ..core.run_dir import TRAINING, check_work, holds_training
from ..errors import DataError
from .checkpoint import LAST, EpochMetrics, best_of, curves_in, finished, held_in, weights_file
from .classification_module import TrainingPhotos
from .config import FineTuneConfig, TrainingConfig
from .frozen_prefix import FrozenPrefix, frozen_beginning
from .model import Network, build, set_trainable
from .module import FineTuneModule
from .trainer import interruptible, machine, new_trainer, silence_lightning
from .weight_interpolation import best_interpolation, interpolate_, state_of

__all__ = [
    "ALL",
    "Trained",
    "TrainingPhotos",
    "TrainingTask",
    "last_layer",
    "new_network",
    "train_network",
]

ALL = "all"
_HEAD = "head"
_PIXELS, _MAPS = "photos.npy", "maps.npy"
_MOST_KEPT = 4 * 2**30  # bytes of maps in a work folder: more is not taken from a disk without being asked
_NO_OPTIONS = {
    "n_levels": "a head of other depths",
    "labels": "other classes",
    "split": "other photos, or another division",
    "weights": "other weights",
}
_FREE = ("epochs", "patience", "precision", "accelerator", "devices")  # may differ when a run is continued


class TrainingTask(Protocol):
    """What is learnt: photos, what is known of them, and which are held out."""

    epoch_kind: ClassVar[type[EpochMetrics]]
    head_first: ClassVar[bool]

    @property
    def validation(self) -> NDArray[np.bool_]:
        """Which are held out, (n,)."""

    def pixels(self, network: Network, to: Path) -> None:
        """Write the photos, prepared, as one .npy file."""

    def maps(
        self,
        network: Network,
        pixels: Path,
        to: Path,
        options: Any,
        *,
        views: int,
        seed: int,
        beginning: FrozenPrefix | None,
    ) -> None:
        """Write what the frozen trunk, or its beginning, gives for them and for views of them."""

    def loop(
        self,
        network: Network,
        options: Any,
        file: Path,
        *,
        seed: int,
        pretrained: bool,
        from_prefix: bool = False,
    ) -> FineTuneModule:
        """The loop that learns from `file`, which holds pixels or maps."""


@dataclass(frozen=True)
class Trained:
    """How the training went; the network holds the weights of the best epoch, or some on the way to it.

    Parameters
    ----------
    curves : tuple of EpochMetrics
        Of the kind that the photos have.
    best : int
        Number of the epoch with the best score.
    held : float32 ndarray (E, n, ...)
        Answers for the validation photos after each epoch, and after those by the weights between that were
        tried: logits (E, n, K), or points (E, n, K, 2).
    resumed : int
        Epochs that were there already.
    logs : mapping of str to bytes
        Files for the run's folder: curves.csv and TensorBoard's events.
    work : Path
        Folder that it was kept in, with the photos and maps that it learnt from.
    share : float
        So far on the way from its start to that epoch lie the weights; 1: they are the epoch's own.
    head : Trained or None
        How the head's own training went, where that came first on the frozen trunk.
    """

    curves: tuple[EpochMetrics, ...]
    best: int
    held: NDArray[np.float32]
    resumed: int
    logs: Mapping[str, bytes]
    work: Path
    share: float = 1.0
    head: Trained | None = None


def new_network(
    name: str,
    options: TrainingConfig,
    *,
    classes: int,
    size: int | None,
    weights: Literal["pretrained", "none"] | Path,
    seed: int,
) -> Network:
    """`networks.build`, its random numbers drawn from `seed`."""
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
    photos: TrainingTask,
    options: TrainingConfig,
    *,
    work: Path,
    identity: Mapping[str, Any],
    pretrained: bool,
    seed: int = 0,
    resume: bool = False,
    again: Trained | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a network, and leave it with the weights of its best epoch, on the processor, in eval mode.

    Where it started from a head that was fitted to it, weights between that start and the best epoch are
    tried too, see `between`.

    Where a pretrained network has a head other than a linear one, and the photos ask for it (`head_first`),
    the head is trained first, on the frozen trunk's maps: gradients through a random head would only harm the
    trunk (LP-FT, Kumar et al. 2022).

    Parameters
    ----------
    network : Network
        What is trained in it is chosen here, by `options.train`.
    photos : TrainingTask
        TrainingPhotos, or PointPhotos for keypoints.
    options : TrainingConfig
    work : Path
        Folder of its own; made where it is missing.
    identity : mapping
        JSON: what a training must have in common with the one it continues, besides the options.
    pretrained : bool
        Whether the network starts from pretrained weights; sets the learning rate where none is given.
    seed : int
    resume : bool
        Continue the training in `work`, if there is one.
    again : Trained, optional
        Repeat this training of the same photos with none of them held out: to the epoch that was its best, at
        the same rates, from the files in its folder.
    progress : callable, optional
        Called as progress(done, total) with photos of all epochs.

    Returns
    -------
    Trained

    Raises
    ------
    DataError, UnknownNameError
        Options that the network or the machine cannot follow; `work` holds another training.
    TrainingError
        The loss is not a number.
    OutputError
        `work` cannot be written.
    """
    held = photos.validation
    if held.all() or not (again or held.any()):
        raise DataError("training needs photos to learn from and others for validation; add photos")
    options = options.resolve_auto(pretrained=pretrained)
    accelerator, precision = machine(options)
    still = options.freeze_bn_stats(pretrained=pretrained)
    set_trainable(network, options.train, keep_statistics=still)
    record = {**identity, "seed": seed, "options": options.to_dict()}
    if again:
        record["until"] = again.best
        _make_way(work, record)
    _begin(work, record, resume)
    head: Trained | None = None
    if _starts_from_head(photos, options, pretrained) and options.head != "linear":
        head = train_network(
            network,
            photos,
            replace(options, train="frozen", lr=None),
            work=work / _HEAD,
            identity=identity,
            pretrained=False,  # the head is not
            seed=seed,
            resume=True,
            again=again and again.head,
            progress=_part(progress, 0, 2),
        )
        set_trainable(network, options.train, keep_statistics=still)
        progress = _part(progress, 1, 2)
    until = again.best if again else options.epochs
    with silence_lightning(), torch.random.fork_rng():
        torch.manual_seed(seed)
        beginning = _beginning(network, len(held), options)
        if again:
            file = _inputs_in(again.work, beginning, options)
        else:
            file = _inputs(network, beginning, photos, options, work, seed, accelerator)
        from_prefix = beginning is not None
        module = photos.loop(
            network, options, file, seed=seed, pretrained=pretrained, from_prefix=from_prefix
        )
        last = work / LAST
        done = curves_in(last, photos.epoch_kind) if last.is_file() else []
        start = state_of(network)
        if not finished(done, until, options.patience):
            module.progress, module.until = progress, until
            judged = bool(held.any())
            network.to(memory_format=torch.channels_last)  # a third faster, benchmarks/memory_format.py
            trainer = new_trainer(options, work, accelerator, precision, until=until, judged=judged)
            with interruptible(), beginning.bypassed() if beginning else contextlib.nullcontext():
                trainer.fit(module, ckpt_path=last if last.is_file() else None)
        trained = _best_of(network, photos, work, len(done), head)
        if (
            isinstance(options, FineTuneConfig)
            and options.interpolate
            and _starts_from_head(photos, options, pretrained)
        ):
            return _interpolated(module, start, trained, beginning, again)
        return trained


def _starts_from_head(photos: TrainingTask, options: TrainingConfig, pretrained: bool) -> bool:
    """Whether a head that fits the frozen network comes first, and its blocks are trained from there."""
    return photos.head_first and pretrained and options.train != "frozen"


def _interpolated(
    module: FineTuneModule,
    start: Mapping[str, torch.Tensor],
    trained: Trained,
    beginning: FrozenPrefix | None,
    again: Trained | None,
) -> Trained:
    """The same with the best weights on the way from `start`, or as far on it as those of `again`."""
    if again:
        interpolate_(module.network, start, state_of(module.network), again.share)
        return replace(trained, share=again.share)
    share, answers = best_interpolation(module, start, best_of(trained.curves).score, beginning)
    return replace(trained, share=share, held=np.concatenate([trained.held, answers]))


def _part(progress: Callable[[int, int], None] | None, part: int, parts: int) -> Any:
    """The progress of one of several parts, each as long as the others."""
    return progress and (lambda done, total: progress(part * total + done, parts * total))


def _best_of(
    network: Network, photos: TrainingTask, work: Path, resumed: int, head: Trained | None
) -> Trained:
    curves = curves_in(work / LAST, photos.epoch_kind)
    best = best_of(curves)
    state = torch.load(work / weights_file(best), map_location="cpu", weights_only=True)
    network.cpu().load_state_dict(state)
    network.eval()
    kept = [*(work / "logs").glob("curves.csv"), *(work / "logs").glob("events.*")]
    logs = {path.name: path.read_bytes() for path in kept}
    return Trained(tuple(curves), best.epoch, held_in(work / LAST), resumed, logs, work, head=head)


def _make_way(work: Path, record: Mapping[str, Any]) -> None:
    """Remove what was learnt from all photos for another number of epochs, or by other options."""
    path = work / TRAINING
    if holds_training(work) and json.loads(path.read_text("utf-8")) != json.loads(json.dumps(record)):
        with atomic.output_errors(work):
            shutil.rmtree(work)


def _begin(work: Path, record: Mapping[str, Any], resume: bool) -> None:
    """Make the folder ready, or check that what is there is the same training."""
    path = work / TRAINING
    if holds_training(work):
        check_work(work, resume=resume)
        before = json.loads(path.read_text("utf-8"))
        _check_same(work, before, json.loads(json.dumps(record)))
    with atomic.output_errors(work):
        (work / "logs").mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def _check_same(work: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = ({**r, **r["options"]} for r in (before, now))
    names = {*old, *new} - {"options", *_FREE}
    for name in sorted(names, key=lambda name: (name in _NO_OPTIONS, name)):
        was, is_ = old.get(name), new.get(name)
        if was != is_:
            raise DataError(
                f"{work}: holds the training of something else ({_difference(name, was, is_)}); give the "
                "options and photos it was started with, or start anew with another --out"
            )


def _difference(name: str, was: Any, is_: Any) -> str:
    """What is not the same, as the user gave it."""
    if name in _NO_OPTIONS:
        return _NO_OPTIONS[name]
    option = name if name == "network" else "--" + name.replace("_", "-")
    told = [f"without {option}" if v is None or v is False else f"with {option} {v}" for v in (was, is_)]
    return ", not ".join(text.removesuffix(" True") for text in told)


def _inputs(
    network: Network,
    beginning: FrozenPrefix | None,
    photos: TrainingTask,
    options: TrainingConfig,
    work: Path,
    seed: int,
    device: str,
) -> Path:
    """Write the file that is trained from."""
    pixels, file = work / _PIXELS, _inputs_in(work, beginning, options)
    with atomic.output_errors(work):
        photos.pixels(network, pixels)
        if file == pixels:
            return file
        network.to(device)
        try:
            views = _views(options)
            photos.maps(network, pixels, file, options, views=views, seed=seed, beginning=beginning)
        finally:
            network.cpu()
    return file


def _inputs_in(work: Path, beginning: FrozenPrefix | None, options: TrainingConfig) -> Path:
    """The file that is trained from: pixels, or maps where the trunk or its beginning is frozen."""
    return work / (_MAPS if options.train == "frozen" or beginning else _PIXELS)


def _views(options: TrainingConfig) -> int:
    """Augmented views that are kept; no more than there are epochs to see them in."""
    return 0 if options.augment == "none" else min(options.cached_views, options.epochs)


def _beginning(network: Network, photos: int, options: TrainingConfig) -> FrozenPrefix | None:
    """What need not be run in every epoch, unless fresh views are wanted or its maps would fill the disk."""
    if options.train in ("frozen", "all") or (options.augment != "none" and options.cached_views == 0):
        return None
    beginning = frozen_beginning(network)
    if beginning and 4 * photos * (1 + _views(options)) * math.prod(beginning.shape) > _MOST_KEPT:
        return None
    return beginning
