"""Image formats, and opening a file up to its header.

Pillow's many errors become an `ImageError`, and its warnings are silenced, for the thread that reads.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path, PurePath
from typing import cast

from PIL import Image, ImageFile, UnidentifiedImageError, _imaging

from ..core.photos import File
from ..errors import ImageError, MachineError
from .avif_size import coded_sizes
from .limits import byte_limit, check_pixels, is_truncation, pixel_limit

__all__ = [
    "IMAGE_SUFFIXES",
    "JPEG",
    "RAW_SUFFIXES",
    "file_digest",
    "has_image_signature",
    "image_suffix",
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

JPEG = ("JPEG", "MPO")
"""Pillow's names of what is decoded at a reduced scale; MPO: a JPEG with more JPEGs behind it."""

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
RAW_SUFFIXES = frozenset(
    (".arw", ".cr2", ".dcr", ".dng", ".erf", ".kdc", ".nef", ".nrw", ".pef", ".sr2", ".srw")
)
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
    if file.name.startswith(".") or file.suffix.lower() in RAW_SUFFIXES:
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


def image_suffix(data: bytes) -> str:
    """The ending of a file of these bytes, ".jpg", by their format; ImageError where they are none."""
    with reading(data):
        name = open_image(data, pixel_limit()).format or ""
    return {"MPO": ".jpg", "AVIF": ".avif", "HEIF": ".heic"}.get(name) or _FORMATS[name][0]


def read_bytes(path: File) -> bytes:
    """Read a photo file's bytes, undecoded; bytes are what they are.

    Raises
    ------
    ImageError
        The file is missing, empty, too large, a folder or something else than a file, or must not be read.
    MachineError
        The disk cannot read it, or there is not memory enough.
    """
    if isinstance(path, bytes):
        return path
    with _opened(path) as file:
        most, size = byte_limit(), os.fstat(file.fileno()).st_size
        data = file.read(size + 1)
        if len(data) > size:  # it grows, or is of a kind that does not say its size
            data += file.read(most)
        if len(data) > most:
            raise _too_large(path, most)
    if not data:
        raise ImageError(path, "the file is empty")
    return data


def file_digest(path: File) -> str:
    """Sha256 of a photo file's bytes, in hex; raises as `read_bytes`."""
    if isinstance(path, bytes):
        return hashlib.sha256(path).hexdigest()
    with _opened(path) as file:
        if not file.peek(1):
            raise ImageError(path, "the file is empty")
        return hashlib.file_digest(file, "sha256").hexdigest()


# Of a file that is not there, has an impossible name or must not be read; all other errors are those of a
# disk, of a network drive or of the system.
_OF_THE_FILE = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
        *(errno.EACCES, errno.EPERM, errno.EINVAL),
    )
)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """The file, open; whatever fails while it is read is an ImageError, or the fault of the machine."""
    file = Path(path)
    try:
        found = file.stat()  # before opening: opening a pipe waits for its writer
        _check_file(path, found)
        with file.open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise ImageError(path, "there is no such file") from error
    except PermissionError as error:
        raise ImageError(path, "no permission to read the file") from error
    except MemoryError as error:
        raise _no_memory(path) from error
    except OSError as error:
        if error.errno in _OF_THE_FILE:
            raise ImageError(path, f"the file cannot be read ({error})") from error
        raise MachineError(
            f"{os.fspath(path)}: the disk or network drive failed ({error.strerror or error}), so nothing "
            "is known of this photo; make it readable or take it out of the folder, and start again"
        ) from error
    except ImageError:
        raise
    except ValueError as error:  # a name with a null character
        raise ImageError(path, f"the file cannot be read ({error})") from error


def _check_file(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(path, "a folder, not an image file")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(path, "not a regular file")
    if found.st_size > byte_limit():
        raise _too_large(path, byte_limit())


def _too_large(path: str | os.PathLike[str], most: int) -> ImageError:
    return ImageError(path, f"a file of more than {most / 1e9:.1f} GB, which is more than any photo takes")


def _no_memory(path: str | os.PathLike[str] | None) -> MachineError:
    return MachineError(
        f"{os.fspath(path) if path else 'image bytes'}: not enough memory to read this photo, which may be "
        "sound; close other programs, use fewer threads, or make the photo smaller"
    )


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
    """Yield the photo's bytes; Pillow's errors inside become an ImageError, its warnings are ignored.

    A shortage of memory is a MachineError.
    """
    path, data = (None, source) if isinstance(source, bytes) else (source, read_bytes(source))
    if not data:
        raise ImageError(path, "the file is empty")
    with _FILTERS_LOCK:  # checked for every photo: other code replaces the list, or inserts filters in front
        if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
            warnings.simplefilter("ignore", _PillowWarning)
    before = getattr(_THIS_THREAD, "reading", False)
    _THIS_THREAD.reading = True
    try:
        yield data
    except ImageError as error:
        raise ImageError(path, error.reason) from error
    except MachineError:
        raise
    except MemoryError as error:
        raise _no_memory(path) from error
    except Exception as error:  # damaged files make Pillow raise nearly everything there is
        raise ImageError(path, _reason(error, data)) from error
    finally:
        _THIS_THREAD.reading = before


def _reason(error: Exception, data: bytes) -> str:
    message = " ".join(str(error).split())
    if is_truncation(error):
        return "truncated: the file ends before the picture does; copy it again from its source"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than the limit; make it smaller, or allow more by --max-pixels"
    if not isinstance(error, UnidentifiedImageError):
        detail = message or type(error).__name__
        return f"damaged or truncated, or of a kind that Pillow cannot decode ({detail})"
    readers = {name: Image.OPEN[name] for name in (*_FORMATS, "AVIF") if name in Image.OPEN}
    for name, (_, accepts) in readers.items():
        if accepts is not None and accepts(data[:16].ljust(16)) is True:
            return f"damaged or truncated: it begins like {name}, but its header cannot be read"
    return f"not an image that Pillow can read; expected one of {', '.join(_FORMATS)}, AVIF, HEIC"


def open_image(data: bytes, limit: int) -> ImageFile.ImageFile:
    """Read the header; ImageError where there are too many pixels, before anything is decoded.

    A JPEG may have more, as it may be decoded at a reduced scale: `check_pixels` of what is held.
    """
    brands = _container_brands(data)
    if brands & _AVIF_BRANDS:
        for size in coded_sizes(data):
            check_pixels(*size, limit)
        image = _identified(data, ("AVIF",))
    elif brands & _HEIF_BRANDS:
        image = _open_heif(data)
    else:
        image = _identified(data, tuple(_FORMATS))
    if image.format == "TIFF":
        _silence_libtiff()
    if image.format not in JPEG:
        check_pixels(*image.size, limit)
    return image


def _identified(data: bytes, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """As `Image.open`, without Pillow's own limit on pixels, which does not know of reduced scales."""
    Image.preinit()
    for name in formats:
        if name not in Image.OPEN:
            Image.init()
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory is None or (accepts is not None and accepts(data[:16]) is not True):
            continue
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):  # another format
            return factory(io.BytesIO(data), "")
    raise UnidentifiedImageError


@cache
def _silence_libtiff() -> None:
    """Let libtiff print nothing: it writes what it finds wrong with a file to the error output itself.

    The symbols are looked up through the library that Pillow links; where they are not found, it goes on.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for set_handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


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
