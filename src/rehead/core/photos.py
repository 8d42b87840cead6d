"""What callers give as photos, brought to paths and bytes.

Everything below reads a path, or the bytes of an image file. Pixels and Pillow images become the bytes
of an uncompressed file, so that orientation, transparency and depth are treated the same everywhere.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["File", "Photo", "Photos", "as_file", "as_files", "name_of"]


class _PillowImage(Protocol):
    """`PIL.Image.Image`, as far as it is used here: this room does not import Pillow."""

    @property
    def has_transparency_data(self) -> bool: ...
    def getexif(self) -> Any: ...
    def convert(self, mode: str) -> Any: ...
    def save(self, fp: Any, format: str | None = None, **params: Any) -> None: ...  # noqa: A002


File: TypeAlias = str | os.PathLike[str] | bytes
"""A path, or the bytes of an image file."""

Photo: TypeAlias = File | bytearray | memoryview | IO[bytes] | NDArray[np.uint8] | _PillowImage
"""One photo: a `File`, a file opened for reading bytes, a Pillow image, or pixels, uint8 (H, W, 3) RGB or
(H, W) grey, upright."""

Photos: TypeAlias = Photo | Iterable[Photo]
"""One photo or several: a sequence, an iterator, pixels (n, H, W, 3), or a column of a data frame."""

_EXPECTED = (
    "expected a path, bytes, a file opened in binary mode, a Pillow image, or uint8 pixels of shape "
    "(height, width, 3) or (height, width)"
)
_ORIENTATION = 0x0112  # EXIF 2.32, table 6


def as_file(photo: Photo) -> File:
    """A path or bytes that hold this one photo.

    Parameters
    ----------
    photo : path, bytes, bytearray, memoryview, binary file, Pillow image or uint8 ndarray
        A file is read from its start where it can be, as Pillow does.

    Raises
    ------
    DataError
        It is of another type, shape or dtype.
    """
    if isinstance(photo, str | os.PathLike | bytes):
        return photo
    if isinstance(photo, bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, np.ndarray):
        return _portable_pixmap(photo)
    if hasattr(photo, "getexif"):
        return _tiff(cast(_PillowImage, photo))
    if hasattr(photo, "read"):
        return _contents(photo)
    raise DataError(f"a photo was given as {_kind(photo)}; {_EXPECTED}")


def as_files(photos: Photos) -> Iterator[File]:
    """Paths or bytes of one photo or several, one by one as they are needed.

    Raises
    ------
    DataError
        As `as_file`, which says the number of the photo, counted from 0.
    """
    if (several := _several(photos)) is None:
        yield as_file(photos)  # type: ignore[arg-type]
        return
    for number, photo in enumerate(several):
        try:
            yield as_file(photo)
        except DataError as error:
            raise DataError(f"photo {number}: {error}") from None


def name_of(file: File) -> str:
    """The path of a photo, "" where it came as bytes."""
    return "" if isinstance(file, bytes) else os.fspath(file)


def _several(photos: Any) -> Iterable[Any] | None:
    """What to iterate over, None where this is one photo."""
    if hasattr(photos, "iloc"):  # of pandas: iterating over a frame would give the names of its columns
        photos = photos.to_numpy(dtype=object)
    if isinstance(photos, np.ndarray):
        if photos.dtype == np.uint8:
            return photos if photos.ndim == 4 else None
        return photos.ravel() if photos.ndim == 1 or photos.shape[1:] == (1,) else None
    one = isinstance(photos, str | os.PathLike | bytes | bytearray | memoryview | dict | set | frozenset)
    if one or hasattr(photos, "read") or hasattr(photos, "getexif") or not hasattr(photos, "__iter__"):
        return None
    several: Iterable[Any] = photos
    return several


def _portable_pixmap(pixels: NDArray[Any]) -> bytes:
    """A PPM or PGM file: a line of text and the pixels as they are."""
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2) or not pixels.size:
        raise DataError(f"a photo was given as {_kind(pixels)}; {_EXPECTED}")
    header = f"{'P6' if colour else 'P5'} {pixels.shape[1]} {pixels.shape[0]} 255\n"
    return header.encode() + pixels.tobytes()


def _tiff(image: _PillowImage) -> bytes:
    orientation = image.getexif().get(_ORIENTATION)
    if image.has_transparency_data:  # TIFF knows no transparent entry of a palette
        image = image.convert("RGBA")
    buffer = io.BytesIO()
    tags = {} if orientation is None else {"tiffinfo": {_ORIENTATION: orientation}}
    image.save(buffer, "TIFF", **tags)
    return buffer.getvalue()


def _contents(file: Any) -> bytes:
    if getattr(file, "closed", False):
        raise DataError("a photo was given as a file that is closed already; give it open, or its path")
    if hasattr(file, "seekable") and file.seekable():
        file.seek(0)
    data = file.read()
    if not isinstance(data, bytes):
        raise DataError(
            f"a photo was given as a {type(file).__name__} that gives {type(data).__name__}, not bytes; "
            "open it in binary mode, 'rb'"
        )
    return data


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    return f"{type(value).__name__} ({' '.join(repr(value).split()):.40})"
