"""A face in a photo, and what every detector and every embedder is.

Galleries, thresholds and clusters are written against `Detector` and `Embedder`, not against a network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import Boxes, Points, area, centre
from ..errors import DataError, UnknownNameError

__all__ = [
    "Detector",
    "Embedder",
    "Face",
    "FaceSelection",
    "Photo",
    "Quality",
    "choose",
    "same_space",
]

Photo: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8]
"""A file, its bytes, or pixels as `images.read_image` gives them: uint8 (H, W, 3) RGB, upright."""

FaceSelection: TypeAlias = Literal["largest", "centre", "all", "error"]
"""What to do about several faces in one photo, see `choose`."""


@dataclass(frozen=True)
class Quality:
    """How well a face can be recognised, in numbers that need no network.

    Parameters
    ----------
    side : float
        Shorter side of the box, pixels of the photo.
    sharpness : float
        Standard deviation of the Laplacian of the aligned face's grey values (0..255) at 112 pixels.
    yaw, pitch, roll : float
        Degrees, estimated from the five points. Yaw is positive where the face turns to the right side
        of the photo, pitch where it looks up, roll where it is turned clockwise.
    """

    side: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photo, in pixels of the upright photo (`rehead.core.geometry`).

    Parameters
    ----------
    box : float64 array of shape (4,)
        x0, y0, x1, y1, within the photo.
    points : float64 array of shape (5, 2)
        The eye, the other eye, the tip of the nose, the corner of the mouth, the other corner: of each
        pair the one that is on the left in the photo (of an upright face) first. They may lie outside.
    score : float
        The detector's confidence; higher is surer. Its scale is the detector's own.
    quality : Quality
        What speaks for or against using the face.
    """

    box: Boxes
    points: Points
    score: float
    quality: Quality


class Detector(Protocol):
    """Finds faces."""

    def detect(self, photo: Photo) -> list[Face]:
        """Faces of a photo, the largest first; none is an empty list."""
        ...


class Embedder(Protocol):
    """Brings faces into a space where one person's photos are near each other."""

    @property
    def contract(self) -> Mapping[str, Any]:
        """All that an embedding depends on besides the photo and the points, as JSON has it.

        "name", "sha256" of the weights, "dimensions", "template" (five points in pixels of a square of
        "size"), "preprocess", "distance" ("cosine") and "licences" (of "code", "weights" and "data").
        Whether two contracts give comparable embeddings is said by `same_space`.
        """
        ...

    def embed(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.float32]:
        """Embeddings (n, D) of `faces` in `photo`, each of length 1: similarity is the scalar product."""
        ...


def same_space(contract: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether embeddings of two contracts may be compared: all but names and licences agree."""
    told = ("name", "licences")
    return {k: v for k, v in contract.items() if k not in told} == {
        k: v for k, v in other.items() if k not in told
    }


def choose(faces: Sequence[Face], rule: FaceSelection, size: tuple[int, int]) -> list[Face]:
    """The faces of a photo that are meant.

    Parameters
    ----------
    faces : sequence of Face
        What a detector found.
    rule : {"largest", "centre", "all", "error"}
        "largest" takes the largest box; "centre" the largest box near the middle: area less twice the
        squared distance of its centre from the photo's, the rule of FaceNet's `align_dataset_mtcnn.py`;
        "all" takes every face; "error" refuses several.
    size : (width, height)
        Of the photo, in pixels.

    Returns
    -------
    list of Face
        Empty where there is no face, whatever the rule.

    Raises
    ------
    DataError
        Several faces, and the rule is "error".
    UnknownNameError
        There is no such rule.
    """
    if rule not in get_args(FaceSelection):
        raise UnknownNameError("rule for several faces", rule, get_args(FaceSelection))
    if rule == "all" or len(faces) < 2:
        return list(faces)
    if rule == "error":
        raise DataError(f"{len(faces)} faces, expected one; crop the photo, or choose the largest face")
    boxes = np.stack([face.box for face in faces])
    worth = area(boxes)
    if rule == "centre":
        worth = worth - 2 * ((centre(boxes) - np.array(size) / 2) ** 2).sum(axis=1)
    return [faces[int(worth.argmax())]]
