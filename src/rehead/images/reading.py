"""Decoding of photos, from paths or bytes.

All functions may run in several threads at once; Pillow releases the interpreter lock while it
decodes and resizes. Whatever is wrong with a photo is an `ImageError` that names it.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..core.preprocess import GreyRange, PreprocessSpec
from ..errors import DataError, ImageError
from .exif import orientation_of, upright_size
from .formats import JPEG, open_image, reading
from .grey_range import (
    eight_bits,
    has_more_than_8_bits,
    own_range,
    photo_range,
    range_before,
    strips,
)
from .jpeg_markers import END, check_scans, lacks_end
from .limits import check_pixels, decoding, is_truncation, pixel_limit
from .writing import jpeg

__all__ = ["load_image", "luma", "read_image", "thumbnail"]

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
    max_pixels: int | None = None,
) -> NDArray[np.uint8]:
    """Decode a photo: upright, 8 bits, RGB, transparency over white, the first frame.

    A path and its bytes give the identical array. The content decides about the format, not the
    name. Colour profiles are not applied. Grey values of more than 8 bits are brought to 0..255 by the
    depth that the file gives (a PNG's significant bits, a TIFF's BitsPerSample and MaxSampleValue), else
    by the smallest of 8, 10, 12, 14 and 16 bits (and 1, for floats) that holds them all; where there are
    negative or larger values, from the least to the largest. A JPEG of which only the end marker is
    missing is read.

    Parameters
    ----------
    source : path or bytes
        The file, or its contents.
    at_least : (width, height), optional
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is faster, as long as the upright
        photo is at least as large as this in both directions. Other formats come whole.
    max_pixels : int, optional
        Limit on width times height of what is held, checked before anything is decoded: of a JPEG at the
        reduced scale, unless it is progressive. By default that of `set_max_pixels`, 89 million.

    Returns
    -------
    uint8 array of shape (height, width, 3), RGB, 0..255, writable

    Raises
    ------
    ImageError
        The file cannot be read, is no image, is damaged or has more than `max_pixels` pixels.
        HEIC needs `pip install 'rehead[heif]'`.
    MachineError
        There is not memory enough, or the disk fails.
    """
    if at_least is not None and min(at_least) < 1:
        raise DataError(f"at_least must be a width and a height of 1 pixel or more, not {at_least}")
    with _upright(source, lambda _: at_least, max_pixels, photo_range) as (image, _):
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        for top, strip in strips(image):
            pixels[top : top + strip.height] = np.asarray(strip.convert("RGB"))
    return pixels


def load_image(
    source: str | os.PathLike[str] | bytes, spec: PreprocessSpec, *, max_pixels: int | None = None
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
    max_pixels : int, optional
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
    size = spec.size, spec.size

    def grey_range(image: Image.Image, data: bytes) -> GreyRange:
        return own_range(image, data) or spec.grey_range or range_before(image)

    with _upright(source, lambda _: (least, least), max_pixels, grey_range) as (image, _):
        square = image.resize(size, _FILTERS[spec.interpolation], spec.crop_box(*image.size))
    return np.array(square.convert("RGB"))


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels, float32 (H, W), 0..255, of RGB pixels, uint8 (H, W, 3)."""
    return np.asarray(pixels.astype(np.float32) @ _LUMA)


def thumbnail(
    source: str | os.PathLike[str] | bytes, side: int, *, quality: int = 80, max_pixels: int | None = None
) -> bytes:
    """Return a small JPEG of the upright photo, without its metadata, for reports.

    The longer side has `side` pixels, or what the photo has where that is less; the aspect is kept.
    `quality` is Pillow's, 1 to 95.

    Raises
    ------
    ImageError
        As `read_image`.
    """

    def small(size: tuple[int, int]) -> tuple[int, int]:
        scale = min(1.0, side / max(size))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    with _upright(source, small, max_pixels, photo_range) as (image, size):
        upright = image.resize(small(size), Image.Resampling.BICUBIC)
    return jpeg(np.asarray(upright.convert("RGB")), quality=quality)


LeastSize = Callable[[tuple[int, int]], tuple[int, int] | None]  # from the size of the upright photo
RangeOf = Callable[[Image.Image, bytes], GreyRange]


@contextlib.contextmanager
def _upright(
    source: str | os.PathLike[str] | bytes, at_least: LeastSize, max_pixels: int | None, grey_range: RangeOf
) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """The decoded photo, upright, "L" or "RGB", and its whole size; its memory is reserved meanwhile."""
    with reading(source) as data:
        image, size = _open_reduced(data, at_least, pixel_limit(max_pixels))
        orientation = orientation_of(image, data)
        with decoding(image.width * image.height, also=len(data) + _beside(image, size)):
            upright = _eight_bit(_loaded(image, data, at_least), data, grey_range)
            del image
            if orientation in _TURNS:
                upright = upright.transpose(_TURNS[orientation])
            with contextlib.closing(upright):  # gone before others may decode, whoever refers to it
                yield upright, size


def _open_reduced(
    data: bytes, at_least: LeastSize, limit: int
) -> tuple[ImageFile.ImageFile, tuple[int, int]]:
    """The photo with its header read, set to be decoded at the least size; and the size it has upright."""
    image = open_image(data, limit)
    size = upright_size(image, data)
    if image.format in JPEG:
        check_scans(data, image.width * image.height)
        if _is_progressive(image):  # it is held as a whole, whatever the scale
            check_pixels(*image.size, limit)
        if (least := at_least(size)) is not None:
            image.draft("RGB", least if size == image.size else least[::-1])
        check_pixels(*image.size, limit)
    return image, size


def _is_progressive(image: Image.Image) -> bool:
    return bool(image.info.get("progressive"))


def _beside(image: Image.Image, size: tuple[int, int]) -> int:
    """Bytes that the decoder keeps beside the picture.

    libjpeg has the coefficients of a progressive JPEG, three channels of 16 bits; libavif and libheif have
    a second picture.
    """
    if image.format in JPEG:
        return 6 * size[0] * size[1] if _is_progressive(image) else 0
    return 4 * size[0] * size[1] if image.format in ("AVIF", "HEIF") else 0


def _loaded(image: ImageFile.ImageFile, data: bytes, at_least: LeastSize) -> Image.Image:
    """The photo, decoded."""
    size = image.size
    if image.format == "WEBP" and hasattr(image, "_decoder"):
        return _webp_frame(image)
    try:
        image.load()
    except OSError as error:
        if not (is_truncation(error) and image.format in JPEG and lacks_end(data)):
            raise
        return _decoded_without_end(data, at_least, error)
    vars(image).pop("_decoder", None)  # in which Pillow keeps another picture, of AVIF
    if image.size != size or image.im.size != size:
        raise ImageError(
            None, f"damaged: its header says {size[0]} x {size[1]} pixels, its picture has another size"
        )
    return image


def _webp_frame(image: ImageFile.ImageFile) -> Image.Image:
    """The first frame of a WebP, as Pillow reads it, without its decoder, which holds two more, and its copy.

    It takes 12 bytes a pixel instead of 16.
    """
    frame = vars(image).pop("_decoder").get_next()
    if frame is None:
        raise EOFError("truncated")
    mode = "RGBA" if image.mode == "RGBA" else "RGBX"
    return Image.frombuffer(mode, image.size, frame[0], "raw", mode, 0, 1)


# Two ways to go on where the file stops: if they give different pictures, some of the picture itself is
# missing, and if not, nothing but the end marker is.
_TAILS = (END, b"\x55" * 64 + END)


def _decoded_without_end(data: bytes, at_least: LeastSize, error: OSError) -> Image.Image:
    """The photo, where only its end marker is missing; else the error."""
    pictures = []
    for tail in _TAILS:
        image, _ = _open_reduced(data + tail, at_least, sys.maxsize)  # the limit was looked at before
        image.load()
        pictures.append(image)
    pairs = zip(*map(strips, pictures), strict=True)
    if any(one.tobytes() != other.tobytes() for (_, one), (_, other) in pairs):
        raise error
    return pictures[0]


def _eight_bit(image: Image.Image, data: bytes, grey_range: RangeOf) -> Image.Image:
    """The picture as "L" or "RGB", over white where it is transparent."""
    if has_more_than_8_bits(image):
        return eight_bits(image, grey_range(image, data))
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    page = Image.new("RGB", image.size, "white")
    for top, strip in strips(image):
        if image.has_transparency_data:
            colours = strip.convert("RGBA")
            page.paste(colours, (0, top), colours)
        else:
            page.paste(strip.convert("RGB"), (0, top))
    return page
