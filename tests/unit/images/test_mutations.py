"""A corpus of damaged photos: whatever the bytes, there are pixels of the right shape or an ImageError.

By seed, so that what fails can be had again: `damaged(name, seed)`. The long run takes other seeds.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehead.errors import ImageError
from rehead.images import PreprocessSpec, image_size, load_image, read_header, read_image, thumbnail

SPEC = PreprocessSpec(16, (0, 0, 0), (1, 1, 1), grey_range=(0, 4095))
_SIZE = (40, 30)
_SEEDS, _MANY_SEEDS = 200, 1500
_LIMIT = 1_000_000  # pixels, so that headers which lie of their size cost little


def picture() -> Image.Image:
    y, x = np.mgrid[: _SIZE[1], : _SIZE[0]]
    return Image.fromarray(np.stack([6 * x, 8 * y, (x * y) % 256], -1).astype(np.uint8))


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, kind, **options)
    return buffer.getvalue()


def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs rehead[heif]")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture()).save(buffer, quality=50)
    return buffer.getvalue()


def grey(dtype: Any) -> Image.Image:
    return Image.fromarray(np.arange(1200).reshape(30, 40).astype(dtype))


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = 6
    return made


SOUND: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded("JPEG", exif=exif()),
    "progressive jpeg": lambda: encoded("JPEG", progressive=True),
    "cmyk jpeg": lambda: encoded("JPEG", Image.new("CMYK", _SIZE, (9, 90, 30, 5))),
    "png": lambda: encoded("PNG", exif=exif()),
    "16-bit png": lambda: encoded("PNG", grey(np.uint16)),
    "palette png": lambda: encoded("PNG", picture().quantize(16), transparency=3),
    "gif": lambda: encoded("GIF", save_all=True, append_images=[picture()]),
    "bmp": lambda: encoded("BMP"),
    "ppm": lambda: encoded("PPM"),
    "tiff": lambda: encoded("TIFF", exif=exif()),
    "lzw tiff": lambda: encoded("TIFF", compression="tiff_lzw"),
    "jpeg tiff": lambda: encoded("TIFF", compression="jpeg"),
    "float tiff": lambda: encoded("TIFF", grey(np.float32), compression="tiff_adobe_deflate"),
    "32-bit tiff": lambda: encoded("TIFF", grey(np.int32)),
    "webp": lambda: encoded("WEBP", exif=exif()),
    "lossless webp": lambda: encoded("WEBP", lossless=True),
    "jpeg 2000": lambda: encoded("JPEG2000"),
    "avif": lambda: encoded("AVIF"),
    "heic": heic,
}


def damaged(sound: bytes, seed: int) -> bytes:
    """Some bytes changed, mostly in the header, or a piece cut off, left out, doubled, or zeroed."""
    rng = np.random.default_rng(seed)
    data = bytearray(sound)
    for _ in range(int(rng.integers(1, 6))):
        near = int(rng.integers(0, 2))
        at = int(rng.integers(0, min(len(data), 200) if near else len(data)))
        length = int(rng.integers(1, 40))
        match int(rng.integers(0, 8)):
            case 0:
                del data[at + 1 :]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + length] = bytes(len(data[at : at + length]))
            case 4:
                data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
            case _:
                data[at] = int(rng.integers(0, 256))
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def look(data: bytes) -> None:
    """Read it in every way; anything but pixels or an ImageError fails."""
    with contextlib.suppress(ImageError):
        pixels = load_image(data, SPEC, max_pixels=_LIMIT)
        assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    with contextlib.suppress(ImageError):
        whole = read_image(data, max_pixels=_LIMIT)
        width, height = image_size(data, max_pixels=_LIMIT)
        assert whole.shape == (height, width, 3) and whole.dtype == np.uint8
    with contextlib.suppress(ImageError):
        read_header(data, max_pixels=_LIMIT)
    with contextlib.suppress(ImageError):
        assert thumbnail(data, 16, max_pixels=_LIMIT)


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]) -> Any:
    """Nothing is printed, by no library either."""
    yield
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("name", SOUND)
def test_damaged_photos(name: str) -> None:
    sound = SOUND[name]()
    look(sound)
    assert read_image(sound).shape[2] == 3
    for seed in range(_SEEDS):
        look(damaged(sound, seed))


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("name", SOUND)
def test_many_damaged_photos(name: str) -> None:
    sound = SOUND[name]()
    first = int(os.environ.get("REHEAD_SEED", str(_SEEDS)))
    for seed in range(first, first + _MANY_SEEDS):
        look(damaged(sound, seed))
