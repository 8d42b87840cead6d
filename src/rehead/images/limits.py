"""How large a photo may be, and how much memory the decoding of photos takes at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ..core.runtime import trim_memory
from ..errors import DataError, ImageError, ReheadError

__all__ = [
    "MAX_PIXELS",
    "byte_limit",
    "check_pixels",
    "decoding",
    "is_truncation",
    "pixel_limit",
    "set_max_pixels",
]

MAX_PIXELS = 1024**3 // 4 // 3
"""Pixels above which a photo is refused by default: 89 million, 256 MiB as 8-bit RGB.

It is the size at which Pillow starts to warn (`PIL.Image.MAX_IMAGE_PIXELS` as shipped). Phones' usual
12 to 50 million fit. A JPEG is decoded at a reduced scale where less is needed, and what counts is what is
then held, so that those of 108 and 200 million fit as well.
"""

# Three float32 values: the largest pixel of an uncompressed file, and what Pillow holds while it decodes one
# (4 bytes as stored, 4 as RGB, 4 more while it is turned).
_BYTES_PER_PIXEL = 12
_BUDGET = (
    _BYTES_PER_PIXEL * MAX_PIXELS
)  # 1 GiB: one photo of the largest size, or ten PNGs of 8 million pixels

_limit = MAX_PIXELS


def set_max_pixels(pixels: int) -> None:
    """Set the limit on the pixels of a photo for this process, as `rehead --max-pixels` does.

    Pillow's own limit, which it has for some formats beside, is raised with it. Raises DataError below 1.
    """
    from PIL import Image

    global _limit
    if pixels < 1:
        raise DataError(f"the limit on pixels is {pixels}; expected 1 or more")
    _limit = pixels
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, pixels)


def pixel_limit(asked: int | None = None) -> int:
    """The limit asked for, or that of the process."""
    return _limit if asked is None else asked


def byte_limit() -> int:
    """Bytes above which a file is refused: what the largest photo takes uncompressed."""
    return _BYTES_PER_PIXEL * max(_limit, MAX_PIXELS)


def check_pixels(width: int, height: int, limit: int) -> None:
    """Raise ImageError where there are more pixels than the limit."""
    if width * height > limit:
        raise ImageError(
            None,
            f"{width} x {height} pixels, more than the limit of {limit}; make it smaller, or allow it by "
            f"--max-pixels {width * height} (in Python rehead.images.set_max_pixels)",
        )


def is_truncation(error: Exception) -> bool:
    """Whether Pillow says that the file ends too early."""
    return isinstance(error, EOFError) or "truncated" in str(error).lower()


class _Budget:
    """Bytes that threads may take at one time; who asks for more than all waits until none is taken."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, amount: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + amount <= self.total)
            self.taken += amount
        try:
            yield
        except ReheadError:
            raise
        except Exception as error:
            if not is_truncation(error):
                bytearray(amount)  # MemoryError where there is none left: then nothing is known of the photo
            raise
        finally:
            if amount > self.total // 8:
                trim_memory()  # of what each thread frees, glibc keeps much
            with self.changed:
                self.taken -= amount
                self.changed.notify_all()


_MEMORY = _Budget(_BUDGET)


def decoding(pixels: int, *, also: int = 0) -> contextlib.AbstractContextManager[None]:
    """Wait until as many pixels, and `also` bytes beside, can be decoded within the memory of the process.

    Large photos are decoded one at a time so, however many threads there are. Not to be nested.
    """
    return _MEMORY.take(_BYTES_PER_PIXEL * pixels + also)
