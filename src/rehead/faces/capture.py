"""Collecting a person's face from a camera, a video file or a folder of photos."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import output_errors
from ..data import list_photos
from ..errors import DataError, ImageError, MissingExtraError
from ..images import is_image_name, read_image, write_jpeg
from .crops import CropPlan
from .detection.detector import FaceDetector
from .detection.quality import QualityLimits
from .types import Face, select_faces

__all__ = ["Capture", "CapturedFrame", "capture", "frames"]

_WEBCAM = re.compile(r"webcam(?::(\d{1,3}))?")


@dataclass(frozen=True, eq=False)
class CapturedFrame:
    """One frame, and what became of it.

    Parameters
    ----------
    frame : uint8 array of shape (H, W, 3), RGB
    face : Face or None
        The selected face: the largest near the centre.
    note : str
        Why it was not kept; "" where it was.
    kept : int
        Faces kept so far.
    """

    frame: NDArray[np.uint8]
    face: Face | None
    note: str
    kept: int


@dataclass
class Capture:
    """The result of a capture.

    Parameters
    ----------
    train, val : list of path
        The files written.
    frames : int
        Frames examined.
    rejected : Counter of str
        Frames that gave no face, counted by reason.
    unreadable : list of (path, str)
        Photos of a folder that cannot be read, and why.
    """

    train: list[Path] = field(default_factory=list)
    val: list[Path] = field(default_factory=list)
    frames: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def capture(
    source: str | os.PathLike[str],
    person: str,
    out: str | os.PathLike[str],
    *,
    detector: FaceDetector,
    count: int = 100,
    val: float = 0.0,
    every: int = 1,
    limits: QualityLimits | None = None,
    crops: CropPlan | None = None,
    on_frame: Callable[[CapturedFrame], bool] | None = None,
) -> Capture:
    """Keep faces until there are enough, the source ends, or the callback stops it.

    Each is a JPEG in OUT/PERSON or, with `val`, in OUT/train/PERSON and OUT/val/PERSON; numbers go on where
    earlier ones end, and nothing is overwritten. The last frames become the validation photos: taken at
    random, nearly every one would have a neighbour among those trained on.

    Parameters
    ----------
    source : str or path
        "webcam", "webcam:1" for the second one, a video file or a folder of photos.
    person : str
        Name of the folder.
    out : path
    detector : FaceDetector
    count : int
        Faces to keep.
    val : float
        Share of them for validation, 0 to 0.9.
    every : int
        Examine every n-th frame.
    limits : QualityLimits, optional
        Faces outside of them are left out.
    crops : CropPlan, optional
        Size and margin; by default 224 pixels with half a face around, so that detectors find the face
        in the crop.
    on_frame : callable, optional
        Called with every frame examined; returns whether to go on. KeyboardInterrupt ends as well.

    Raises
    ------
    DataError
        The source cannot be opened, or a value is out of range.
    MissingExtraError
        A camera or a video without OpenCV.
    OutputError
        A file cannot be written; what was kept so far stays.
    """
    _check(person, count, val, every)
    limits, crops = limits or QualityLimits(side=64), crops or CropPlan(224, 0.5)
    folders = [Path(out, "train", person), Path(out, "val", person)] if val else [Path(out, person)] * 2
    result = Capture()
    number = _last_number(set(folders)) + 1
    stream = frames(source, result.unreadable)
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(stream):
        for index, frame in enumerate(stream):
            if index % every:
                continue
            result.frames += 1
            face, note = _select(frame, detector, limits)
            if face is not None and not note:
                path = folders[0] / f"{person}_{number + len(result.train):04d}.jpg"
                write_jpeg(path, crops.cut(frame, face))
                result.train.append(path)
            else:
                result.rejected[note] += 1
            going_on = on_frame is None or on_frame(CapturedFrame(frame, face, note, len(result.train)))
            if not going_on or len(result.train) >= count:
                break
    _move_to_validation(result, folders[1], val)
    return result


def frames(
    source: str | os.PathLike[str], unreadable: list[tuple[Path, str]]
) -> Generator[NDArray[np.uint8], None, None]:
    """Yield frames, uint8 (H, W, 3) RGB; photos that cannot be read are added to `unreadable`."""
    name = os.fspath(source)
    if webcam := _WEBCAM.fullmatch(name):
        yield from _video(int(webcam[1] or 0), name)
    elif Path(name).is_dir() or (Path(name).is_file() and is_image_name(name)):
        for path in list_photos(name):
            try:
                yield read_image(path)
            except ImageError as error:
                unreadable.append((path, error.reason))
    elif Path(name).is_file():
        yield from _video(name, name)
    else:
        raise DataError(f"{name}: there is no such video or folder; webcam takes the camera")


def _video(source: int | str, name: str) -> Generator[NDArray[np.uint8], None, None]:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(
            "cameras and videos need another package: pip install 'rehead[haar]'"
        ) from error
    with _quiet(cv2):
        stream = cv2.VideoCapture(source)
        try:
            if not stream.isOpened():
                raise DataError(
                    f"{name}: no camera can be opened; is it connected, and free?"
                    if isinstance(source, int)
                    else f"{name}: not a video that OpenCV can open; expected such as .mp4, .avi or .mkv"
                )
            any_frame = False
            while (read := stream.read())[0]:
                any_frame = True
                yield np.ascontiguousarray(read[1][..., ::-1])  # OpenCV has blue first
            if not any_frame:
                why = "is it taken?" if isinstance(source, int) else "the video is damaged or empty"
                raise DataError(f"{name}: no frame can be read; {why}")
        finally:
            stream.release()


@contextlib.contextmanager
def _quiet(cv2: Any) -> Iterator[None]:
    """Silence OpenCV's log and FFmpeg's, which would stand between the lines of the command."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read with the first video
    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)


def _select(
    frame: NDArray[np.uint8], detector: FaceDetector, limits: QualityLimits
) -> tuple[Face | None, str]:
    """The face of a frame, and why it is rejected, "" where it is not."""
    faces = select_faces(detector.detect(frame), "centre", (frame.shape[1], frame.shape[0]))
    if not faces:
        return None, "no face"
    return faces[0], next(iter(limits.kinds(faces[0].quality)), "")


def _check(person: str, count: int, val: float, every: int) -> None:
    if not person.strip() or person.startswith(".") or re.search(r'[/\\:*?"<>|\x00-\x1f]', person):
        raise DataError(f"person {person!r}: expected a name that can be a folder's; no / or such in it")
    if count < 1 or every < 1 or not 0 <= val <= 0.9:
        raise DataError(
            f"capture: expected a count and a step of 1 or more and a validation share of 0 to 0.9, "
            f"not {count}, {every} and {val}"
        )


def _last_number(folders: set[Path]) -> int:
    """The highest number that a file in the folders ends with, 0 where there is none."""
    names = [path.stem for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return max((int(end[1]) for name in names if (end := re.search(r"_(\d{1,9})$", name))), default=0)


def _move_to_validation(result: Capture, folder: Path, val: float) -> None:
    """Move the last share of what was kept to the validation folder."""
    count = round(val * len(result.train))
    if not count:
        return
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in result.train[-count:]:
            result.val.append(path.rename(folder / path.name))
    del result.train[-count:]
