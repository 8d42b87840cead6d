"""A face in a photo, and what every detector and every embedder is.

Galleries, thresholds and clusters are written against `Detector` and `Embedder`, not against a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import Boxes, Points, area, centre
from ..core.photos import Photo as Photo
from ..core.photos import as_file
from ..core.values import AnswerList, ComparedByValue
from ..errors import DataError, UnknownNameError
from ..images import read_image

__all__ = [
    "Detector",
    "Embedder",
    "Face",
    "FaceSelection",
    "Faces",
    "Photo",
    "Quality",
    "pixels_of",
    "select_faces",
]

FaceSelection: TypeAlias = Literal["largest", "centre", "all", "error"]
"""Which faces of a photo to use, see `select_faces`."""


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
    covered : tuple of {"eyes", "mouth"}
        Parts that seem to be behind sunglasses or a mask.
    """

    side: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    covered: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record, rounded; "covered" where there is anything."""
        numbers = {name: round(float(v), 3) for name, v in vars(self).items() if name != "covered"}
        return {**numbers, "covered": list(self.covered)} if self.covered else numbers


@dataclass(frozen=True, eq=False)
class Face(ComparedByValue):
    """A face in a photo, in pixels of the upright photo (`rehead.core.geometry`).

    Parameters
    ----------
    box : float64 array of shape (4,)
        x0, y0, x1, y1, within the photo.
    points : float64 array of shape (5, 2)
        Eyes, tip of the nose, corners of the mouth: of each pair the one that is on the left in the photo
        (of an upright face) first. They may lie outside.
    score : float
        The detector's confidence; higher is surer. Its scale is the detector's own.
    quality : Quality
    turn : int
        Degrees, clockwise, by which the photo was turned for the face to be found: 0, 90, 180 or 270.
    stretched : bool
        Whether the contrast of a dark photo was stretched (`images.stretched`) for the face to be found;
        an embedder takes the face from those pixels then.
    """

    box: Boxes
    points: Points
    score: float
    quality: Quality
    turn: int = 0
    stretched: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What else was done to find it, as phrases."""
        turned = f"found with the photo turned {self.turn} degrees clockwise" if self.turn else ""
        dark = "found with the contrast of a dark photo stretched" if self.stretched else ""
        return tuple(filter(None, (turned, dark)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record: "box", "points", "score" and "quality", rounded; "notes" where there are any."""
        record: dict[str, Any] = {
            "box": [round(float(v), 2) for v in self.box],
            "points": [[round(float(v), 2) for v in point] for point in self.points],
            "score": round(float(self.score), 6),
            "quality": self.quality.to_dict(),
        }
        return {**record, "notes": list(self.notes)} if self.notes else record


class Faces(AnswerList[Face]):
    """Faces of a photo, which a notebook draws into it.

    Parameters
    ----------
    faces : iterable of Face
    photo : str
        Path of the photo, "" where it was given otherwise: a notebook then shows the numbers alone.
    """

    def __init__(self, faces: Iterable[Face] = (), photo: str = "") -> None:
        super().__init__(faces)
        self.photo = photo

    def _repr_html_(self) -> str:
        from .drawing import faces_html

        return faces_html(self, self.photo)


class Detector(Protocol):
    """Detects faces."""

    def detect(self, photo: Photo) -> list[Face]:
        """Faces of a photo, the largest first; an empty list where there is none."""
        ...


class Embedder(Protocol):
    """Maps faces to embeddings: those of one person lie near each other."""

    @property
    def embedding_spec(self) -> Mapping[str, Any]:
        """All that an embedding depends on besides the photo and the points, JSON-able.

        "name", "sha256" of the weights, "dimensions", "template" (five points in pixels of a square of
        "size"), "preprocess", "distance" ("cosine") and "licences" (of "code", "weights" and "data").
        Embeddings are comparable where `embedding.spec.spec_fingerprint` of both specs is the same.
        """
        ...

    def embed(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.float32]:
        """Embeddings (n, D) of `faces` in `photo`, each of length 1: similarity is the scalar product."""
        ...


def select_faces(faces: Sequence[Face], selection: FaceSelection, size: tuple[int, int]) -> list[Face]:
    """The faces of a photo to use.

    Parameters
    ----------
    faces : sequence of Face
        All detected.
    selection : {"largest", "centre", "all", "error"}
        "largest" takes the largest box; "centre" the largest box near the middle: area less twice the
        squared distance of its centre from the photo's, as FaceNet's `align_dataset_mtcnn.py` does;
        "all" takes every face; "error" refuses several.
    size : (width, height)
        Of the photo, in pixels.

    Returns
    -------
    list of Face
        Empty where there is no face, whatever the selection.

    Raises
    ------
    DataError
        Several faces, and the selection is "error".
    UnknownNameError
        There is no such selection.
    """
    if selection not in get_args(FaceSelection):
        raise UnknownNameError("selection of faces", selection, get_args(FaceSelection))
    if selection == "all" or len(faces) < 2:
        return list(faces)
    if selection == "error":
        raise DataError(f"{len(faces)} faces, expected one; crop the photo, or choose the largest face")
    boxes = np.stack([face.box for face in faces])
    weight = area(boxes)
    if selection == "centre":
        weight = weight - 2 * ((centre(boxes) - np.array(size) / 2) ** 2).sum(axis=1)
    return [faces[int(weight.argmax())]]


def pixels_of(photo: Photo) -> NDArray[np.uint8]:
    """Upright pixels of a photo, uint8 (H, W, 3) RGB; pixels of that shape are taken as they are."""
    if isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.shape[2:] == (3,) and photo.size:
        return photo
    return read_image(as_file(photo))
