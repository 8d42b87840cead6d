"""Batches of photos, the same ones in the same epoch of the same seed, however often a run is resumed.

Photos are decoded once into one file of pixels, which the system's page cache keeps in memory as far as
there is some, and what is frozen is run once into one file of maps: an epoch reads rows of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from ..core.runtime import cpu_count
from ..images import PreprocessSpec, load_image
from .augment import augmentation
from .export import as_onnx_callable
from .model import Network

__all__ = ["EpochSampler", "MemmapDataset", "batches", "decode", "frozen_maps", "step_seed", "write_maps"]

_AT_ONCE = 16  # photos whose activations and maps are held, so that they stay small

Batch = tuple[int, list[int]]
TrainingFeatures = Callable[[list[int]], torch.Tensor]
Told = Callable[[int], None]


def step_seed(*numbers: int) -> int:
    """A seed of its own for each seed, epoch and row or step."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def decode(paths: Sequence[Path], preprocess: PreprocessSpec, to: Path, told: Told | None = None) -> None:
    """Write the photos, prepared, as one .npy file: uint8 (n, S, S, 3) RGB. ImageError names a bad one."""
    size = preprocess.size
    pixels = np.lib.format.open_memmap(to, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3))

    def place(row: int) -> None:
        pixels[row] = load_image(paths[row], preprocess)

    with ThreadPoolExecutor(cpu_count()) as pool:
        for done, _ in enumerate(pool.map(place, range(len(paths))), 1):
            if told:
                told(done)
    pixels.flush()


def frozen_maps(
    network: Network,
    pixels: Path,
    to: Path,
    *,
    augment: str,
    views: int,
    seed: int,
    part: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Write what the trunk gives, as one .npy file: float32 (1 + views, n, ...), the plain photos first.

    With `part`, what that part of the trunk gives: normalised photos (N, 3, S, S) to a tensor (N, ...).
    """
    views = 0 if augment == "none" else views
    data = [_Photos(pixels, None, augment if view else "none", seed) for view in range(views + 1)]
    looks = [partial(_look, photos, view) for view, photos in enumerate(data)]
    write_maps(network, looks, len(data[0]), to, part=part)


def _look(photos: _Photos, view: int, rows: list[int]) -> torch.Tensor:
    return photos[view, rows][0]


def write_maps(
    network: Network,
    looks: Sequence[TrainingFeatures],
    count: int,
    to: Path,
    *,
    part: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Write what the trunk gives for views of `count` photos: float32 (views, count, ...), one .npy file.

    Parameters
    ----------
    looks : sequence of callable
        One a view: rows to uint8 (N, 3, S, S).
    part : callable, optional
        Part of the trunk that is run instead: normalised photos (N, 3, S, S) to a tensor (N, ...).
    """
    run = part or network.trunk
    network.eval()
    device = next(network.parameters()).device
    first = looks[0]([0])
    with torch.inference_mode():
        shape = tuple(run(network.normalised(first.to(device))).shape[1:])
    quick = as_onnx_callable(network, run, shape) if device.type == "cpu" else None
    whole = (len(looks), count, *shape)
    out: NDArray[np.float32] = np.lib.format.open_memmap(to, mode="w+", dtype=np.float32, shape=whole)
    with ThreadPoolExecutor(cpu_count()) as pool:
        for view, start in product(range(len(looks)), range(0, count, _AT_ONCE)):
            rows = list(range(start, min(start + _AT_ONCE, count)))
            photos = looks[view](rows)
            if quick:
                seen = np.ascontiguousarray(photos.numpy().transpose(0, 2, 3, 1))
                for row, maps in zip(rows, pool.map(quick, np.split(seen, len(rows))), strict=True):
                    out[view, row] = maps[0]
            else:
                with torch.inference_mode():
                    out[view, rows] = run(network.normalised(photos.to(device))).cpu().numpy()
    out.flush()  # type: ignore[attr-defined]
    network.train()


def batches(
    file: Path,
    target: NDArray[np.intp],
    rows: NDArray[np.intp],
    *,
    size: int,
    seed: int,
    augment: str = "none",
    maps: bool = False,
    shuffle: bool = False,
    share: tuple[int, int] = (0, 1),
    workers: int = 0,
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of photos or maps and their classes, those of process `share[0]` of `share[1]`.

    Yields uint8 (N, 3, S, S) RGB from a file that `decode` wrote, with `maps` float32 (N, ...) from one
    of `frozen_maps`, a random view of each where shuffled; and int64 (N,).
    """
    data: Dataset[Any] = _Maps(file, target, seed, shuffle) if maps else _Photos(file, target, augment, seed)
    order = EpochSampler(rows, size, seed, shuffle, share)
    return DataLoader(data, batch_size=None, sampler=order, num_workers=workers)


class EpochSampler(Sampler[Batch]):
    """Epoch and rows of each batch. Lightning calls `set_epoch`."""

    def __init__(
        self, rows: NDArray[np.intp], size: int, seed: int, shuffle: bool, share: tuple[int, int]
    ) -> None:
        self.rows, self.size, self.seed, self.shuffle, self.share = rows, size, seed, shuffle, share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def _batches(self) -> list[list[int]]:
        rows = self.rows
        if self.shuffle:
            rows = np.random.default_rng([self.seed, self.epoch]).permutation(rows)
        rank, world = self.share
        own = rows[rank::world][: len(rows) // world].tolist()
        parts = [own[i : i + self.size] for i in range(0, len(own), self.size)]
        if self.shuffle and len(parts) > 1 and len(parts[-1]) == 1:
            alone = parts.pop()  # batch norm needs two
            parts[-1] += alone
        return parts

    def __iter__(self) -> Iterator[Batch]:
        for part in self._batches():
            yield self.epoch, part

    def __len__(self) -> int:
        return len(self._batches())


class MemmapDataset(Dataset[Any]):
    """Rows of a .npy file, `array`, which each worker opens for itself."""

    def __init__(self, file: Path, target: NDArray[np.intp] | None, seed: int) -> None:
        self.file, self.seed = file, seed
        self.target = None if target is None else torch.from_numpy(target)

    @cached_property
    def array(self) -> NDArray[Any]:
        """The file, mapped."""
        array: NDArray[Any] = np.load(self.file, mmap_mode="r")
        return array

    def classes(self, rows: list[int]) -> torch.Tensor | None:
        """Classes of these rows, where they are known."""
        return None if self.target is None else self.target[rows]


class _Photos(MemmapDataset):
    def __init__(self, file: Path, target: NDArray[np.intp] | None, augment: str, seed: int) -> None:
        super().__init__(file, target, seed)
        self.augment = None if augment == "none" else augmentation(augment)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        epoch, rows = batch
        photos = torch.from_numpy(np.ascontiguousarray(self.array[rows].transpose(0, 3, 1, 2)))
        if self.augment:
            with torch.random.fork_rng(devices=[]):
                for photo, row in zip(photos, rows, strict=True):
                    torch.default_generator.manual_seed(step_seed(self.seed, epoch, row))
                    photo.copy_(self.augment(photo))
        return photos, self.classes(rows)


class _Maps(MemmapDataset):
    def __init__(self, file: Path, target: NDArray[np.intp], seed: int, shuffle: bool) -> None:
        super().__init__(file, target, seed)
        self.shuffle = shuffle

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        epoch, rows = batch
        views = np.zeros(len(rows), dtype=np.intp)
        if self.shuffle:
            views = np.array([step_seed(self.seed, epoch, row) % len(self.array) for row in rows])
        return torch.from_numpy(np.ascontiguousarray(self.array[views, rows])), self.classes(rows)
