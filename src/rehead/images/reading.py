"""Decoding of photos, from paths or bytes.

All functions may run in several threads at once; Pillow releases the interpreter lock while it
decodes and resizes. Whatever is wrong with a photo is an `ImageError` that names it.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..core.preprocess import PreprocessSpec
from ..errors import DataError
from .exif import orientation_of, upright_size
from .formats import MAX_PIXELS, open_image, reading
from .writing import jpeg

__all__ = ["load_image", "luma", "read_image", "thumbnail"]


_JPEG = ("JPEG", "MPO")  # MPO: a JPEG with more JPEGs behind it
_TURNS = {  # EXIF 2.32, table 6: tag 0x0112
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as in JPEG
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Decode a photo: upright, 8 bits, RGB, transparency over white, the first frame.

    A path and its bytes give the identical array. The content decides about the format, not the
    name. Colour profiles are not applied. Grey values of 16 bits are divided by 257; those of 32 bits
    and of floats by the smallest of 1 (floats), 255 (floats) and 65535 that holds them all, and are
    otherwise stretched from their minimum to their maximum.

    Parameters
    ----------
    source : path or bytes
        The file, or its contents.
    at_least : (width, height), optional
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is faster, as long as the upright
        photo is at least as large as this in both directions. Other formats come whole.
    max_pixels : int
        Limit on width times height, checked in the header before anything is decoded. Above
        twice `PIL.Image.MAX_IMAGE_PIXELS` Pillow's own limit holds.

    Returns
    -------
    uint8 array of shape (height, width, 3), RGB, 0..255, writable

    Raises
    ------
    ImageError
        The file cannot be read, is no image, is damaged or has more than `max_pixels` pixels.
        HEIC needs `pip install 'rehead[heif]'`.
    """
    if at_least is not None and min(at_least) < 1:
        raise DataError(f"at_least must be a width and a height of 1 pixel or more, not {at_least}")
    with reading(source) as data:
        image = _upright(open_image(data, max_pixels), data, at_least)
    return np.array(image)


def load_image(
    source: str | os.PathLike[str] | bytes, spec: PreprocessSpec, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a photo and bring it to the square that `spec` says: what every model gets.

    For an RGB JPEG and "squash" this is, in plain Pillow with S = spec.size::

        image = Image.open(path)
        image.draft("RGB", (S, S))
        image = ImageOps.exif_transpose(image).convert("RGB").resize((S, S), Image.Resampling.BILINEAR)

    Order of colours, mean, std and layout belong to the network's graph, not to this function.

    Parameters
    ----------
    source : path or bytes
        The file, or its contents.
    spec : PreprocessSpec
        Size, rule and filter.
    max_pixels : int
        As in `read_image`.

    Returns
    -------
    uint8 array of shape (S, S, 3), RGB, 0..255, writable

    Raises
    ------
    ImageError
        As `read_image`.
    """
    fraction = spec.crop_fraction if spec.resize == "crop" else 1.0
    least = math.ceil(spec.size / fraction)
    with reading(source) as data:
        image = _upright(open_image(data, max_pixels), data, (least, least))
    size = spec.size, spec.size
    return np.array(image.resize(size, _FILTERS[spec.interpolation], spec.crop_box(*image.size)))


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels, float32 (H, W), 0..255, of RGB pixels, uint8 (H, W, 3)."""
    return np.asarray(pixels.astype(np.float32) @ _LUMA)


def thumbnail(
    source: str | os.PathLike[str] | bytes, side: int, *, quality: int = 80, max_pixels: int = MAX_PIXELS
) -> bytes:
    """Return a small JPEG of the upright photo, without its metadata, for reports.

    The longer side has `side` pixels, or what the photo has where that is less; the aspect is kept.
    `quality` is Pillow's, 1 to 95.

    Raises
    ------
    ImageError
        As `read_image`.
    """
    with reading(source) as data:
        image = open_image(data, max_pixels)
        width, height = upright_size(image, data)
        scale = min(1.0, side / max(width, height))
        small = max(1, round(width * scale)), max(1, round(height * scale))
        upright = _upright(image, data, small)
    return jpeg(np.asarray(upright.resize(small, Image.Resampling.BICUBIC)), quality=quality)


def _upright(image: ImageFile.ImageFile, data: bytes, at_least: tuple[int, int] | None) -> Image.Image:
    """Decode to RGB and apply the orientation."""
    orientation = orientation_of(image, data)
    if at_least is not None and image.format in _JPEG:
        image.draft("RGB", at_least if orientation < 5 else at_least[::-1])
    image.load()
    rgb = _rgb(image)
    return rgb.transpose(_TURNS[orientation]) if orientation in _TURNS else rgb


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(colours, mask=colours)
        return page
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Bring grey values of 16 or 32 bits or floats to 0..255, as `read_image` says."""
    values = np.asarray(image).astype(np.float32)
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        low, high = _value_range(values, (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,))
    scaled = (values - low) * (255.0 / (high - low))
    return np.asarray(np.rint(np.nan_to_num(scaled).clip(0, 255)), np.uint8)


def _value_range(values: NDArray[np.float32], full_scales: tuple[float, ...]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low >= 0 and high <= full_scales[-1]:
        return 0.0, next(full_scale for full_scale in full_scales if high <= full_scale)
    return low, high if high > low else low + 1.0
