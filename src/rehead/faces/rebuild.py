"""A gallery for another embedder: the same people and photos, embedded anew."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..datasets import list_photos
from ..errors import DataError, GalleryError, ImageError
from ..features import Progress
from ..images import read_bytes
from .face import Rule
from .gallery import Rebuilt, face_record
from .pipeline import FacePipeline
from .records import PhotoRecord
from .store import GalleryStore

__all__ = ["rebuild"]


def rebuild(
    path: str | os.PathLike[str],
    pipeline: FacePipeline,
    *,
    key: bytes | None = None,
    photos: Sequence[str | os.PathLike[str]] = (),
    drop_missing: bool = False,
    rule: Rule = "centre",
    progress: Progress | None = None,
) -> Rebuilt:
    """Exchange all templates of a gallery for those of another embedder; names, consent and days are kept.

    Photos are found where they were when they were enrolled, or by their content in the given folders.

    Parameters
    ----------
    path : path
    pipeline : FacePipeline
        With the new embedder.
    key : bytes, optional
    photos : sequence of path
        Folders to look in for photos that have been moved.
    drop_missing : bool
        Whether to forget photos that are not found or in which no face is.
    rule : {"largest", "centre"}
    progress : callable, optional

    Raises
    ------
    GalleryError
        Photos are missing, and `drop_missing` is not set: then nothing is changed.
    """
    with GalleryStore(path, key=key) as store:
        records = store.photos()
        places, lost = _places(records, photos)
        here = [record for record in records if record.row in places]
        fresh = []
        looked = pipeline.look_each([places[record.row] for record in here], rule, progress=progress)
        for record, seen in zip(here, looked, strict=True):
            if isinstance(seen, ImageError) or not seen.faces:
                lost.append(
                    (record.path, seen.reason if isinstance(seen, ImageError) else "no face was found")
                )
            else:
                fresh.append((record.row, seen.vectors[0], face_record(seen.faces[0])))
        if lost and not drop_missing:
            first, reason = lost[0]
            raise GalleryError(
                f"{store.path}: {len(lost)} of {len(records)} photos cannot be embedded anew, such as "
                f"{first} ({reason}); name the folder they are in with --photos, or give --drop-missing "
                "to forget them"
            )
        if records and not fresh:
            raise GalleryError(
                f"{store.path}: none of the {len(records)} photos is left; nothing was changed"
            )
        store.replace_templates(pipeline.embedder.contract, fresh)
    return Rebuilt(len(fresh), lost)


def _places(
    records: list[PhotoRecord], folders: Sequence[str | os.PathLike[str]]
) -> tuple[dict[int, Path], list[tuple[str, str]]]:
    """Where each photo is now, by the record's row, and those that are nowhere."""
    moved: dict[str, Path] = {}
    for folder in folders:
        for file in list_photos(folder):
            digest = _digest(file)
            if digest:
                moved.setdefault(digest, file)
    places, lost = {}, []
    for record in records:
        file = Path(record.path)
        if _digest(file) == record.sha256:
            places[record.row] = file
        elif record.sha256 in moved:
            places[record.row] = moved[record.sha256]
        else:
            lost.append((record.path, "the photo is not there, or was changed"))
    return places, lost


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(file)).hexdigest()
    except (ImageError, DataError):
        return ""
