"""Training on keypoints: crops of photos, with the points in coordinates of the crop.

Crop transforms are those of `keypoints.alignment`, applied as the model file applies them. Training crops are
the true ones with jitter, half of them mirrored; validation photos are cropped as in prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.photos import File
from ..images import PreprocessSpec
from ..keypoints.alignment import JitterStd, flip_crops, jitter, points_in_crops
from ..keypoints.flip import flip_points
from .checkpoint import EpochMetrics
from .config import TrainingConfig
from .data import Batch, CachedMaps, MemmapDataset, PhotoLoader, decode, step_seed, to_tensor
from .export import by_torch
from .keypoint_model import KeypointNetwork
from .model import Network
from .module import FineTuneModule, Tensors

__all__ = [
    "KeypointMetrics",
    "KeypointModule",
    "KeypointTask",
    "predict_all",
]

_BRIGHTNESS = 0.2  # as the preset `default` of augment.py
_STRONG = 1.5  # times the jitter
_BATCH = 32  # photos of a batch in prediction

Crops = tuple[NDArray[np.float64], NDArray[np.float64]]  # transforms (n, 2, 3), points in them (n, K, 2)


@dataclass(frozen=True)
class KeypointMetrics(EpochMetrics):
    """Metrics of an epoch; errors are mean absolute ones of coordinates, in units of the crop's side."""

    train_error: float
    val_error: float


class _Crops(MemmapDataset):
    """Crops of photos: with `augment`, other random ones in every epoch; without, as in prediction."""

    def __init__(self, file: Path, task: KeypointTask, side: int, augment: str | None, seed: int) -> None:
        super().__init__(file, seed)
        self.task, self.side, self.augment = task, side, augment

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, rows = batch
        rng = np.random.default_rng(step_seed(self.seed, epoch, *rows))
        index = np.asarray(rows)
        crops, target = (
            self.task.eval_crops(index)
            if self.augment is None
            else self.task.train_crops(index, self.augment, rng)
        )
        pixels = _crop(to_tensor(self.array[rows]), torch.from_numpy(crops).float(), self.side)
        return _to_uint8(_color_jitter(pixels, self.augment, rng)), torch.from_numpy(target).float()


class _CropMaps(CachedMaps):
    """Cached maps: in training of a random crop of each photo, else of the crop as in prediction."""

    def targets(self, views: NDArray[np.intp], rows: list[int]) -> torch.Tensor:
        return self.target[views, rows].float()


class KeypointModule(FineTuneModule):
    """Mean absolute or squared error of coordinates; missing points do not count."""

    metrics_type, metric = KeypointMetrics, "error"

    task: KeypointTask

    def dataset(self, *, training: bool) -> MemmapDataset:
        """Crops or their feature maps, with the points in them."""
        augment = self.options.augment
        if self.from_maps:
            count = len(np.load(self.file, mmap_mode="r")) - 1
            points = np.stack([points for _, points in self.task.cached_crops(count, augment, self.seed)])
            return _CropMaps(self.file, points, self.seed, training)
        side = self.network.preprocess.size
        return _Crops(self.file, self.task, side, augment if training else None, self.seed)

    def loss_and_metric(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the mean absolute error."""
        inputs, target = batch
        known = ~torch.isnan(target)
        residual = torch.where(known, self(inputs) - target, 0)
        error = residual.abs().sum() / known.sum().clamp(min=1)
        if self.task.loss == "l1":
            return error, error.detach()
        return (residual**2).sum() / known.sum().clamp(min=1), error.detach()

    def val_metrics(self, answers: torch.Tensor) -> dict[str, float]:
        """The loss, and the mean absolute error; NaN where predictions are."""
        target = self.task.eval_crops(np.flatnonzero(self.validation))[1]
        residual = (answers.numpy() - target)[~np.isnan(target)]
        error = float(np.abs(residual).mean())
        loss = error if self.task.loss == "l1" else float((residual**2).mean())
        return {"val_loss": loss, "val_error": error}


@dataclass(frozen=True, eq=False)
class KeypointTask:
    """Photos with their points, and how they are cropped.

    Parameters
    ----------
    paths : sequence of path or bytes
        n photos.
    points : float64 ndarray (n, K, 2)
        In units of the sides; NaN where missing.
    true_crops : float64 ndarray (n, 2, 3)
        Crop transforms that training jitters.
    predicted_crops : float64 ndarray (n, 2, 3)
        Crop transforms as in prediction.
    jitter_std : JitterStd
    flip_idx : tuple of int or None
        The partner of each point in the mirrored photo.
    validation : bool ndarray (n,)
        Validation photos.
    preprocess : PreprocessSpec
        Of the photos before they are cropped.
    loss : {"l1", "l2"}
    """

    paths: Sequence[File]
    points: NDArray[np.float64]
    true_crops: NDArray[np.float64]
    predicted_crops: NDArray[np.float64]
    jitter_std: JitterStd
    flip_idx: tuple[int, ...] | None
    validation: NDArray[np.bool_]
    preprocess: PreprocessSpec
    loss: Literal["l1", "l2"] = "l1"

    # on a frozen trunk's last maps the head hardly beats the mean shape (benchmarks/RESULTS.md)
    head_first: ClassVar[bool] = False
    module_type: ClassVar[type[FineTuneModule]] = KeypointModule

    def eval_crops(self, rows: NDArray[np.intp]) -> Crops:
        """Crops of photos as in prediction, and the points in them."""
        crops = self.predicted_crops[rows]
        return crops, points_in_crops(crops, self.points[rows])

    def train_crops(self, rows: NDArray[np.intp], augment: str, rng: np.random.Generator) -> Crops:
        """Random crops of photos to train on, and the points in them."""
        if augment == "none":
            return self.eval_crops(rows)
        factor, std = _STRONG if augment == "strong" else 1.0, self.jitter_std
        std = JitterStd(factor * std.scale, factor * std.rotation, factor * std.shift)
        crops = jitter(self.true_crops[rows], std, rng)
        target = points_in_crops(crops, self.points[rows])
        if self.flip_idx is not None:
            flip = rng.random(len(rows)) < 0.5
            crops[flip] = flip_crops(crops)[flip]
            target[flip] = flip_points(target, self.flip_idx)[flip]
        return crops, target

    def cached_crops(self, count: int, augment: str, seed: int) -> list[Crops]:
        """The crops whose maps are cached for a frozen trunk: as in prediction, and `count` random ones."""
        rows = np.arange(len(self.points))
        rngs = [np.random.default_rng([seed, view]) for view in range(count)]
        return [self.eval_crops(rows), *(self.train_crops(rows, augment, rng) for rng in rngs)]

    def pixels(self, network: Network, to: Path) -> None:  # noqa: ARG002
        """Write the photos, preprocessed."""
        decode(self.paths, self.preprocess, to)

    def loaders(
        self, network: Network, pixels: Path, options: TrainingConfig, *, views: int, seed: int
    ) -> list[PhotoLoader]:
        """What gives crops of the photos, as in prediction and random ones."""
        side, augment = network.preprocess.size, options.augment
        array = np.load(pixels, mmap_mode="r")
        rng = np.random.default_rng(seed)

        def load(view: int, crops: Crops, rows: list[int]) -> torch.Tensor:
            pixels = _crop(to_tensor(array[rows]), torch.from_numpy(crops[0][rows]).float(), side)
            return _to_uint8(_color_jitter(pixels, augment, rng) if view else pixels)

        cached = self.cached_crops(views, augment, seed)
        return [partial(load, view, crops) for view, crops in enumerate(cached)]


def predict_all(network: KeypointNetwork, task: KeypointTask, pixels: Path) -> NDArray[np.float32]:
    """Outputs of the network for all photos, cropped as in prediction: points and pooled maps (n, 2K + C).

    `pixels` is the file that `KeypointTask.pixels` wrote; the network is on the CPU.
    """
    array = np.load(pixels, mmap_mode="r")
    outputs = []
    network.eval()
    for start in range(0, len(array), _BATCH):
        rows = slice(start, start + _BATCH)
        crops = torch.from_numpy(task.predicted_crops[rows]).float()
        cropped = _to_uint8(_crop(to_tensor(array[rows]), crops, network.preprocess.size))
        outputs.append(by_torch(network, network.predict, cropped))
    return np.concatenate(outputs)


def _crop(photos: torch.Tensor, crop_transforms: torch.Tensor, side: int) -> torch.Tensor:
    """Crops by transforms (N, 2, 3), float32 (N, 3, side, side); as `graphs.keypoints` does it."""
    linear, shift = crop_transforms[:, :, :2], crop_transforms[:, :, 2:]
    # torch counts from -1 to 1 over the crop and over the photo
    theta = torch.cat([linear, linear.sum(2, keepdim=True) + 2 * shift - 1], dim=2)
    grid = torch.nn.functional.affine_grid(theta, [len(photos), 3, side, side], align_corners=False)
    return torch.nn.functional.grid_sample(
        photos.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _to_uint8(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels + 0.5).floor().clamp(0, 255).byte()


def _color_jitter(pixels: torch.Tensor, augment: str | None, rng: np.random.Generator) -> torch.Tensor:
    """Brightness, and contrast, each by a random factor for each crop."""
    if augment not in ("default", "strong"):
        return pixels
    factors = torch.from_numpy(1 + _BRIGHTNESS * rng.uniform(-1, 1, (2, len(pixels), 1, 1, 1))).float()
    if augment == "strong":
        mean = pixels.mean((1, 2, 3), keepdim=True)
        pixels = mean + factors[1] * (pixels - mean)
    return pixels * factors[0]
