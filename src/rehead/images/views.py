"""Views of a photo: the same picture as another camera, another app or another light would have given it.

They work on the pixels that a network gets, so that a photo is decoded once, and any room can use them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from .writing import jpeg

__all__ = ["CAMERA_VIEWS", "camera_view"]

_COARSER = 5  # times: 51 of 256 pixels
_QUALITY = 15  # Pillow's, of a JPEG; where blocks begin to show is 30
_DARKER, _BRIGHTER = 0.4, 1.7  # times the brightness; these five and their strengths by benchmarks/camera.py


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _coarse(image: Image.Image) -> Image.Image:
    small = max(1, image.width // _COARSER), max(1, image.height // _COARSER)
    return image.resize(small, Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


def _compressed(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(np.asarray(image), quality=_QUALITY))).convert("RGB")


def _brightness(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


CAMERA_VIEWS: Mapping[str, Callable[[Image.Image], Image.Image]] = MappingProxyType(
    {
        "grey": _grey,
        "blurred or small": _coarse,
        "strongly compressed": _compressed,
        "dark": _brightness(_DARKER),
        "bright": _brightness(_BRIGHTER),
    }
)
"""Every view by the word for photos that look so. What a view does is part of its name in caches: a view that
is changed needs another name."""


def camera_view(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A view of a photo.

    Parameters
    ----------
    pixels : uint8 ndarray (height, width, 3), RGB
        Not changed.
    name : str
        One of `CAMERA_VIEWS`.

    Returns
    -------
    uint8 ndarray of the same shape
    """
    return np.array(CAMERA_VIEWS[name](Image.fromarray(pixels)))
