"""Contrast of dark and pale photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .reading import luma

__all__ = ["stretched"]

_DARKEST, _BRIGHTEST = 1, 99  # percentiles of the grey levels, so that a lamp or a frame does not count
_SAMPLE = 256  # rows and columns that these are taken from, at most twice as many


def stretched(pixels: NDArray[np.uint8], *, below: float = 256.0) -> NDArray[np.uint8]:
    """The photo with its grey levels stretched to the whole range.

    Parameters
    ----------
    pixels : uint8 ndarray (H, W, 3), RGB
    below : float
        A photo whose levels, all but the darkest and brightest 1 %, span this much or more is returned
        itself, as is one that has a single level.
    """
    rows, columns = (max(1, side // _SAMPLE) for side in pixels.shape[:2])
    low, high = np.percentile(luma(pixels[::rows, ::columns]), (_DARKEST, _BRIGHTEST))
    if not 1 <= high - low < below:
        return pixels
    levels = ((np.arange(256) - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)
    return np.asarray(levels[pixels])
