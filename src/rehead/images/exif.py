"""A photo's header: its size and orientation, and when and by which camera it was taken."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
from dataclasses import dataclass

from PIL import ExifTags, Image

from .formats import JPEG, open_image, reading
from .jpeg_markers import lacks_end
from .limits import decoding, pixel_limit

__all__ = [
    "Header",
    "camera_number",
    "image_size",
    "orientation_of",
    "read_clock",
    "read_header",
    "upright_size",
]

_TIFF = (b"II", b"MM")  # how its files begin, by their byte order
_PNG_ORIENTATION_MARKS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")


@dataclass(frozen=True)
class Header:
    """Header of a photo.

    Parameters
    ----------
    width, height : int
        Of the upright photo, pixels.
    taken : float or None
        When it was taken: seconds, by the camera's clock, which knows no time zone; None where the
        file does not say.
    camera : str
        Maker and model, "" where the file does not say.
    ended : bool
        False for a JPEG whose end marker is missing: the file was cut off, or its writer was.
    """

    width: int
    height: int
    taken: float | None
    camera: str
    ended: bool = True


def read_header(source: str | os.PathLike[str] | bytes, *, max_pixels: int | None = None) -> Header:
    """Read a photo's size and EXIF; damaged EXIF counts as none.

    Raises
    ------
    ImageError
        As `image_size`.
    """
    with reading(source) as data:
        image = open_image(data, pixel_limit(max_pixels))
        width, height = upright_size(image, data)
        taken, camera = _clock(image) if _may_have_exif(data) else (None, "")  # else a whole PNG is decoded
        ended = image.format not in JPEG or not lacks_end(data)
    return Header(width, height, taken, camera, ended)


def read_clock(source: str | os.PathLike[str] | bytes) -> tuple[float | None, str]:
    """When and by which camera a photo was taken, as in `Header`; without EXIF nothing but its bytes is read.

    Raises
    ------
    ImageError
        As `image_size`, where there may be EXIF.
    """
    with reading(source) as data:
        return _clock(open_image(data, pixel_limit(None))) if _may_have_exif(data) else (None, "")


def image_size(source: str | os.PathLike[str] | bytes, *, max_pixels: int | None = None) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright photo, from its header.

    Pixels are decoded only for a PNG that carries EXIF or XMP, which may stand behind them.

    Raises
    ------
    ImageError
        The file cannot be read, is no image, or has more than `max_pixels` pixels (a JPEG may have more).
    """
    with reading(source) as data:
        return upright_size(open_image(data, pixel_limit(max_pixels)), data)


def _may_have_exif(data: bytes) -> bool:
    return b"Exif" in data or b"eXIf" in data or data[:2] in _TIFF


def _clock(image: Image.Image) -> tuple[float | None, str]:
    with contextlib.suppress(Exception):  # damaged metadata of a sound picture
        exif = image.getexif()
        return _taken(exif), _camera(exif)
    return None, ""


def _taken(exif: Image.Exif) -> float | None:
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    text = str(inner.get(ExifTags.Base.DateTimeOriginal, "")).strip(" \0")
    try:
        clock = datetime.datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    part = str(inner.get(ExifTags.Base.SubsecTimeOriginal, "")).strip(" \0")
    return clock.timestamp() + (float(f"0.{part}") if part.isascii() and part.isdigit() else 0.0)


def _camera(exif: Image.Exif) -> str:
    parts = (str(exif.get(tag, "")).strip(" \0") for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return " ".join(part for part in parts if part)


def camera_number(camera: str) -> int:
    """A number for a camera's name, 0 where there is none."""
    digest = hashlib.sha256(camera.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "little") if camera else 0


def orientation_of(image: Image.Image, data: bytes) -> int:
    """Return the EXIF orientation that is still to be applied, 1 to 8."""
    if image.format == "TIFF":
        return 1  # Pillow applies it itself
    if image.format == "PNG" and not any(mark in data for mark in _PNG_ORIENTATION_MARKS):
        return 1  # it may stand behind the pixels, so Pillow would decode them for it
    try:
        if image.format != "PNG":
            orientation = image.getexif().get(ExifTags.Base.Orientation)
        else:
            with decoding(image.width * image.height):
                orientation = image.getexif().get(ExifTags.Base.Orientation)
    except MemoryError:
        raise
    except Exception:  # damaged metadata of a sound picture
        return 1
    return next((n for n in range(2, 9) if n == orientation), 1)


def upright_size(image: Image.Image, data: bytes) -> tuple[int, int]:
    """Width and height in pixels of an opened photo once its orientation is applied."""
    width, height = image.size
    return (height, width) if orientation_of(image, data) >= 5 else (width, height)
