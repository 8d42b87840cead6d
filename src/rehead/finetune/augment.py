"""Augmentation of training photos: presets of torchvision's transforms.

Never for validation and test photos. Works on uint8 tensors of one photo; given a batch, a transform of
torchvision would apply the same draw to all its photos.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from ..errors import DataError, UnknownNameError
from ..images import PreprocessSpec, load_image

__all__ = ["PRESETS", "augmentation", "preview"]

PRESETS = ("none", "flip-rotate", "light", "default", "strong")
"""`flip-rotate`: as in Keras' tutorials; `light`: flip, small shift and zoom; `default`: also rotation, shear
and brightness; `strong`: also RandAugment and random erasing."""

_GREY = 128.0  # fill of erased pixels and of those from outside the photo: the middle of 0..255
_GAP = 2  # pixels between the views of a preview


def augmentation(preset: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The transform of a preset.

    Parameters
    ----------
    preset : str
        One of `PRESETS`.

    Returns
    -------
    callable
        uint8 photo (3, S, S), RGB, to another of the same shape and dtype. Draws from torch's generator, so
        `torch.manual_seed` repeats it.

    Raises
    ------
    UnknownNameError
        Unknown preset.
    """
    if preset not in PRESETS:
        raise UnknownNameError("augmentation", preset, PRESETS)
    transforms = {
        "none": [v2.Identity()],
        # RandomFlip("horizontal") and RandomRotation(0.2), a fraction of a full turn in either direction
        "flip-rotate": [v2.RandomHorizontalFlip(), _affine(degrees=72, shift=0, zoom=0, shear=0)],
        "light": [v2.RandomHorizontalFlip(), _affine(degrees=0, shift=0.05, zoom=0.1, shear=0)],
        # shift, zoom and shear of the Keras tutorials' ImageDataGenerator, and a moderate rotation
        "default": _default(),
        # RandAugment as Cubuk et al. 2020, 2 operations of magnitude 9; erasing as Zhong et al. 2020, with
        # the probability of timm's recipes
        "strong": [
            *_default(),
            v2.RandAugment(2, 9, interpolation=v2.InterpolationMode.BILINEAR, fill=_GREY),
            v2.RandomErasing(p=0.25, value=_GREY),
        ],
    }
    return v2.Compose(transforms[preset])


def _default() -> list[v2.Transform]:
    return [
        v2.RandomHorizontalFlip(),
        _affine(degrees=15, shift=0.1, zoom=0.2, shear=10),
        v2.ColorJitter(brightness=0.2),
    ]


def _affine(*, degrees: float, shift: float, zoom: float, shear: float) -> v2.Transform:
    """Rotation, shift, zoom and shear in one resampling, so that nothing blurs twice."""
    return v2.RandomAffine(
        degrees,
        translate=(shift, shift),
        scale=(1 - zoom, 1 + zoom),
        shear=shear or None,
        interpolation=v2.InterpolationMode.BILINEAR,
        fill=_GREY,
    )


def preview(
    photos: Sequence[str | os.PathLike[str]],
    preset: str = "default",
    *,
    count: int = 10,
    size: int = 160,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """An image of a preset's effect: a row for each photo, first unchanged, then `count` augmented views.

    Parameters
    ----------
    photos : sequence of paths
        One or more.
    preset : str
        One of `PRESETS`.
    count : int
        Views of each photo, at least 1.
    size : int
        Side of each view, pixels.
    seed : int
        The same seed gives the same views.

    Returns
    -------
    uint8 ndarray (rows, columns, 3)
        RGB, on white.

    Raises
    ------
    DataError, UnknownNameError, ImageError
        No photo, a count below 1, an unknown preset, or a photo that cannot be read.
    """
    if not photos or count < 1:
        raise DataError(f"a preview needs a photo and a view or more, not {len(photos)} and {count}")
    augment = augmentation(preset)
    spec = PreprocessSpec(size, (0, 0, 0), (255, 255, 255))
    step = size + _GAP
    grid = np.full((len(photos) * step - _GAP, (count + 1) * step - _GAP, 3), 255, np.uint8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for row, path in enumerate(photos):
            pixels = load_image(path, spec)
            photo = torch.from_numpy(pixels).permute(2, 0, 1)
            views = [pixels, *(augment(photo).permute(1, 2, 0).numpy() for _ in range(count))]
            for column, view in enumerate(views):
                grid[row * step : row * step + size, column * step : column * step + size] = view
    return grid
