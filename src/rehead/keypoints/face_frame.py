"""The square around a face that points are learnt in, where faces are found first.

A detector's box says where a face is, not how far its points reach. How far they do is learnt from the boxes
and points of the training photos: the square holds nearly all of them, with a margin. The model file keeps
it, so that a new photo is cut out in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, ImageError
from ..faces import Detector
from ..features import Progress
from ..images import patches, read_image, write_png
from .annotations import Annotations

__all__ = ["NO_FACE", "OTHER_FACE", "FaceFrame", "NamedDetector", "cut_to_faces", "face_of"]

_REACH = 0.01  # share of the photos whose points may reach beyond the square without its margin, on each side
_MARGIN = 0.1  # of what the points take up, on each side
_HELD = 0.5  # of the points that are known: a box that holds fewer is that of another face


class NamedDetector(Detector, Protocol):
    """A detector that says what it is called."""

    @property
    def name(self) -> str:
        """As the model file will have it."""


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
    detector: NamedDetector,
    folder: Path,
    side: int,
    progress: Progress | None = None,
) -> tuple[Annotations, FaceFrame]:
    """Cut the annotated face out of each photo.

    Parameters
    ----------
    rows : Annotations
    detector : NamedDetector
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
