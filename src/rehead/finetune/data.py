"""Batches of photos: the same ones in the same epoch of the same seed, however often a run is resumed.

Photos are decoded once into one memory-mapped file of pixels, and frozen layers are run once into one file of
feature maps; an epoch reads rows of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from ..core.parallel import map_in_order
from ..core.photos import File
from ..images import PreprocessSpec, load_image
from .augment import augmentation
from .export import as_onnx_callable, by_torch, to_tensor
from .model import Network

__all__ = [
    "CachedMaps",
    "EpochSampler",
    "MemmapDataset",
    "Photos",
    "batches",
    "decode",
    "step_seed",
    "to_tensor",
    "write_maps",
]

_BATCH = 16  # photos that frozen layers are run on together, so that activations stay small

Batch = tuple[int, list[int]]
PhotoLoader = Callable[[list[int]], torch.Tensor]  # rows to uint8 (N, 3, S, S)
Forward = Callable[[torch.Tensor], torch.Tensor]  # normalised photos (N, 3, S, S) to a tensor (N, ...)


def step_seed(*numbers: int) -> int:
    """One seed out of several numbers, such as seed, epoch, and row or step."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def decode(paths: Sequence[File], preprocess: PreprocessSpec, to: Path) -> None:
    """Write preprocessed photos as one .npy file, uint8 (n, S, S, 3) RGB; ImageError names a bad one."""
    size = preprocess.size
    pixels = np.lib.format.open_memmap(to, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3))

    def load(row: int) -> None:
        pixels[row] = load_image(paths[row], preprocess)

    for _ in map_in_order(load, range(len(paths))):
        pass
    pixels.flush()


def write_maps(network: Network, run: Forward, loaders: Sequence[PhotoLoader], count: int, to: Path) -> None:
    """Write what frozen layers `run` give for views of `count` photos, each view by its loader.

    A .npy file, float32 (views, count, ...).
    """
    network.eval()
    shape = by_torch(network, run, loaders[0]([0])).shape[1:]
    on_cpu = next(network.parameters()).device.type == "cpu"
    onnx = as_onnx_callable(network, run, shape) if on_cpu else None
    size = (len(loaders), count, *shape)
    out: NDArray[np.float32] = np.lib.format.open_memmap(to, mode="w+", dtype=np.float32, shape=size)
    for view, start in product(range(len(loaders)), range(0, count, _BATCH)):
        rows = list(range(start, min(start + _BATCH, count)))
        photos = loaders[view](rows)
        if onnx:
            pixels = np.ascontiguousarray(photos.numpy().transpose(0, 2, 3, 1))
            for row, maps in zip(rows, map_in_order(onnx, np.split(pixels, len(rows))), strict=True):
                out[view, row] = maps[0]
        else:
            out[view, rows] = by_torch(network, run, photos)
    out.flush()  # type: ignore[attr-defined]
    network.train()


def batches(
    data: MemmapDataset,
    rows: NDArray[np.intp],
    size: int,
    *,
    shuffle: bool = False,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of these rows of the data, for process `shard[0]` of `shard[1]`."""
    order = EpochSampler(rows, size, data.seed, shuffle, shard)
    return DataLoader(data, batch_size=None, sampler=order, num_workers=workers)


class EpochSampler(Sampler[Batch]):
    """Samples the epoch and the rows of each batch; Lightning calls `set_epoch`."""

    def __init__(
        self, rows: NDArray[np.intp], size: int, seed: int, shuffle: bool, shard: tuple[int, int]
    ) -> None:
        self.rows, self.size, self.seed, self.shuffle, self.shard = rows, size, seed, shuffle, shard
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that comes next."""
        self.epoch = epoch

    def _batches(self) -> list[list[int]]:
        rows = self.rows
        if self.shuffle:
            rows = np.random.default_rng([self.seed, self.epoch]).permutation(rows)
        rank, world_size = self.shard
        own = rows[rank::world_size][: len(rows) // world_size].tolist()
        batches = [own[i : i + self.size] for i in range(0, len(own), self.size)]
        if self.shuffle and len(batches) > 1 and len(batches[-1]) == 1:
            single = batches.pop()  # batch norm needs two
            batches[-1] += single
        return batches

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches():
            yield self.epoch, batch

    def __len__(self) -> int:
        return len(self._batches())


class MemmapDataset(Dataset[Any]):
    """Rows of a .npy file, `array`, which each worker maps for itself."""

    def __init__(self, file: Path, seed: int) -> None:
        self.file, self.seed = file, seed

    @cached_property
    def array(self) -> NDArray[Any]:
        """The memory-mapped file."""
        array: NDArray[Any] = np.load(self.file, mmap_mode="r")
        return array


class Photos(MemmapDataset):
    """Photos of a file that `decode` wrote, augmented, uint8 (N, 3, S, S) RGB, and their classes (N,)."""

    def __init__(self, file: Path, target: NDArray[np.intp], augment: str, seed: int) -> None:
        super().__init__(file, seed)
        self.target = torch.from_numpy(target)
        self.augment = None if augment == "none" else augmentation(augment)

    def load(self, epoch: int, rows: list[int]) -> torch.Tensor:
        """The photos of these rows as this epoch has them."""
        photos = to_tensor(self.array[rows])
        if self.augment:
            with torch.random.fork_rng(devices=[]):
                for photo, row in zip(photos, rows, strict=True):
                    torch.default_generator.manual_seed(step_seed(self.seed, epoch, row))
                    photo.copy_(self.augment(photo))
        return photos

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return self.load(*batch), self.target[batch[1]]


class CachedMaps(MemmapDataset):
    """Feature maps that `write_maps` wrote, float32 (N, ...), and their targets.

    In training of a random view of each photo, else of the first one.
    """

    def __init__(self, file: Path, target: NDArray[Any], seed: int, training: bool) -> None:
        super().__init__(file, seed)
        self.target, self.training = torch.from_numpy(target), training

    def targets(self, views: NDArray[np.intp], rows: list[int]) -> torch.Tensor:  # noqa: ARG002
        """Targets of these views of photos: here the photos' classes."""
        return self.target[rows]

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, rows = batch
        views = np.zeros(len(rows), dtype=np.intp)
        if self.training:
            views = np.array([step_seed(self.seed, epoch, row) % len(self.array) for row in rows])
        return torch.from_numpy(np.ascontiguousarray(self.array[views, rows])), self.targets(views, rows)
