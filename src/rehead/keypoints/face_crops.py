"""Face crops: keypoints of every detected face in a photo, and training photos cropped to their faces.

A model's manifest says what part of the training photos the points took up. Each detected face is cropped so
that its box takes up that part; as a detector's box is not the points' box, the crop is then adjusted to the
predicted points, and they are predicted again. A model that was trained on face crops (`FaceFrame`) gets the
same crops. A face whose eyes are not level is turned upright first, and its points are turned back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import Matrix, centre, composed, invert, transformed
from ..core.photos import Photos, as_files, name_of
from ..core.progress import Progress, tracked
from ..errors import DatasetError, ImageError, NotAModelFileError
from ..images import patches, read_image, warped, write_png
from .annotations import Annotations
from .formats import CENTRE
from .predictor import KeypointPrediction, KeypointPredictor

__all__ = [
    "NO_FACE",
    "OTHER_FACE",
    "FaceFinder",
    "FaceFrame",
    "crop_to_faces",
    "match_face",
    "points_frame",
    "predict_on_faces",
]


_MIN_SIDE = 1.0  # pixels, of a box
_LEVEL = np.radians(5)  # eyes by less off the level are left so: turned or not, the error is the same


def points_frame(points: NDArray[np.float64], sizes: NDArray[np.int64]) -> dict[str, Any]:
    """What part of the photo the points take up, for the manifest.

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


def predict_on_faces(
    model: KeypointPredictor, detector: FaceFinder, photos: Photos
) -> Iterator[list[KeypointPrediction] | ImageError]:
    """Keypoints of every face, in pixels of the photo, photo by photo; an ImageError for an unreadable one.

    Parameters
    ----------
    model : KeypointPredictor
    detector : FaceFinder
    photos : photo or iterable of photos
        As `KeypointPredictor.predict` takes them.

    Yields
    ------
    list of KeypointPrediction
        The largest face first, each with its `face` box; empty where there is none.

    Raises
    ------
    NotAModelFileError
        The model does not say how large its faces were, or has a single point.
    """
    predict = _face_predictor(model)
    for photo in as_files(photos):
        try:
            pixels = read_image(photo)
            faces = detector.detect(pixels)
        except ImageError as error:
            yield ImageError(photo, error.reason)
            continue
        yield [
            replace(predict(pixels, face), photo=name_of(photo), face=tuple(face.box.tolist()))
            for face in faces
        ]


def _face_predictor(
    model: KeypointPredictor,
) -> Callable[[NDArray[np.uint8], DetectedFace], KeypointPrediction]:
    """Keypoints by the pixels of a photo and a face in it: in the crop that the model was trained on."""
    if "faces" in model.manifest:
        trained = FaceFrame(**model.manifest["faces"])
        return lambda pixels, face: _predict_crop(model, pixels, trained.crop_box(face.box), _turn(face))
    frame = model.manifest["points"].get("frame")
    low, high = np.array(frame["box"]).reshape(2, 2) if frame else np.zeros((2, 2))
    if not ((high - low) > 0).all():
        raise NotAModelFileError("the model does not say how large faces were in its photos; train it again")

    def predict(pixels: NDArray[np.uint8], face: DetectedFace) -> KeypointPrediction:
        turn = _turn(face)
        first = _predict_crop(model, pixels, _crop_box(face.box, low, high, frame["aspect"]), turn)
        points = transformed(first.points + CENTRE, turn)
        extent = np.concatenate([points.min(axis=0), points.max(axis=0)])
        return _predict_crop(model, pixels, _crop_box(extent, low, high, frame["aspect"]), turn)

    return predict


def _turn(face: DetectedFace) -> Matrix:
    """From points of the photo to points of the photo turned about the middle of the face, eyes level."""
    x, y = face.points[1] - face.points[0]
    angle = np.arctan2(y, x)
    if abs(angle) < _LEVEL:
        return np.eye(2, 3)
    c, s = np.cos(angle), np.sin(angle)
    linear, middle = np.array([[c, s], [-s, c]]), centre(face.box)
    return np.column_stack([linear, middle - linear @ middle])


def _crop_box(
    box: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], aspect: float
) -> NDArray[np.float64]:
    """The crop x0, y0, x1, y1 in which `box`, in pixels, lies as low..high does in the unit square."""
    size = np.maximum(box[2:] - box[:2], _MIN_SIDE)
    part = high - low
    height = np.sqrt(size.prod() / (part.prod() * aspect))
    sides = np.array([aspect * height, height])
    corner = (box[:2] + box[2:]) / 2 - (low + high) / 2 * sides
    return np.concatenate([corner, corner + sides])


def _predict_crop(
    model: KeypointPredictor, pixels: NDArray[np.uint8], box: NDArray[np.float64], turn: Matrix
) -> KeypointPrediction:
    """Keypoints, in pixels of the photo, of a crop of the turned photo."""
    side, size = model.preprocess.size, (pixels.shape[1], pixels.shape[0])
    linear = turn[:, :2]
    if (linear == np.eye(2)).all():
        return model.predict_crop(patches(pixels, box[None], side)[0], size, box)
    scale = side / (box[2:] - box[:2])
    to_crop = composed(np.column_stack([np.diag(scale), -scale * box[:2]]), turn)
    found = model.predict_crop(warped(pixels, to_crop, side), size, box)
    points = transformed(found.points + CENTRE, invert(turn)) - CENTRE
    return replace(found, points=points, covariance=linear.T @ found.covariance @ linear)


_TAIL = 0.01  # of the photos: points may lie beyond the crop without its margin, on each side
_MARGIN = 0.1  # of what the points take up, on each side
_MIN_INSIDE = 0.5  # of the known points: a box with fewer inside is that of another face


class DetectedFace(Protocol):
    """A detected face."""

    @property
    def box(self) -> NDArray[np.float64]:
        """Left, top, right and bottom, in pixels of the upright photo."""

    @property
    def points(self) -> NDArray[np.float64]:
        """(K, 2), in the same pixels: the eyes first, that on the left before that on the right."""


class FaceFinder(Protocol):
    """A face detector, as `faces.FaceDetector`."""

    @property
    def name(self) -> str:
        """For the model file."""

    def detect(self, photo: NDArray[np.uint8]) -> Sequence[DetectedFace]:
        """Faces of an upright photo, uint8 (height, width, 3) RGB, the largest first."""


NO_FACE = "no face was found in it"
OTHER_FACE = "no face was found around its points"


@dataclass(frozen=True)
class FaceFrame:
    """The square crop of a face, relative to its box, in units of the box's size (the root of its area).

    Parameters
    ----------
    detector : str
        Name of the detector of the boxes.
    x, y : float
        Middle of the square less that of the box.
    side : float
    """

    detector: str
    x: float
    y: float
    side: float

    def crop_box(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """The square x0, y0, x1, y1 for a face's box, in pixels; its side is a whole number."""
        size = float(np.sqrt(max((box[2:] - box[:2]).prod(), 1.0)))
        middle = (box[:2] + box[2:]) / 2 + size * np.array([self.x, self.y])
        side = max(round(self.side * size), 2)
        corner = middle - side / 2
        return np.concatenate([corner, corner + side])

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def match_face(points: NDArray[np.float64], boxes: Sequence[NDArray[np.floating]]) -> int | None:
    """Index of the box that the most points (K, 2) are inside; None where fewer than half are."""
    known = points[~np.isnan(points[:, 0])]
    inside = [((known >= box[:2]) & (known <= box[2:])).all(axis=1).mean() for box in boxes]
    best = int(np.argmax(inside)) if inside else None
    return best if best is not None and inside[best] >= _MIN_INSIDE else None


def crop_to_faces(
    rows: Annotations,
    detector: FaceFinder,
    folder: Path,
    side: int,
    progress: Progress | None = None,
) -> tuple[Annotations, FaceFrame]:
    """Crop each photo to its annotated face.

    Parameters
    ----------
    rows : Annotations
    detector : FaceFinder
    folder : Path
        For the crops.
    side : int
        Of the files, pixels.
    progress : callable, optional
        Called as progress(done, total) while faces are detected.

    Returns
    -------
    Annotations, FaceFrame
        The crops, with points and sizes in pixels of the photos, and their corners; photos without a face are
        listed as unreadable.

    Raises
    ------
    DatasetError
        No photo has a face around its points.
    """
    boxes: dict[int, NDArray[np.float64]] = {}
    left_out = []
    for n, path in tracked(enumerate(rows.paths), len(rows), progress, "Detecting faces"):
        try:
            faces = detector.detect(read_image(path))
        except ImageError as error:
            left_out.append((rows.ids[n], error.reason))
            continue
        chosen = match_face(rows.points[n], [face.box for face in faces])
        if chosen is not None:
            boxes[n] = np.asarray(faces[chosen].box, dtype=np.float64)
        else:
            left_out.append((rows.ids[n], OTHER_FACE if faces else NO_FACE))
    if not boxes:
        raise DatasetError(
            f"{rows.source}: {detector.name} found no face around the points of any of {len(rows)} photos; "
            "try another --detector, or leave out --detect"
        )
    kept = rows.take(list(boxes))
    frame = _fit_frame(np.stack(list(boxes.values())), kept.points, detector.name)
    crop_boxes = np.stack([frame.crop_box(box) for box in boxes.values()])
    paths = tuple(folder / f"{n:06d}.png" for n in range(len(kept)))
    for path, photo, box in zip(paths, kept.paths, crop_boxes, strict=True):
        write_png(path, patches(read_image(photo), box[None], side)[0], sync=False)
    corners = crop_boxes[:, :2]
    crops = replace(
        kept,
        paths=paths,
        photos=kept.paths,
        corners=corners,
        points=kept.points - corners[:, None],
        sizes=(crop_boxes[:, 2:] - corners).round().astype(np.int64),
        unreadable=(*rows.unreadable, *left_out),
        notes=(*rows.notes, *_note(len(left_out), len(rows), detector.name)),
    )
    return crops, frame


def _fit_frame(boxes: NDArray[np.float64], points: NDArray[np.float64], detector: str) -> FaceFrame:
    """The square that holds the points of nearly all photos."""
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    offsets = (points - middle[:, None]) / size[:, None, None]
    low = np.quantile(np.nanmin(offsets, axis=1), _TAIL, axis=0)
    high = np.quantile(np.nanmax(offsets, axis=1), 1 - _TAIL, axis=0)
    x, y = (low + high) / 2
    side = float((high - low).max()) * (1 + 2 * _MARGIN)
    return FaceFrame(detector, round(float(x), 6), round(float(y), 6), round(max(side, 0.1), 6))


def _note(count: int, photos: int, detector: str) -> list[str]:
    note = [
        f"The model was trained on square crops of the faces that {detector} found; errors in % are of "
        "their side."
    ]
    if count:
        note.append(
            f"{count} of {photos} photos, in which it found no face around the points, were left out."
        )
    return note
