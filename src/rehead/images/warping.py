"""Image pyramids, crops and affine warps.

Coordinates are those of `rehead.core.geometry`: the upper left pixel reaches from (0, 0) to (1, 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.geometry import Boxes, Matrix, Points, invert, transformed
from ..errors import DataError

__all__ = ["area_weights", "patches", "pyramid", "warped"]


def pyramid(pixels: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.uint8]]:
    """Yield the photo at each of `sizes` (width, height), antialiased where it shrinks.

    Parameters
    ----------
    pixels : uint8 array of shape (H, W, 3)
    sizes : sequence of (width, height)

    Yields
    ------
    uint8 array of shape (height, width, 3)
    """
    photo = Image.fromarray(pixels)
    for size in sizes:
        # Pillow's own guide: with a gap of 2 or more the result can hardly be told from the slow one
        yield np.array(photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def area_weights(size: int, length: int) -> NDArray[np.float64]:
    """Matrix (size, length) that resizes `length` pixels to `size` by area."""
    edges = np.linspace(0, length, size + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(overlap, 0) * size / length)


def patches(pixels: NDArray[np.uint8], boxes: Boxes, side: int) -> NDArray[np.uint8]:
    """Crop boxes and resize each to a square; pixels outside of the photo are black.

    Parameters
    ----------
    pixels : uint8 array of shape (H, W, 3)
    boxes : float64 array of shape (N, 4)
        x0, y0, x1, y1, each at least 1 pixel wide and high.
    side : int
        S, in pixels.

    Returns
    -------
    uint8 array of shape (N, S, S, 3)
    """
    photo = Image.fromarray(pixels)
    cut = Image.new("RGB", (side, side * len(boxes)))  # one below the other: each array of its own is a copy
    for n, box in enumerate(boxes.tolist()):
        left, top = math.floor(box[0]), math.floor(box[1])
        part = photo.crop((left, top, math.ceil(box[2]), math.ceil(box[3])))
        inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        cut.paste(part.resize((side, side), Image.Resampling.BILINEAR, inner), (0, n * side))
    return np.array(cut).reshape(len(boxes), side, side, 3)


def warped(pixels: NDArray[np.uint8], matrix: Matrix, size: int) -> NDArray[np.uint8]:
    """Warp a photo by an affine matrix into a square.

    Where the photo shrinks it is averaged, against aliasing; where it grows it is interpolated bilinearly.
    Pixels outside of the photo are black.

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
    """The part of the photo that the square is computed from, whole pixels x0, y0, x1, y1."""
    corners: Points = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    corners = transformed(corners, back)
    if not np.isfinite(corners).all():
        raise DataError("a warp reaches beyond all pixels; expected a matrix of finite, moderate numbers")
    low = np.floor(corners.min(axis=0)) - margin
    high = np.ceil(corners.max(axis=0)) + margin
    left, top, right, bottom = np.clip([low, high], 0, [shape[1], shape[0]]).astype(int).ravel().tolist()
    return left, top, right, bottom
