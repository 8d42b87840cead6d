"""Pixels move: a photo resized, or a turned part of it brought upright.

Coordinates are those of `rehead.geometry`: the upper left pixel reaches from (0, 0) to (1, 1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError
from ..geometry import Matrix, Points, invert, transformed

__all__ = ["resized", "warped"]


def resized(
    pixels: NDArray[np.uint8], size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> NDArray[np.uint8]:
    """Resize RGB pixels with Pillow's bilinear filter, which widens when they shrink.

    Parameters
    ----------
    pixels : uint8 array of shape (H, W, 3)
    size : (width, height)
        Of the result, in pixels.
    box : (x0, y0, x1, y1), optional
        Part of the photo to take, within it; all of it by default.

    Returns
    -------
    uint8 array of shape (height, width, 3)
    """
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box))


def warped(pixels: NDArray[np.uint8], matrix: Matrix, size: int) -> NDArray[np.uint8]:
    """Bring the part of a photo that `matrix` maps onto a square into that square.

    Where the photo shrinks it is averaged, not sampled, so that nothing is aliased; where it grows it
    is interpolated bilinearly. What lies outside the photo is black.

    Parameters
    ----------
    pixels : uint8 array of shape (H, W, 3)
        The photo.
    matrix : float64 array of shape (2, 3)
        From points of the photo to points of the square, as `geometry.similarity` gives it.
    size : int
        Side S of the square, in pixels.

    Returns
    -------
    uint8 array of shape (S, S, 3)

    Raises
    ------
    DataError
        The matrix maps the plane onto a line.
    """
    back = invert(matrix)
    shrinkage = math.sqrt(abs(np.linalg.det(back[:, :2])))  # photo pixels along a pixel of the square
    block = max(1, int(shrinkage))  # photo pixels that become one, by averaging, before the turn
    fine = 1 if shrinkage <= 1 else 2  # pixels of the turned picture, along each one of the square
    left, top, right, bottom = _reach(back, size, pixels.shape, 2 * block)
    if left >= right or top >= bottom:
        return np.zeros((size, size, 3), np.uint8)
    part = Image.fromarray(pixels[top:bottom, left:right])
    if block > 1:
        part = part.reduce(block)
    to_part = (back - [[0, 0, left], [0, 0, top]]) / block
    to_part[:, :2] /= fine
    turned = part.transform(
        (size * fine, size * fine),
        Image.Transform.AFFINE,
        tuple(to_part.ravel().tolist()),
        Image.Resampling.BILINEAR,
        fillcolor=(0, 0, 0),
    )
    return np.array(turned.reduce(fine) if fine > 1 else turned)


def _reach(back: Matrix, size: int, shape: tuple[int, ...], margin: int) -> tuple[int, int, int, int]:
    """The part of the photo that the square takes its pixels from, whole pixels x0, y0, x1, y1."""
    corners: Points = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    corners = transformed(corners, back)
    if not np.isfinite(corners).all():
        raise DataError("a warp reaches beyond all pixels; expected a matrix of finite, moderate numbers")
    low = np.floor(corners.min(axis=0)) - margin
    high = np.ceil(corners.max(axis=0)) + margin
    limit = [shape[1], shape[0]]
    left, top = np.clip(low, 0, limit).astype(int).tolist()
    right, bottom = np.clip(high, 0, limit).astype(int).tolist()
    return left, top, right, bottom
