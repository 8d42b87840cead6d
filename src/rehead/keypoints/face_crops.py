"""Points on the faces of a photo: a detector finds them, and the model sees each as faces in training were.

The model learnt from photos in which the points take up some part of the frame, which its manifest has. Each
face is cut out so that its box takes up that part; where the points that are placed take up another,
because a detector's box is not the points' box, the frame is cut anew around them and they are placed again.
A model that learnt in squares around found faces (`face_frame`) sees the same squares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress
from ..errors import DatasetError, ImageError, NotAModelFileError
from ..images import patches, read_image, write_png
from .annotations import Annotations
from .formats import CENTRE
from .predictor import KeypointPrediction, KeypointPredictor

__all__ = [
    "NO_FACE",
    "OTHER_FACE",
    "FaceFinder",
    "FaceFrame",
    "cut_to_faces",
    "face_of",
    "frame_of",
    "place_on_faces",
]


_LEAST = 1.0  # pixels: a frame is at least so wide and high


def frame_of(points: NDArray[np.float64], sizes: NDArray[np.int64]) -> dict[str, Any]:
    """What part of the photo points take up, for the manifest.

    Parameters
    ----------
    points : float64 ndarray (n, K, 2)
        In units of the sides; NaN where missing.
    sizes : int ndarray (n, 2)

    Returns
    -------
    dict
        "box": x0, y0, x1, y1 of the points, in units of the sides, and "aspect": width over height of the
        photos; medians.
    """
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    box = np.median(np.concatenate([low, high], axis=1), axis=0)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
    return {"box": [round(v, 6) for v in box.tolist()], "aspect": round(aspect, 6)}


def place_on_faces(
    model: KeypointPredictor, detector: FaceFinder, photos: Sequence[str | os.PathLike[str]]
) -> Iterator[list[KeypointPrediction] | ImageError]:
    """Points of every face, in pixels of the photo, photo by photo; an ImageError for an unreadable one.

    Parameters
    ----------
    model : KeypointPredictor
    detector : FaceFinder
    photos : sequence of path

    Yields
    ------
    list of KeypointPrediction
        The largest face first, each with its `face` box; empty where there is none.

    Raises
    ------
    NotAModelFileError
        The model does not say how large its faces were, or has a single point.
    """
    if "faces" in model.manifest:
        yield from _as_trained(model, FaceFrame(**model.manifest["faces"]), detector, photos)
        return
    frame = model.manifest["points"].get("frame")
    low, high = np.array(frame["box"]).reshape(2, 2) if frame else np.zeros((2, 2))
    if not ((high - low) > 0).all():
        raise NotAModelFileError("the model does not say how large faces were in its photos; train it again")

    def place(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> KeypointPrediction:
        guess = _placed(model, pixels, _window(box, low, high, frame["aspect"]))
        known = guess.points + CENTRE
        reached = np.concatenate([known.min(axis=0), known.max(axis=0)])
        return _placed(model, pixels, _window(reached, low, high, frame["aspect"]))

    yield from _each(place, detector, photos)


def _as_trained(
    model: KeypointPredictor, frame: FaceFrame, detector: FaceFinder, photos: Sequence[str | os.PathLike[str]]
) -> Iterator[list[KeypointPrediction] | ImageError]:
    """In the squares that the model learnt in."""

    def place(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> KeypointPrediction:
        return _placed(model, pixels, frame.window(box))

    return _each(place, detector, photos)


def _each(
    place: Callable[[NDArray[np.uint8], NDArray[np.float64]], KeypointPrediction],
    detector: FaceFinder,
    photos: Sequence[str | os.PathLike[str]],
) -> Iterator[list[KeypointPrediction] | ImageError]:
    for photo in photos:
        try:
            pixels = read_image(photo)
            faces = detector.detect(pixels)
        except ImageError as error:
            yield ImageError(photo, error.reason)
            continue
        yield [
            replace(place(pixels, face.box), photo=os.fspath(photo), face=tuple(face.box.tolist()))
            for face in faces
        ]


def _window(
    box: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], aspect: float
) -> NDArray[np.float64]:
    """The frame x0, y0, x1, y1 in which `box`, in pixels, lies as low..high does in the unit square."""
    size = np.maximum(box[2:] - box[:2], _LEAST)
    share = high - low
    height = np.sqrt(size.prod() / (share.prod() * aspect))
    sides = np.array([aspect * height, height])
    corner = (box[:2] + box[2:]) / 2 - (low + high) / 2 * sides
    return np.concatenate([corner, corner + sides])


def _placed(
    model: KeypointPredictor, pixels: NDArray[np.uint8], window: NDArray[np.float64]
) -> KeypointPrediction:
    """Points of the frame, in pixels of the photo."""
    seen = patches(pixels, window[None], model.preprocess.size)
    return model.place(seen[0], (pixels.shape[1], pixels.shape[0]), window)


_REACH = 0.01  # share of the photos whose points may reach beyond the square without its margin, on each side
_MARGIN = 0.1  # of what the points take up, on each side
_HELD = 0.5  # of the points that are known: a box that holds fewer is that of another face


class DetectedFace(Protocol):
    """A face that was found."""

    @property
    def box(self) -> NDArray[np.float64]:
        """Left, top, right and bottom, in pixels of the upright photo."""


class FaceFinder(Protocol):
    """Finds the faces of a photo, the largest first."""

    @property
    def name(self) -> str:
        """As the model file will have it."""

    def detect(self, photo: NDArray[np.uint8]) -> Sequence[DetectedFace]:
        """Faces of an upright photo, uint8 (height, width, 3) RGB."""


NO_FACE = "no face was found in it"
OTHER_FACE = "no face was found around its points"


@dataclass(frozen=True)
class FaceFrame:
    """A square, placed by a face's box, in units of the box's size (the root of its area).

    Parameters
    ----------
    detector : str
        What found the boxes.
    x, y : float
        Middle of the square, from that of the box.
    side : float
    """

    detector: str
    x: float
    y: float
    side: float

    def window(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """The square x0, y0, x1, y1 for a box, in pixels; a whole number of them wide."""
        size = float(np.sqrt(max((box[2:] - box[:2]).prod(), 1.0)))
        middle = (box[:2] + box[2:]) / 2 + size * np.array([self.x, self.y])
        side = max(round(self.side * size), 2)
        corner = middle - side / 2
        return np.concatenate([corner, corner + side])

    def to_dict(self) -> dict[str, Any]:
        """As the manifest has it."""
        return asdict(self)


def face_of(points: NDArray[np.float64], boxes: Sequence[NDArray[np.floating]]) -> int | None:
    """Which box the points (K, 2) are in: that which holds most of them; None where it holds too few."""
    known = points[~np.isnan(points[:, 0])]
    held = [((known >= box[:2]) & (known <= box[2:])).all(axis=1).mean() for box in boxes]
    best = int(np.argmax(held)) if held else None
    return best if best is not None and held[best] >= _HELD else None


def cut_to_faces(
    rows: Annotations,
    detector: FaceFinder,
    folder: Path,
    side: int,
    progress: Progress | None = None,
) -> tuple[Annotations, FaceFrame]:
    """Cut the annotated face out of each photo.

    Parameters
    ----------
    rows : Annotations
    detector : FaceFinder
    folder : Path
        Where the squares are written.
    side : int
        Of the files, pixels.
    progress : callable, optional
        Called as progress(done, total) while faces are looked for.

    Returns
    -------
    Annotations, FaceFrame
        The squares, with points and sizes in pixels of the photos, and their corners; photos without a face
        are listed with what could not be read.

    Raises
    ------
    DatasetError
        No photo has a face around its points.
    """
    boxes: dict[int, NDArray[np.float64]] = {}
    left_out = []
    for n, path in enumerate(rows.paths):
        try:
            faces = detector.detect(read_image(path))
        except ImageError as error:
            left_out.append((rows.ids[n], error.reason))
            continue
        chosen = face_of(rows.points[n], [face.box for face in faces])
        if chosen is not None:
            boxes[n] = np.asarray(faces[chosen].box, dtype=np.float64)
        else:
            left_out.append((rows.ids[n], OTHER_FACE if faces else NO_FACE))
        if progress:
            progress(n + 1, len(rows))
    if not boxes:
        raise DatasetError(
            f"{rows.source}: {detector.name} found no face around the points of any of {len(rows)} photos; "
            "try another --detector, or leave out --detect"
        )
    kept = rows.take(list(boxes))
    frame = _frame(np.stack(list(boxes.values())), kept.points, detector.name)
    windows = np.stack([frame.window(box) for box in boxes.values()])
    paths = tuple(folder / f"{n:06d}.png" for n in range(len(kept)))
    for path, photo, window in zip(paths, kept.paths, windows, strict=True):
        write_png(path, patches(read_image(photo), window[None], side)[0])
    corners = windows[:, :2]
    cut = replace(
        kept,
        paths=paths,
        photos=kept.paths,
        corners=corners,
        points=kept.points - corners[:, None],
        sizes=(windows[:, 2:] - corners).round().astype(np.int64),
        unreadable=(*rows.unreadable, *left_out),
        notes=(*rows.notes, *_note(len(left_out), len(rows), detector.name)),
    )
    return cut, frame


def _frame(boxes: NDArray[np.float64], points: NDArray[np.float64], detector: str) -> FaceFrame:
    """The square that holds the points of nearly all photos."""
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = (points - middle[:, None]) / size[:, None, None]
    low = np.quantile(np.nanmin(reach, axis=1), _REACH, axis=0)
    high = np.quantile(np.nanmax(reach, axis=1), 1 - _REACH, axis=0)
    x, y = (low + high) / 2
    side = float((high - low).max()) * (1 + 2 * _MARGIN)
    return FaceFrame(detector, round(float(x), 6), round(float(y), 6), round(max(side, 0.1), 6))


def _note(count: int, photos: int, detector: str) -> list[str]:
    note = [
        f"Points were learnt in squares around the faces that {detector} found; shares are of their side."
    ]
    if count:
        note.append(
            f"{count} of {photos} photos, in which it found no face around the points, were left out."
        )
    return note
