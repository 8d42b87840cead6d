"""Learning where points are: views of photos, with the points moved along.

A view is a square of the photo (`keypoints.views`), cut out in the way that the model file cuts it out. In
training it is shaken about the right one and mirrored half of the time; photos that are held out are seen as
they will be when the model is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ..errors import DataError, UnknownNameError
from ..images import PreprocessSpec
from ..keypoints.alignment import JitterStd, jitter, mirrored_views, view_points
from ..keypoints.flip import mirrored
from .checkpoint import EpochMetrics
from .config import FineTuneConfig
from .data import Batch, EpochSampler, MemmapDataset, decode, step_seed, write_maps
from .frozen_prefix import FrozenPrefix
from .keypoint_model import PointNetwork
from .model import Network
from .module import FineTuneModule, Tensors

__all__ = [
    "LOSSES",
    "POINT_AUGMENTS",
    "KeypointMetrics",
    "KeypointModule",
    "PointPhotos",
    "check_points",
    "looked_at",
]

LOSSES = ("l1", "l2")
"""Mean absolute and mean squared error of the coordinates."""

POINT_AUGMENTS = ("none", "light", "default", "strong")
"""`light` shakes and mirrors, `default` also changes the brightness, `strong` shakes half as much again and
changes brightness and contrast."""

_BRIGHTNESS = 0.2  # as the preset `default` of augment.py
_HARDER = 1.5  # times the shaking: of `strong`
_AT_ONCE = 32  # photos that are looked at together when nothing is learnt

View = tuple[NDArray[np.float64], NDArray[np.float64]]  # (n, 2, 3), and points as it sees them (n, K, 2)


def check_points(options: FineTuneConfig, loss: str) -> None:
    """Refuse what is meant for classes; UnknownNameError, DataError."""
    if loss not in LOSSES:
        raise UnknownNameError("loss for keypoints", loss, LOSSES)
    if options.augment not in POINT_AUGMENTS:
        raise UnknownNameError("augmentation for keypoints", options.augment, POINT_AUGMENTS)
    for name in ("label_smoothing", "mixup"):
        if getattr(options, name):
            raise DataError(f"{name} is for classes; keypoints have none: leave it at 0")


@dataclass(frozen=True)
class KeypointMetrics(EpochMetrics):
    """How an epoch went; errors are mean absolute ones of coordinates, in units of the view's side."""

    train_error: float
    val_error: float


@dataclass(frozen=True, eq=False)
class PointPhotos:
    """What is trained on.

    Parameters
    ----------
    paths : sequence of Path
        n photos.
    points : float64 ndarray (n, K, 2)
        In units of the sides; NaN where missing.
    right : float64 ndarray (n, 2, 3)
        Views that training shakes.
    looked : float64 ndarray (n, 2, 3)
        Views as they will be when the model is used.
    spread : JitterStd
        How much is shaken.
    permutation : tuple of int or None
        Partners of the points in a mirrored photo.
    validation : bool ndarray (n,)
        Photos that nothing is learnt from.
    prepared : PreprocessSpec
        How photos are prepared before the views are cut out of them.
    loss : {"l1", "l2"}
    """

    paths: Sequence[Path]
    points: NDArray[np.float64]
    right: NDArray[np.float64]
    looked: NDArray[np.float64]
    spread: JitterStd
    permutation: tuple[int, ...] | None
    validation: NDArray[np.bool_]
    prepared: PreprocessSpec
    loss: Literal["l1", "l2"] = "l1"

    # a frozen trunk's last maps hardly know more of places than the mean shape does (benchmarks/RESULTS.md)
    head_first: ClassVar[bool] = False

    def as_used(self, rows: NDArray[np.intp]) -> View:
        """Views of photos as they will be, and the points in them."""
        return self.looked[rows], view_points(self.looked[rows], self.points[rows])

    def jitter(self, rows: NDArray[np.intp], augment: str, rng: np.random.Generator) -> View:
        """Views of photos to learn from, and the points in them."""
        if augment == "none":
            return self.as_used(rows)
        factor = _HARDER if augment == "strong" else 1.0
        spread = JitterStd(*(factor * s for s in (self.spread.scale, self.spread.turn, self.spread.shift)))
        views = jitter(self.right[rows], spread, rng)
        goal = view_points(views, self.points[rows])
        if self.permutation is not None:
            flip = rng.random(len(rows)) < 0.5
            views[flip] = mirrored_views(views)[flip]
            goal[flip] = mirrored(goal, self.permutation)[flip]
        return views, goal

    def kept_views(self, count: int, augment: str, seed: int) -> list[View]:
        """The views whose maps are kept where the trunk is frozen: as used, and `count` shaken ones."""
        rows = np.arange(len(self.points))
        rngs = [np.random.default_rng([seed, view]) for view in range(count)]
        return [self.as_used(rows), *(self.jitter(rows, augment, rng) for rng in rngs)]

    def pixels(self, network: Network, to: Path) -> None:  # noqa: ARG002
        """Write the photos, prepared."""
        decode(self.paths, self.prepared, to)

    def maps(
        self,
        network: Network,
        pixels: Path,
        to: Path,
        options: FineTuneConfig,
        *,
        views: int,
        seed: int,
        prefix: FrozenPrefix | None,
    ) -> None:
        """Write what the frozen trunk, or its beginning, gives for views of them."""
        side, augment = network.preprocess.size, options.augment
        array = np.load(pixels, mmap_mode="r")
        rng = np.random.default_rng(seed)

        def look(place: int, kept: View, rows: list[int]) -> torch.Tensor:
            seen = _cut(_tensor(array[rows]), torch.from_numpy(kept[0][rows]).float(), side)
            return _whole(_recoloured(seen, augment, rng) if place else seen)

        kept = self.kept_views(views, augment, seed)
        looks = [partial(look, place, view) for place, view in enumerate(kept)]
        write_maps(network, looks, len(array), to, forward=prefix.maps if prefix else None)

    def make_module(
        self,
        network: Network,
        options: FineTuneConfig,
        file: Path,
        *,
        seed: int,
        pretrained: bool,
        from_prefix: bool = False,
    ) -> KeypointModule:
        """The LightningModule that trains on `file`."""
        return KeypointModule(network, self, options, file, seed, pretrained, from_prefix)


class _Squares(MemmapDataset):
    """Squares of photos, a fresh one of each in every epoch where something is learnt from them."""

    def __init__(self, file: Path, photos: PointPhotos, side: int, augment: str | None, seed: int) -> None:
        super().__init__(file, None, seed)
        self.photos, self.side, self.augment = photos, side, augment

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, rows = batch
        rng = np.random.default_rng(step_seed(self.seed, epoch, *rows))
        index = np.asarray(rows)
        views, goal = (
            self.photos.as_used(index)
            if self.augment is None
            else self.photos.jitter(index, self.augment, rng)
        )
        seen = _cut(_tensor(self.array[rows]), torch.from_numpy(views).float(), self.side)
        return _whole(_recoloured(seen, self.augment, rng)), torch.from_numpy(goal).float()


class _KeptMaps(MemmapDataset):
    """Maps of a random view of each photo; of the view as used where nothing is learnt."""

    def __init__(self, file: Path, photos: PointPhotos, augment: str, seed: int, learn: bool) -> None:
        super().__init__(file, None, seed)
        kept = photos.kept_views(len(self.array) - 1, augment, seed)
        self.goals = np.stack([goal for _, goal in kept])
        self.learn = learn

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, rows = batch
        views = np.zeros(len(rows), dtype=np.intp)
        if self.learn:
            views = np.array([step_seed(self.seed, epoch, row) % len(self.array) for row in rows])
        maps = torch.from_numpy(np.ascontiguousarray(self.array[views, rows]))
        return maps, torch.from_numpy(self.goals[views, rows]).float()


class KeypointModule(FineTuneModule):
    """Mean absolute or squared error of coordinates; points that are missing do not count."""

    metrics_type, metric = KeypointMetrics, "error"

    def __init__(
        self,
        network: Network,
        photos: PointPhotos,
        options: FineTuneConfig,
        file: Path,
        seed: int,
        pretrained: bool,
        from_prefix: bool,
    ) -> None:
        super().__init__(network, photos.validation, options, file, seed, pretrained, from_prefix)
        self.photos = photos

    def _data(self, *, learn: bool) -> MemmapDataset:
        augment = self.options.augment
        if self.from_maps:
            return _KeptMaps(self.file, self.photos, augment, self.seed, learn)
        side = self.network.preprocess.size
        return _Squares(self.file, self.photos, side, augment if learn else None, self.seed)

    def train_dataloader(self) -> Any:
        """Shuffled batches of this process's share."""
        rows = np.flatnonzero(~self.validation)
        order = EpochSampler(rows, self.options.batch_size, self.seed, True, self.shard())
        data = self._data(learn=True)
        return DataLoader(data, batch_size=None, sampler=order, num_workers=self.num_workers())

    def val_dataloader(self) -> Any:
        """All validation photos, in every process."""
        order = EpochSampler(
            np.flatnonzero(self.validation), self.options.batch_size, self.seed, False, (0, 1)
        )
        return DataLoader(self._data(learn=False), batch_size=None, sampler=order)

    def loss_and_metric(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the mean absolute error."""
        inputs, goal = batch
        away = self(inputs) - goal
        known = ~torch.isnan(goal)
        off = torch.where(known, away, 0)
        error = off.abs().sum() / known.sum().clamp(min=1)
        if self.photos.loss == "l1":
            return error, error.detach()
        return (off**2).sum() / known.sum().clamp(min=1), error.detach()

    def val_metrics(self, answers: torch.Tensor) -> dict[str, float]:
        """The loss, and the mean absolute error; what is no number stays none."""
        goal = self.photos.as_used(np.flatnonzero(self.validation))[1]
        away = (answers.numpy() - goal)[~np.isnan(goal)]
        error = float(np.abs(away).mean())
        loss = error if self.photos.loss == "l1" else float((away**2).mean())
        return {"val_loss": loss, "val_error": error}


def looked_at(network: PointNetwork, photos: PointPhotos, pixels: Path) -> NDArray[np.float32]:
    """What the network answers for all photos as they are used: points and pooled maps, (n, 2K + C).

    `pixels` is the file that `PointPhotos.pixels` wrote; the network is on the processor.
    """
    array = np.load(pixels, mmap_mode="r")
    answers = []
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(array), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            views = torch.from_numpy(photos.looked[rows]).float()
            seen = _whole(_cut(_tensor(array[rows]), views, network.preprocess.size))
            points, pooled = network.answer(network.normalised(seen))
            answers.append(torch.cat([points.flatten(1), pooled], dim=1).numpy())
    return np.concatenate(answers)


def _tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _cut(photos: torch.Tensor, views: torch.Tensor, side: int) -> torch.Tensor:
    """The squares that views (N, 2, 3) look at, float32 (N, 3, side, side); as `graphs.cascade` does it."""
    turn, shift = views[:, :, :2], views[:, :, 2:]
    # torch counts from -1 to 1 over the square and over the photo
    grid = torch.cat([turn, turn.sum(2, keepdim=True) + 2 * shift - 1], dim=2)
    where = torch.nn.functional.affine_grid(grid, [len(photos), 3, side, side], align_corners=False)
    return torch.nn.functional.grid_sample(
        photos.float(), where, mode="bilinear", padding_mode="border", align_corners=False
    )


def _whole(seen: torch.Tensor) -> torch.Tensor:
    return (seen + 0.5).floor().clamp(0, 255).byte()


def _recoloured(seen: torch.Tensor, augment: str | None, rng: np.random.Generator) -> torch.Tensor:
    """Squares with other brightness, and contrast, each by a random factor of its own."""
    if augment not in ("default", "strong"):
        return seen
    factors = torch.from_numpy(1 + _BRIGHTNESS * rng.uniform(-1, 1, (2, len(seen), 1, 1, 1))).float()
    if augment == "strong":
        mean = seen.mean((1, 2, 3), keepdim=True)
        seen = mean + factors[1] * (seen - mean)
    return seen * factors[0]
