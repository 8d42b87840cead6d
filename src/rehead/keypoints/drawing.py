"""Points and their ellipses drawn onto pixels, and photos with them as a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.text import percent
from .formats import CENTRE
from .uncertainty import CHI2_95

if TYPE_CHECKING:
    from .predictor import KeypointPrediction

__all__ = ["draw_keypoints", "predictions_html"]

_DOT = np.array([255, 210, 63], dtype=np.float64)  # yellow on a dark rim: visible on any skin and background
_RIM = np.array([20, 20, 20], dtype=np.float64)
_STEPS = 72  # dots that an ellipse is made of
_SIDE, _WIDE = 280, 520  # px of a photo in a notebook, among others and alone


def draw_keypoints(
    pixels: NDArray[np.uint8], points: NDArray[np.float64], covariance: NDArray[np.float64] | None = None
) -> NDArray[np.uint8]:
    """A copy of a photo with its points, and their 95 % ellipses where covariances are given.

    Parameters
    ----------
    pixels : uint8 ndarray (H, W, 3)
    points : float64 ndarray (K, 2)
        In pixels, the centre of the upper left one being (0, 0).
    covariance : float64 ndarray (K, 2, 2), optional
        In square pixels.

    Returns
    -------
    uint8 ndarray (H, W, 3)
    """
    canvas = pixels.astype(np.float64)
    extent = float(np.nanmax(np.ptp(points, axis=0), initial=0)) or np.inf
    radius = max(1.2, min(max(pixels.shape[:2]) / 160, extent / 50))
    if covariance is not None:
        angle = np.linspace(0, 2 * np.pi, _STEPS, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)])
        values, vectors = np.linalg.eigh(covariance)
        axes = vectors * np.sqrt(np.maximum(values, 0) * CHI2_95)[:, None, :]
        for point, axis in zip(points, axes, strict=True):
            for centre in point + (axis @ circle).T:
                _disc(canvas, centre, radius / 4, _DOT, 0.7)
    for point in points:
        _disc(canvas, point, radius + 0.8, _RIM, 0.8)
        _disc(canvas, point, radius, _DOT, 1.0)
    return canvas.round().clip(0, 255).astype(np.uint8)


def _disc(
    canvas: NDArray[np.float64],
    centre: NDArray[np.float64],
    radius: float,
    colour: NDArray[np.float64],
    opacity: float,
) -> None:
    """Blend a disc with a soft edge of one pixel into the canvas."""
    height, width = canvas.shape[:2]
    if not np.isfinite(centre).all():
        return
    low = np.floor(centre - radius - 1).clip(0, [width, height]).astype(int)
    high = np.ceil(centre + radius + 2).clip(0, [width, height]).astype(int)
    if (high <= low).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    distance = np.hypot(x - centre[0], y - centre[1])
    alpha = (radius + 0.5 - distance).clip(0, 1)[:, :, None] * opacity
    part = canvas[low[1] : high[1], low[0] : high[0]]
    part += alpha * (colour - part)


def predictions_html(predictions: Sequence[KeypointPrediction]) -> str:
    """Photos with their points, as a notebook shows them."""
    from ..evaluation.notebook import Card, cards_html, short_name

    side = _WIDE if len(predictions) == 1 else _SIDE

    def card(one: KeypointPrediction) -> Card:
        return Card(
            f"{len(one.points)} points",
            f"confidence {percent(one.confidence)}",
            _drawn(one, side),
            short_name(one.photo),
            one.reason,
        )

    return cards_html(predictions, card)


def _drawn(prediction: KeypointPrediction, side: int) -> str | None:
    from ..evaluation.notebook import photo_pixels, pixels_data

    pixels = photo_pixels(prediction.photo, side)
    if pixels is None:
        return None
    scale = pixels.shape[1] / prediction.size[0]
    points = (prediction.points + CENTRE) * scale - CENTRE
    return pixels_data(draw_keypoints(pixels, points, prediction.covariance * scale**2))
