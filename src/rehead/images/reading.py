"""A photo, as a path or as bytes, becomes pixels.

Every reader, report and model in rehead gets its pixels from `load_image` or `read_image`, so that a
photo looks the same to all of them: upright, 8 bits, RGB, over white.

All functions may run in several threads at once; Pillow releases the interpreter lock while it
decodes and resizes. Whatever is wrong with a photo is an `ImageError` that names it.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePath
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from ..core.preprocess import PreprocessSpec
from ..errors import DataError, ImageError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "image_size",
    "is_image_name",
    "load_image",
    "read_bytes",
    "read_image",
    "thumbnail",
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

_JPEG = ("JPEG", "MPO")  # MPO: a JPEG with more JPEGs behind it
# ISO/IEC 23008-12 and AV1-ISOBMFF: the brands in a file's first box.
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_PNG_ORIENTATION_MARKS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_TURNS = {  # EXIF 2.32, table 6: tag 0x0112
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def is_image_name(name: str | os.PathLike[str]) -> bool:
    """Tell whether a file of this name is taken when a folder is listed.

    Hidden files are not: among them are macOS's "._photo.jpg", which hold no pixels.
    """
    path = PurePath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a photo file's bytes, not looking at them.

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


def image_size(source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright photo, from its header.

    Pixels are decoded only for a PNG that carries EXIF or XMP, which may stand behind them.

    Raises
    ------
    ImageError
        The file cannot be read, is no image, or has more than `max_pixels` pixels.
    """
    with _reading(source) as data:
        return _upright_size(_open(data, max_pixels), data)


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
    with _reading(source) as data:
        image = _upright(_open(data, max_pixels), data, at_least)
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
    with _reading(source) as data:
        image = _upright(_open(data, max_pixels), data, (least, least))
    size = spec.size, spec.size
    return np.array(image.resize(size, _FILTERS[spec.interpolation], spec.seen(*image.size)))


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
    with _reading(source) as data:
        image = _open(data, max_pixels)
        width, height = _upright_size(image, data)
        scale = min(1.0, side / max(width, height))
        small = max(1, round(width * scale)), max(1, round(height * scale))
        upright = _upright(image, data, small)
    picture = upright.resize(small, Image.Resampling.BICUBIC)
    picture.info = {}  # a comment would be written into the new file
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


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
def _reading(source: str | os.PathLike[str] | bytes) -> Iterator[bytes]:
    """Yield the photo's bytes; what Pillow raises inside becomes an ImageError, its warnings vanish."""
    path, data = (None, source) if isinstance(source, bytes) else (source, read_bytes(source))
    if not data:
        raise ImageError(path, "the file is empty")
    with _FILTERS_LOCK:  # looked at for every photo: others exchange the list, or put theirs in front
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


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header, and refuse what is too large before anything is decoded."""
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


def _orientation(image: Image.Image, data: bytes) -> int:
    """Return the EXIF orientation that is still to be applied, 1 to 8."""
    if image.format == "TIFF":
        return 1  # Pillow applies it itself
    if image.format == "PNG" and not any(mark in data for mark in _PNG_ORIENTATION_MARKS):
        return 1  # it may stand behind the pixels, so Pillow would decode them to look
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata of a sound picture
        return 1
    return orientation if orientation in _TURNS else 1


def _upright_size(image: Image.Image, data: bytes) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _orientation(image, data) >= 5 else (width, height)


def _upright(image: ImageFile.ImageFile, data: bytes, at_least: tuple[int, int] | None) -> Image.Image:
    """Decode to RGB and apply the orientation."""
    orientation = _orientation(image, data)
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
    grey: NDArray[np.uint8] = np.rint(np.nan_to_num(scaled).clip(0, 255)).astype(np.uint8)
    return grey


def _value_range(values: NDArray[np.float32], full_scales: tuple[float, ...]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low >= 0:
        for full_scale in full_scales:
            if high <= full_scale:
                return 0.0, full_scale
    return low, high if high > low else low + 1.0
