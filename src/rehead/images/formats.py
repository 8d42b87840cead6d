"""Image formats, and opening a file up to its header.

Pillow's many errors become an `ImageError`, and its warnings are silenced, for the thread that reads.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePath
from typing import cast

from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import ImageError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "has_image_signature",
    "is_image_file",
    "is_image_name",
    "open_image",
    "read_bytes",
    "reading",
]

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

# How the files of `_FORMATS` begin, each by its specification. Two letters are not enough: BMP has reserved
# bytes of 0 and the size of a header that exists, PPM a number or a comment.
_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|II[*+]\0|MM\0[*+]"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|P[1-6]\s+[#\d]"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}",
    re.DOTALL,
)
_FIRST = 64  # bytes that are read of a file whose ending says nothing
_RAW = frozenset((".arw", ".cr2", ".dcr", ".dng", ".erf", ".kdc", ".nef", ".nrw", ".pef", ".sr2", ".srw"))
"""Endings of cameras' raw files that begin like TIFF, of which Pillow reads a small preview at the most."""


def is_image_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is an image when a folder is listed.

    Hidden files are not: among them are macOS's "._photo.jpg", which hold no pixels.
    """
    path = PurePath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_image_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is taken for an image when a folder is listed: by its ending, else by its first bytes.

    So `photo`, `photo.jpg_large`, `photo.jpg.1` and `photo.jpg ` are images where they begin like one. A
    file with the ending of an image is one whatever it holds: reading it says what is wrong with it. Hidden
    files and cameras' raw files are not.
    """
    if is_image_name(path):
        return True
    file = Path(path)
    if file.name.startswith(".") or file.suffix.lower() in _RAW:
        return False
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # before opening: opening a pipe waits for its writer
            return False
        with file.open("rb", buffering=0) as opened:
            return has_image_signature(opened.read(_FIRST))
    except (OSError, ValueError):
        return False


def has_image_signature(data: bytes) -> bool:
    """Whether bytes, 64 or more where there are as many, begin like an image of a format that is read."""
    brands = _container_brands(data)
    return bool(_SIGNATURE.match(data) or brands & (_AVIF_BRANDS | _HEIF_BRANDS))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a photo file's bytes, undecoded.

    Raises
    ------
    ImageError
        The file is missing, empty, a folder or something else than a file, or must not be read.
    """
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
