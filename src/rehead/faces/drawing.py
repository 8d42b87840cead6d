"""Faces and names drawn into photos, as a notebook shows them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.text import number
from ..evaluation.notebook import photo_pixels, pixels_data, result_html, short_name
from ..images import image_size, read_bytes, read_image
from ..images.contact_sheet import draw_boxes
from .types import Face

if TYPE_CHECKING:
    from .gallery.identification import Identification

__all__ = ["draw_faces", "faces_html", "identifications_html"]

_SIDE = 520  # px of a photo in a notebook: some 50 kB


def draw_faces(
    photo: str | os.PathLike[str], faces: Sequence[Face], words: Sequence[str]
) -> NDArray[np.uint8]:
    """A copy of a photo with boxes around its faces and words at them, uint8 (H, W, 3); ImageError."""
    return draw_boxes(read_image(photo), _boxes(faces), words)


def faces_html(faces: Sequence[Face], photo: str) -> str:
    """A photo with its faces numbered, and what was measured of them."""
    numbers = [str(number) for number in range(1, len(faces) + 1)]
    rows = [
        (
            name,
            number(face.score),
            f"{face.quality.side:.0f}",
            f"{face.quality.sharpness:.0f}",
            "; ".join(face.notes),
        )
        for name, face in zip(numbers, faces, strict=True)
    ]
    columns = ("Face", "Score", "Side, pixels", "Sharpness", "")
    return _html(photo, faces, numbers if len(faces) > 1 else [""] * len(faces), columns, rows)


def identifications_html(answers: Sequence[Identification], photo: str) -> str:
    """A photo with the names of its faces, and how near each is to that person."""
    rows = [
        (
            each.name,
            number(each.score),
            number(each.threshold),
            "; ".join(filter(None, (each.reason, *each.complaints, *each.notes))),
        )
        for each in answers
    ]
    columns = ("Who", "Score", "Threshold", "")
    return _html(photo, [each.face for each in answers], [each.name for each in answers], columns, rows)


def _html(
    photo: str, faces: Sequence[Face], words: Sequence[str], columns: Sequence[str], rows: Sequence[Any]
) -> str:
    return result_html(
        drawn=_drawn(photo, faces, words),
        name=short_name(photo),
        notes=[] if faces else ["No face was found."],
        columns=columns,
        table=rows,
    )


def _drawn(photo: str, faces: Sequence[Face], words: Sequence[str]) -> str | None:
    pixels = photo_pixels(photo, _SIDE)
    if pixels is None:
        return None
    scale = pixels.shape[1] / image_size(read_bytes(photo))[0]
    return pixels_data(draw_boxes(pixels, _boxes(faces) * scale, words))


def _boxes(faces: Sequence[Face]) -> NDArray[np.float64]:
    return np.array([face.box for face in faces], np.float64).reshape(len(faces), 4)
