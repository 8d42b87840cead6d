"""Points on the faces of a photo: a detector finds them, and the model sees each as faces in training were.

The model learnt from photos in which the points take up some part of the frame, which its manifest has. Each
face is cut out so that its box takes up that part; where the points that are placed take up another,
because a detector's box is not the points' box, the frame is cut anew around them and they are placed again.
A model that learnt in squares around found faces (`face_frame`) sees the same squares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, NotAModelFileError
from ..faces import Detector
from ..images import patches, read_image
from .face_frame import FaceFrame
from .formats import CENTRE
from .predict import KeypointPredictor, Placement

__all__ = ["frame_of", "place_on_faces"]

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
    model: KeypointPredictor, detector: Detector, photos: Sequence[str | os.PathLike[str]]
) -> Iterator[list[Placement] | ImageError]:
    """Points of every face, in pixels of the photo, photo by photo; an ImageError for an unreadable one.

    Parameters
    ----------
    model : KeypointPredictor
    detector : Detector
    photos : sequence of path

    Yields
    ------
    list of Placement
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

    def place(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> Placement:
        guess = _placed(model, pixels, _window(box, low, high, frame["aspect"]))
        known = guess.points + CENTRE
        reached = np.concatenate([known.min(axis=0), known.max(axis=0)])
        return _placed(model, pixels, _window(reached, low, high, frame["aspect"]))

    yield from _each(place, detector, photos)


def _as_trained(
    model: KeypointPredictor, frame: FaceFrame, detector: Detector, photos: Sequence[str | os.PathLike[str]]
) -> Iterator[list[Placement] | ImageError]:
    """In the squares that the model learnt in."""

    def place(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> Placement:
        return _placed(model, pixels, frame.window(box))

    return _each(place, detector, photos)


def _each(
    place: Callable[[NDArray[np.uint8], NDArray[np.float64]], Placement],
    detector: Detector,
    photos: Sequence[str | os.PathLike[str]],
) -> Iterator[list[Placement] | ImageError]:
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


def _placed(model: KeypointPredictor, pixels: NDArray[np.uint8], window: NDArray[np.float64]) -> Placement:
    """Points of the frame, in pixels of the photo."""
    seen = patches(pixels, window[None], model.preprocess.size)
    return model.place(seen[0], (pixels.shape[1], pixels.shape[0]), window)
