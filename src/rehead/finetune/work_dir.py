"""The work folder of a training: the record of what is trained on what, and the inputs of the epochs."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core import atomic
from ..core.records import Entries, check_entries, read_record
from ..core.records import record as record_with
from ..core.run_dir import TRAINING, check_work, holds_training, write_json
from ..errors import DataError
from .config import TrainingConfig
from .data import write_maps
from .frozen_prefix import FrozenPrefix, find_frozen_prefix
from .model import Network
from .module import TrainingTask

__all__ = ["cacheable_prefix", "discard_other", "inputs_file", "open_work", "write_inputs"]

_PIXELS, _MAPS = "photos.npy", "maps.npy"
_MAX_CACHE = 4 * 2**30  # bytes of feature maps that are written without being asked for
_DESCRIPTIONS = {
    "n_levels": "a head of other feature levels",
    "labels": "other classes",
    "split": "other photos, or another split",
    "weights": "other weights",
}  # of what is no option
_ENTRIES: Entries = {"options": (record_with(), "options")}
_MAY_CHANGE = ("epochs", "patience", "precision", "accelerator", "devices")  # when a run is resumed


def open_work(work: Path, record: Mapping[str, Any], resume: bool) -> None:
    """Make the folder with its record, or check that it holds the same training; DataError, OutputError."""
    path = work / TRAINING
    if holds_training(work):
        check_work(work, resume=resume)
        try:
            before = read_record(path)
            check_entries(before, _ENTRIES, needed=True)
        except DataError as error:
            raise DataError(
                f"{path}: damaged, so that nobody knows what is trained here ({error}); remove {work}, and "
                "start anew without --resume"
            ) from error
        _check_same(work, before, json.loads(json.dumps(record)))
    with atomic.output_errors(work):
        (work / "logs").mkdir(parents=True, exist_ok=True)
        write_json(path, record)


def discard_other(work: Path, record: Mapping[str, Any]) -> None:
    """Remove the folder if it holds a training with another record, or one that cannot be read."""
    if not holds_training(work):
        return
    before = None
    with contextlib.suppress(DataError):
        before = read_record(work / TRAINING)
    if before != json.loads(json.dumps(record)):
        with atomic.output_errors(work):
            shutil.rmtree(work)


def _check_same(work: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = ({**record, **record["options"]} for record in (before, now))
    names = {*old, *new} - {"options", *_MAY_CHANGE}
    for name in sorted(names, key=lambda name: (name in _DESCRIPTIONS, name)):
        if old.get(name) != new.get(name):
            difference = _difference(name, old.get(name), new.get(name))
            raise DataError(
                f"{work}: holds the training of something else ({difference}); give the "
                "options and photos it was started with, or start anew with another --out"
            )


def _difference(name: str, old: Any, new: Any) -> str:
    """What is not the same, as the user gave it."""
    if name in _DESCRIPTIONS:
        return _DESCRIPTIONS[name]
    option = name if name == "network" else "--" + name.replace("_", "-")
    values = [f"without {option}" if v is None or v is False else f"with {option} {v}" for v in (old, new)]
    return ", not ".join(value.removesuffix(" True") for value in values)


# inputs


def write_inputs(
    network: Network,
    prefix: FrozenPrefix | None,
    task: TrainingTask[Any],
    options: TrainingConfig,
    work: Path,
    *,
    seed: int,
    device: str,
) -> Path:
    """Write the file that epochs read, computing feature maps on `device`; see `inputs_file`."""
    pixels, file = work / _PIXELS, inputs_file(work, prefix, options)
    with atomic.output_errors(work):
        task.pixels(network, pixels)
        if file == pixels:
            return file
        network.to(device)
        try:
            loaders = task.loaders(network, pixels, options, views=_cached_views(options), seed=seed)
            run = prefix.maps if prefix else network.trunk
            write_maps(network, run, loaders, len(task.validation), file)
        finally:
            network.cpu()
    return file


def inputs_file(work: Path, prefix: FrozenPrefix | None, options: TrainingConfig) -> Path:
    """The file that epochs read: pixels, or feature maps where the trunk or a prefix of it is frozen."""
    return work / (_MAPS if options.train == "frozen" or prefix else _PIXELS)


def cacheable_prefix(network: Network, photos: int, options: TrainingConfig) -> FrozenPrefix | None:
    """The frozen prefix whose maps are cached; None where fresh views are wanted or they are too large."""
    if options.train in ("frozen", "all") or (options.augment != "none" and options.cached_views == 0):
        return None
    prefix = find_frozen_prefix(network)
    if prefix and 4 * photos * (1 + _cached_views(options)) * math.prod(prefix.shape) > _MAX_CACHE:
        return None
    return prefix


def _cached_views(options: TrainingConfig) -> int:
    """Augmented views that are cached; no more than there are epochs to use them."""
    return 0 if options.augment == "none" else min(options.cached_views, options.epochs)
