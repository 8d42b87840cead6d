"""What several verbs of `rehead faces` share: their options, and what these are turned into."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ...core.options import Opt
from ...faces.gallery.place import PostgresPlace, gallery_place
from ...faces.options import FaceOptions
from ..console import say

if TYPE_CHECKING:
    from ...faces.gallery.encryption import GalleryKey
    from ...faces.pipeline import FacePipeline
    from ...faces.verification.calibration import Calibration

__all__ = [
    "READABLE",
    "GalleryFile",
    "KeyFile",
    "TwoFaces",
    "gallery_key",
    "load_pipeline",
    "read_calibration_file",
]

GalleryFile = Annotated[
    Path | PostgresPlace,
    Opt(help="File of the gallery, or postgresql://...", flag="--gallery -g", parse=gallery_place),
]
KeyFile = Annotated[
    Path | None,
    Opt(
        help="File with the gallery's key, which `enroll` makes for a new one; else REHEAD_GALLERY_KEY.",
        default=None,
    ),
]
READABLE = (
    "searched by pgvector: the database can read the faces' vectors, in half precision, and its index can "
    "miss a face; `rehead faces gallery misses` measures how often"
)


@dataclass(kw_only=True, repr=False, eq=False)
class TwoFaces(FaceOptions):
    """Faces that are compared: the largest of each photo."""

    selection: Literal["centre", "largest", "error"] = "largest"


def load_pipeline(faces: FaceOptions, threads: int | None) -> FacePipeline:
    """Detector and embedder by name or path."""
    from ...faces.pipeline import default_pipeline

    return default_pipeline(
        str(faces.detector), str(faces.embedder), threads=threads, commercial_safe=faces.commercial_safe
    )


def gallery_key(gallery: Path | PostgresPlace, key_file: Path | None) -> GalleryKey | None:
    """The key of a gallery; it is said where others can read the file of either."""
    from ...faces.gallery.encryption import find_key, open_to_others

    key = find_key(key_file)
    for path in (gallery, key_file):
        if isinstance(path, Path) and path.is_file() and open_to_others(path):
            say(f"rehead: other users can read {path}; run `chmod 600 {shlex.quote(str(path))}`", err=True)
    return key


def read_calibration_file(path: Path | None) -> Calibration | None:
    """The calibration in a file, None where none was named."""
    if path is None:
        return None
    from ...faces.verification.calibration import read_calibration

    return read_calibration(path)
