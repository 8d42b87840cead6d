"""What a photo's file says of it besides the pixels: how large it is, when and with what it was taken."""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass

from PIL import ExifTags, Image

from .reading import MAX_PIXELS, _open, _reading, _upright_size

__all__ = ["Header", "camera_number", "read_header"]


@dataclass(frozen=True)
class Header:
    """What a file says of its photo.

    Parameters
    ----------
    width, height : int
        Of the upright photo, pixels.
    taken : float or None
        When it was taken: seconds, by the camera's clock, which knows no time zone; None where the
        file does not say.
    camera : str
        Maker and model, "" where the file does not say.
    """

    width: int
    height: int
    taken: float | None
    camera: str


def read_header(source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read a photo's size and EXIF; damaged EXIF counts as none.

    Raises
    ------
    ImageError
        As `image_size`.
    """
    with _reading(source) as data:
        image = _open(data, max_pixels)
        width, height = _upright_size(image, data)
        if b"Exif" not in data and b"eXIf" not in data and image.format != "TIFF":
            return Header(width, height, None, "")  # Pillow would decode a whole PNG to look
        try:
            exif = image.getexif()
            taken, camera = _taken(exif), _camera(exif)
        except Exception:  # damaged metadata of a sound picture
            return Header(width, height, None, "")
    return Header(width, height, taken, camera)


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
