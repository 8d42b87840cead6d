"""Pictures of answers: predictions beside their photos, and maps over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.photos import Photo, as_file
from ..core.preprocess import PreprocessSpec
from ..evaluation.notebook import Bar as Share
from ..evaluation.notebook import Card, cards_html, photo_data, short_name
from ..images import read_image
from ..images.contact_sheet import Bar, Tile, draw_sheet, fitted, overlay, viridis
from .predictor import Prediction
from .saliency import Explanation, Maps

__all__ = ["draw_explanation", "overlay_map", "predictions_html"]

_SIDE = 400  # px, of the photos in a picture
_MOST_CLASSES = 3  # under a photo


def draw_explanation(explanation: Explanation, photo: Photo) -> NDArray[np.uint8]:
    """A picture of an explanation: the photo, and each class's map over it, on one scale.

    Parameters
    ----------
    explanation : Explanation
    photo : photo
        The photo that was explained.

    Returns
    -------
    uint8 ndarray (height, width, 3), RGB
    """
    pixels = fitted(read_image(as_file(photo), at_least=(_SIDE, _SIDE)), _SIDE)
    values = [one.values for one in explanation.maps]
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    if explanation.method == "occlusion":
        low = min(low, 0.0)
    name = Path(explanation.photo).name if explanation.photo else "the photo"
    tiles = [Tile(pixels, (name,))]
    tiles += [
        Tile(
            overlay_map(pixels, one.values, low, high, explanation.preprocess),
            (one.label, f"{100 * one.probability:.1f} %"),
        )
        for one in explanation.maps
    ]
    cam = explanation.method == "cam"
    return draw_sheet(
        tiles,
        columns=4,
        title=f"{explanation.answer}: {explanation.reason}" if explanation.reason else explanation.answer,
        note="Class activation maps: what each place adds to the class's logit."
        if cam
        else "Occlusion: how much the class's probability drops where the photo is covered.",
        bar=Bar(low, high, "logit" if cam else "drop"),
    )


def overlay_map(
    photo: NDArray[np.uint8], values: Maps, low: float, high: float, preprocess: PreprocessSpec
) -> NDArray[np.uint8]:
    """The map of a photo over it, uint8 (H, W, 3): stretched to the part of it that the network saw."""
    height, width = photo.shape[:2]
    return overlay(photo, viridis(values, low, high), preprocess.crop_box(width, height))


def predictions_html(predictions: Sequence[Prediction]) -> str:
    """Photos with their answers and most probable classes, as a notebook shows them."""
    return cards_html(predictions, _card)


def _card(prediction: Prediction) -> Card:
    order = np.argsort(-prediction.probabilities, kind="stable")[:_MOST_CLASSES]
    return Card(
        prediction.label,
        "",
        photo_data(prediction.photo),
        short_name(prediction.photo),
        prediction.reason or prediction.note,
        [Share(prediction.labels[n], float(prediction.probabilities[n])) for n in order.tolist()],
    )
