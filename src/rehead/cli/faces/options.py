"""What several verbs of `rehead faces` share: their options, and what these are turned into."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .detect import DetectorChoice

if TYPE_CHECKING:
    from ...faces.pipeline import FacePipeline
    from ...faces.verification.calibration import Calibration

__all__ = [
    "CalibrationFile",
    "CommercialSafe",
    "DetectorName",
    "EmbedderName",
    "GalleryFile",
    "KeyFile",
    "Meant",
    "SeveralFaces",
    "Threads",
    "load_pipeline",
    "read_calibration_file",
]


class Meant(StrEnum):
    """Which of several faces in a photo is meant."""

    centre = "centre"
    largest = "largest"
    error = "error"


GalleryFile = Annotated[
    Path, typer.Option("--gallery", "-g", help="File of the gallery.", show_default=False)
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="File with the gallery's key; else it is taken from REHEAD_GALLERY_KEY.",
        show_default=False,
    ),
]
DetectorName = Annotated[DetectorChoice, typer.Option("--detector", help="How faces are found.")]
SeveralFaces = Annotated[
    Meant,
    typer.Option(
        "--several", help="Several faces in a photo: take the one in the centre, the largest, or none."
    ),
]
EmbedderName = Annotated[
    str,
    typer.Option(
        "--embedder",
        help="dlib, FaceNet's weights (.pt or .h5), or an ONNX file with its JSON record beside it.",
    ),
]
CommercialSafe = Annotated[
    bool,
    typer.Option(
        "--commercial-safe",
        help="Refuse an embedder whose code or weights are not stated to be free for commercial use.",
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="What scores mean, as `rehead faces evaluate` saves it; the embedder's own by default.",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Processors to use; all by default.", show_default=False),
]


def load_pipeline(
    detector: str, embedder: str, threads: int | None, *, commercial_safe: bool
) -> FacePipeline:
    """Detector and embedder by name or path."""
    from ...faces.pipeline import default_pipeline

    return default_pipeline(detector, embedder, threads=threads, commercial_safe=commercial_safe)


def read_calibration_file(path: Path | None) -> Calibration | None:
    """The calibration in a file, None where none was named."""
    if path is None:
        return None
    from ...faces.verification.calibration import read_calibration

    return read_calibration(path)
