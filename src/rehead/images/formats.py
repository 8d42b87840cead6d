"""Image formats, and opening a file up to its header.

Pillow's many errors become an `ImageError`, and its warnings are silenced, for the thread that reads.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePath
from typing import cast

from PIL import Image, ImageFile, UnidentifiedImageError

from ..core.photos import File
from ..errors import ImageError

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "is_image_name", "open_image", "read_bytes", "reading"]

# Pillow's readers in the order they are tried, by content; and the endings by which folders are listed.
# Its other readers are left out: they are not for photos, and one of them (EPS) runs another program.
_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2",),
}
IMAGE_SUFFIXES = frozenset((".avif", ".heic", ".heif", ".hif", *chain.from_iterable(_FORMATS.values())))
"""Endings, in lower case, of the files that are taken when a folder is listed."""

MAX_PIXELS = 1024**3 // 4 // 3
"""Pixels above which a photo is refused: 89 million, 256 MiB as 8-bit RGB.

It is the size at which Pillow starts to warn (`PIL.Image.MAX_IMAGE_PIXELS` as shipped). Phones' usual
12 to 50 million fit, their modes of 108 and 200 million do not. `max_pixels` raises it to twice that;
beyond, Pillow's own limit has to be raised too.
"""

# ISO/IEC 23008-12 and AV1-ISOBMFF: the brands in a file's first box.
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())


def is_image_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is an image when a folder is listed.

    Hidden files are not: among them are macOS's "._photo.jpg", which hold no pixels.
    """
    path = PurePath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_bytes(path: File) -> bytes:
    """Read a photo file's bytes, undecoded; bytes are what they are.

    Raises
    ------
    ImageError
        The file is missing, empty, a folder or something else than a file, or must not be read.
    """
    if isinstance(path, bytes):
        return path
    file = Path(path)
    try:
        mode = file.stat().st_mode  # before opening: opening a pipe waits for its writer
        data = file.read_bytes() if stat.S_ISREG(mode) else b""
    except FileNotFoundError as error:
        raise ImageError(path, "there is no such file") from error
    except PermissionError as error:
        raise ImageError(path, "no permission to read the file") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise ImageError(path, f"the file cannot be read ({error})") from error
    if stat.S_ISDIR(mode):
        raise ImageError(path, "a folder, not an image file")
    if not stat.S_ISREG(mode):
        raise ImageError(path, "not a regular file")
    if not data:
        raise ImageError(path, "the file is empty")
    return data


_THIS_THREAD = threading.local()
_FILTERS_LOCK = threading.Lock()


class _WhileReading(type):
    def __subclasscheck__(cls, _category: type) -> bool:
        return getattr(_THIS_THREAD, "reading", False)


class _PillowWarning(Warning, metaclass=_WhileReading):
    """Every warning of a thread while it reads a photo, and none otherwise.

    Pillow warns about odd metadata and about large photos. `warnings.catch_warnings` exchanges a list
    that all threads share, so it cannot silence one thread; a filter with this category can.
    """


@contextlib.contextmanager
def reading(source: str | os.PathLike[str] | bytes) -> Iterator[bytes]:
    """Yield the photo's bytes; Pillow's errors inside become an ImageError, its warnings are ignored."""
    path, data = (None, source) if isinstance(source, bytes) else (source, read_bytes(source))
    if not data:
        raise ImageError(path, "the file is empty")
    with _FILTERS_LOCK:  # checked for every photo: other code replaces the list, or inserts filters in front
        if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
            warnings.simplefilter("ignore", _PillowWarning)
    _THIS_THREAD.reading = True
    try:
        yield data
    except ImageError as error:
        raise ImageError(path, error.reason) from error
    except Exception as error:  # damaged files make Pillow raise nearly everything there is
        raise ImageError(path, _reason(error, data)) from error
    finally:
        _THIS_THREAD.reading = False


def _reason(error: Exception, data: bytes) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, EOFError) or "truncated" in message.lower():
        return "truncated: the file ends before the picture does; copy it again from its source"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels, make it smaller ({message})"
    if not isinstance(error, UnidentifiedImageError):
        detail = message or type(error).__name__
        return f"damaged or truncated, or of a kind that Pillow cannot decode ({detail})"
    readers = {name: Image.OPEN[name] for name in (*_FORMATS, "AVIF") if name in Image.OPEN}
    for name, (_, accepts) in readers.items():
        if accepts is not None and accepts(data[:16].ljust(16)) is True:
            return f"damaged or truncated: it begins like {name}, but its header cannot be read"
    return f"not an image that Pillow can read; expected one of {', '.join(_FORMATS)}, AVIF, HEIC"


def open_image(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header; ImageError where there are too many pixels, before anything is decoded."""
    brands = _container_brands(data)
    if brands & _AVIF_BRANDS:
        image = Image.open(io.BytesIO(data), formats=("AVIF",))
    elif brands & _HEIF_BRANDS:
        image = _open_heif(data)
    else:
        image = Image.open(io.BytesIO(data), formats=tuple(_FORMATS))
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            None, f"{width} x {height} pixels, more than the limit of {max_pixels}; make it smaller"
        )
    return image


def _container_brands(data: bytes) -> frozenset[bytes]:
    """Return the brands of an ISO media file's first box; none for any other file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]  # real ones have some ten brands
    return frozenset(box[start : start + 4] for start in range(0, len(box), 4))


def _open_heif(data: bytes) -> ImageFile.ImageFile:
    try:
        from pillow_heif import HeifImageFile  # not registered: that would change Pillow for everyone
    except ImportError as error:
        raise ImageError(None, "HEIC needs another package: pip install 'rehead[heif]'") from error
    return cast(ImageFile.ImageFile, HeifImageFile(io.BytesIO(data)))
