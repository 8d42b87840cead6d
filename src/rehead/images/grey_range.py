"""Grey values of more than 8 bits: which of them are black and white.

A file of 16 bits often holds the 10 or 12 that the camera gave. What the file says itself counts first
(`own_range`); where it says nothing, a folder has one range for all of its photos (`find_grey_range`), so
that a dark photo stays darker than a bright one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..core.parallel import map_in_order
from ..core.photos import File
from ..core.preprocess import GreyRange
from ..errors import ImageError
from .formats import open_image, reading
from .limits import decoding, pixel_limit

__all__ = ["eight_bits", "find_grey_range", "has_more_than_8_bits", "own_range", "photo_range", "strips"]

_WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # of 8, 10, 12, 14 and 16 bits, as cameras have
_OLD_WHITES = {"F": (1.0, 255.0, 65535.0), "I": (65535.0,)}  # before rehead knew ranges
_STRIP = 1 << 20  # pixels converted at a time, some 10 MB
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281  # TIFF 6.0
_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def has_more_than_8_bits(image: Image.Image) -> bool:
    """Whether the picture holds grey values of 16 or 32 bits, or floats."""
    return image.mode.startswith(("I", "F"))


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Parts of the picture, of its whole width, from top to bottom, each with the row at which it begins."""
    rows = max(1, _STRIP // max(image.width, 1))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


@dataclass(frozen=True)
class _Values:
    """Finite values of a picture: least and largest, all bits that are used, and whether they are floats."""

    low: float
    high: float
    bits: int
    floats: bool


def _values(image: Image.Image) -> _Values | None:
    """What values the picture has; None where none is finite."""
    lows, highs, bits = [], [], 0
    floats = image.mode.startswith("F")
    for _, strip in strips(image):
        array = np.asarray(strip)
        if floats:
            array = array[np.isfinite(array)]
        elif array.size:
            bits |= int(np.bitwise_or.reduce(array, axis=None))
        if array.size:
            lows.append(float(array.min()))
            highs.append(float(array.max()))
    return _Values(min(lows), max(highs), bits, floats) if lows else None


def _range_of(low: float, high: float, whites: Sequence[float]) -> GreyRange:
    """Black and white for values from `low` to `high`: 0 and the first white that holds them, else these."""
    if low >= 0 and high <= whites[-1]:
        return 0.0, next(white for white in whites if high <= white)
    return low, high if high > low else low + 1.0


def _whites(floats: bool) -> tuple[float, ...]:
    return (1.0, *_WHITES) if floats else _WHITES


def photo_range(image: Image.Image, data: bytes) -> GreyRange:
    """Black and white of one photo by itself: what it says, else by its largest value."""
    if (own := own_range(image, data)) is not None:
        return own
    found = _values(image)
    return (0.0, 1.0) if found is None else _range_of(found.low, found.high, _whites(found.floats))


def range_before(image: Image.Image) -> GreyRange:
    """Black and white as models have them whose record says nothing of it."""
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    found = _values(image)
    return (0.0, 1.0) if found is None else _range_of(found.low, found.high, _OLD_WHITES[image.mode[0]])


def own_range(image: Image.Image, data: bytes) -> GreyRange | None:
    """Black and white by what the file says of its own depth; None where that says nothing."""
    kind = image.format
    if kind == "PNG" and (bits := _significant_bits(data)):
        # By the standard the values fill all 16 bits; many writers leave them as they came, in the lowest
        found = _values(image)
        as_they_came = found is not None and found.high < 1 << bits and found.bits & ((1 << (16 - bits)) - 1)
        return 0.0, float((1 << bits) - 1) if as_they_came else 65535.0
    if kind == "TIFF" and isinstance(image, ImageFile.ImageFile):
        tags = getattr(image, "tag_v2", {})
        depth, white = _first(tags.get(_BITS_PER_SAMPLE)), _first(tags.get(_MAX_SAMPLE_VALUE))
        if 8 < depth < 16:
            return 0.0, float((1 << depth) - 1)
        if 255 <= white < (1 << depth) - 1 and image.mode.startswith("I") and _least(image) >= 0:
            return 0.0, float(white)
    if kind in ("PPM", "JPEG2000"):  # Pillow brings both to 16 bits by the depth that their headers give
        return 0.0, 65535.0
    return None


def _least(image: Image.Image) -> float:
    found = _values(image)
    return 0.0 if found is None else found.low


def _first(tag: object) -> int:
    """A number of a TIFF tag, which may be a tuple of them; 0 where there is none."""
    value = tag[0] if isinstance(tag, tuple) and tag else tag
    return int(value) if isinstance(value, int) else 0


def _significant_bits(data: bytes) -> int:
    """9 to 15 where a PNG's sBIT chunk says so, else 0."""
    at = len(_PNG)
    while data[at + 4 : at + 8] not in (b"IDAT", b""):
        if data[at + 4 : at + 8] == b"sBIT":
            bits = data[at + 8]
            return bits if 8 < bits < 16 else 0
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return 0


def eight_bits(image: Image.Image, limits: GreyRange) -> Image.Image:
    """Grey values from black to white as 0..255, mode "L"; those beyond are clipped, NaN is black."""
    low, high = limits
    grey = Image.new("L", image.size)
    for top, strip in strips(image):
        scaled = (np.asarray(strip).astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
        levels: NDArray[np.uint8] = np.rint(np.nan_to_num(scaled).clip(0, 255)).astype(np.uint8)
        grey.paste(Image.fromarray(levels), (0, top))
    return grey


def find_grey_range(photos: Iterable[File], *, threads: int | None = None) -> GreyRange | None:
    """Black and white of a folder's photos of more than 8 bits that do not say it themselves.

    Parameters
    ----------
    photos : iterable of path or bytes
        Of most, only the first bytes are read; photos that cannot be read are passed over.
    threads : int, optional

    Returns
    -------
    (low, high) or None
        0 and the largest value of 8, 10, 12, 14 or 16 bits (1 for floats up to that) that holds all values;
        the least and the largest value themselves where there are negative or larger ones. None where
        all photos have 8 bits.
    """
    each = [found for found in map_in_order(_undeclared, photos, threads=threads) if found is not None]
    if not each:
        return None
    low, high = min(found.low for found in each), max(found.high for found in each)
    return _range_of(low, high, _whites(all(found.floats for found in each)))


def _undeclared(photo: File) -> _Values | None:
    """The values of a photo of more than 8 bits; those of its range where it declares one."""
    try:
        if not _may_have_more(photo):
            return None
        with reading(photo) as data:
            image = open_image(data, pixel_limit())
            if not has_more_than_8_bits(image):
                return None
            with decoding(image.width * image.height, also=len(data)):
                image.load()
                if (own := own_range(image, data)) is not None:
                    return _Values(*own, 0, floats=False)
                return _values(image)
    except ImageError:
        return None


def _may_have_more(photo: File) -> bool:
    """Whether the first bytes are those of a TIFF, or of a grey PNG of 16 bits."""
    try:
        head = photo[:26] if isinstance(photo, bytes) else _head(photo)
    except (OSError, ValueError):
        return False
    grey16 = head.startswith(_PNG) and head[24:26] == b"\x10\x00"
    return grey16 or head.startswith(_TIFF)


def _head(path: str | os.PathLike[str]) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(26)
