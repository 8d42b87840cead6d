"""Encoding of pixels as JPEG and PNG."""

from __future__ import annotations

import io
import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.atomic import write_bytes

__all__ = ["jpeg", "png", "write_jpeg", "write_png"]


def jpeg(pixels: NDArray[np.uint8], *, quality: int) -> bytes:
    """RGB pixels, uint8 (height, width, 3), as the bytes of a JPEG; `quality` is Pillow's, 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels, uint8 (height, width, 3), as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_png(path: str | os.PathLike[str], pixels: NDArray[np.uint8], *, sync: bool = True) -> None:
    """Write RGB pixels, uint8 (height, width, 3), as a PNG, whole or not at all (OutputError).

    `sync` is that of `atomic.replacing`; of many pictures, each would wait for the disk.
    """
    write_bytes(path, png(pixels), sync=sync)


def write_jpeg(
    path: str | os.PathLike[str], pixels: NDArray[np.uint8], *, quality: int = 95, sync: bool = True
) -> None:
    """Write RGB pixels, uint8 (height, width, 3), as a JPEG, whole or not at all (OutputError).

    `quality` is Pillow's, 1 to 95; `sync` as in `write_png`.
    """
    write_bytes(path, jpeg(pixels, quality=quality), sync=sync)
