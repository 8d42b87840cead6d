"""Pictures that a model file is tested with: drawn, small as PNG, the same to the bit on every machine.

Together they show what runtimes and their surroundings get wrong: a picture that is larger than the network's
square, with stripes finer than its pixels (resizing without antialiasing), a smaller one, a wide and a tall
one (sides exchanged), colours (red and blue exchanged), full black and full white (the range of values).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["golden_pictures"]


def golden_pictures() -> list[NDArray[np.uint8]]:
    """Five RGB pictures, uint8 (H, W, 3), of different sizes."""
    return [_stripes(600, 800), _slopes(90, 70), _discs(420, 300), _slopes(64, 640), _board(300, 500)]


def _places(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y, x = np.mgrid[:height, :width]
    return y, x


def _stripes(height: int, width: int) -> NDArray[np.uint8]:
    """Stripes of 1 to 4 pixels in blocks of 100."""
    y, x = _places(height, width)
    period = 2 + 2 * ((x // 100 + y // 100) % 4)
    on = (x + y) % period < period // 2
    return np.stack([255 * on, 40 + 180 * on, 200 - 160 * on], axis=-1).astype(np.uint8)


def _slopes(height: int, width: int) -> NDArray[np.uint8]:
    """Red from left to right, green from top to bottom, blue against both."""
    y, x = _places(height, width)
    red, green = 255 * x // (width - 1), 255 * y // (height - 1)
    return np.stack([red, green, 255 - (red + green) // 2], axis=-1).astype(np.uint8)


def _discs(height: int, width: int) -> NDArray[np.uint8]:
    """Discs of several sizes and colours on orange."""
    y, x = _places(height, width)
    picture = np.full((height, width, 3), (230, 140, 30), np.uint8)
    for n in range(12):
        centre, radius = (37 * n * n % height, 71 * n % width), 15 + 9 * (n % 5)
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
        picture[inside] = (29 * n % 256, 255 - 53 * n % 256, 97 * n % 256)
    return picture


def _board(height: int, width: int) -> NDArray[np.uint8]:
    """Black and white squares of 25 pixels, and a grey edge."""
    y, x = _places(height, width)
    grey = np.where((x // 25 + y // 25) % 2 == 0, 0, 255)
    grey[(x < 25) | (y < 25)] = 128
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
