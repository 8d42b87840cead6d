"""Faces cut out of photos: aligned crops as files, and faces.json with where each came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import replacing_folder, write_text
from ..core.geometry import similarity
from ..core.parallel import map_in_order
from ..core.progress import Progress, tracked
from ..errors import DataError, ImageError, OutputError
from ..images import read_image, warped, write_jpeg
from .detection.detector import FaceDetector
from .detection.quality import QualityLimits
from .embedding.alignment import with_margin
from .types import Face, FaceSelection, select_faces

__all__ = ["CropNames", "CropPlan", "PhotoFaces", "check_new", "detect_faces", "save_crops"]

_MIN_SIDE = 16  # pixels; no network takes less


@dataclass(frozen=True)
class CropPlan:
    """How faces are cut out.

    Parameters
    ----------
    size : int
        Side of the squares, pixels.
    margin : float
        Added on every side of the face (brows to chin), as a share of it; 0 to 4.
    """

    size: int = 160
    margin: float = 0.25

    def __post_init__(self) -> None:
        if self.size < _MIN_SIDE or not 0 <= self.margin <= 4:
            raise DataError(
                f"crops: expected a size of {_MIN_SIDE} pixels or more and a margin of 0 to 4, "
                f"not {self.size} and {self.margin}"
            )

    def cut(self, pixels: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """The aligned square, uint8 (size, size, 3)."""
        return warped(
            pixels, similarity(face.points, with_margin("arcface", self.size, self.margin)), self.size
        )


@dataclass(frozen=True, eq=False)
class PhotoFaces:
    """The faces of one photo.

    Parameters
    ----------
    path : path
    size : (width, height)
        Of the upright photo; (0, 0) where it cannot be read.
    faces : tuple of Face
        Faces selected.
    crops : tuple of uint8 array (S, S, 3)
        One for each face, where crops were requested.
    found : int
        Faces detected.
    error : str
        Why the photo could not be used; "" otherwise.
    """

    path: Path
    size: tuple[int, int]
    faces: tuple[Face, ...]
    crops: tuple[NDArray[np.uint8], ...]
    found: int
    error: str = ""

    def to_dict(self, files: Sequence[str] = ()) -> dict[str, Any]:
        """JSON-able record; `files` are the names of the crops."""
        if self.error:
            return {"photo": str(self.path), "error": self.error}
        faces = [
            {**face.to_dict(), "complaints": list(QualityLimits().complaints(face.quality))}
            for face in self.faces
        ]
        for face, file in zip(faces, files, strict=bool(files)):
            face["crop"] = file
        return {
            "photo": str(self.path),
            "width": self.size[0],
            "height": self.size[1],
            "found": self.found,
            "faces": faces,
        }


def detect_faces(
    files: Sequence[Path],
    detector: FaceDetector,
    *,
    selection: FaceSelection = "all",
    crops: CropPlan | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[PhotoFaces]:
    """Detect the faces of many photos, in order; what is wrong with a photo is in its `error`, not raised.

    Parameters
    ----------
    files : sequence of path
    detector : FaceDetector
        Best with one thread: photos run in parallel.
    selection : {"all", "largest", "centre", "error"}
        As in `select_faces`; with "error", a photo with several faces has an `error`.
    crops : CropPlan, optional
        Cut the faces out too.
    threads : int, optional
        Photos to detect in at once, one for each processor by default.
    progress : callable, optional
        Called with the photos done and their total.
    """

    def detect(file: Path) -> PhotoFaces:
        try:
            pixels = read_image(file)
        except ImageError as error:
            return PhotoFaces(file, (0, 0), (), (), 0, error.reason)
        size = (pixels.shape[1], pixels.shape[0])
        found = detector.detect(pixels)
        try:
            faces = tuple(select_faces(found, selection, size))
        except DataError as error:
            return PhotoFaces(file, size, (), (), len(found), str(error))
        cut = tuple(crops.cut(pixels, face) for face in faces) if crops else ()
        return PhotoFaces(file, size, faces, cut, len(found))

    found = map_in_order(detect, files, threads=threads)
    yield from tracked(found, len(files), progress, "Detecting faces")


class CropNames:
    """Unique names for crops that keep the photos' folders.

    "rani/1.png" with one face gives "rani/1.jpg", with two "rani/1-1.jpg" and "rani/1-2.jpg"; of ten and
    more the first is "rani/1-01.jpg".
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, photo: PurePath, count: int) -> list[str]:
        """Names of the `count` faces of `photo`, a relative path."""
        stem = photo.with_suffix("").as_posix()
        digits = len(str(count))
        ends = [""] if count == 1 else [f"-{n:0{digits}d}" for n in range(1, count + 1)]
        return [self._unused(stem + end) for end in ends]

    def _unused(self, stem: str) -> str:
        name, again = f"{stem}.jpg", 2
        while name.casefold() in self._taken:  # a.png beside a.jpg; file systems may ignore case
            name, again = f"{stem}_{again}.jpg", again + 1
        self._taken.add(name.casefold())
        return name


def save_crops(
    results: Iterable[PhotoFaces],
    out: str | os.PathLike[str],
    *,
    roots: Sequence[Path],
    plan: CropPlan,
    detector: str,
) -> list[PhotoFaces]:
    """Write the crops and faces.json into a new folder, whole or not at all.

    Parameters
    ----------
    results : iterable of PhotoFaces
        With their crops, each of which is written as it comes.
    out : path
        A folder that is not there yet, or empty: nothing is ever overwritten.
    roots : sequence of path
        The folder that each photo was found in, or the photo itself: below it the crops keep their folders.
    plan : CropPlan
    detector : str
        Its name, for the record.

    Returns
    -------
    list of PhotoFaces
        Without the crops.

    Raises
    ------
    OutputError
        The folder holds something already, or cannot be written.
    """
    check_new(out)
    names, kept, records = CropNames(), list[PhotoFaces](), list[dict[str, Any]]()
    with replacing_folder(out) as beside:
        for result, root in zip(results, roots, strict=True):
            below = PurePath(root.name) if result.path == root else result.path.relative_to(root)
            own = names.of(below, len(result.crops))
            for name, crop in zip(own, result.crops, strict=True):
                write_jpeg(beside / name, crop, sync=False)
            records.append(result.to_dict(own))
            kept.append(replace(result, crops=()))
        template = with_margin("arcface", plan.size, plan.margin).round(3).tolist()
        record = {"detector": detector, "crops": {**vars(plan), "template": template}, "photos": records}
        write_text(beside / "faces.json", json.dumps(record, indent=1, ensure_ascii=False))
    return kept


def check_new(out: str | os.PathLike[str]) -> None:
    """Check that a folder is not there, or is empty; OutputError otherwise."""
    folder = Path(out)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds files already, which are not overwritten; choose a new folder")
