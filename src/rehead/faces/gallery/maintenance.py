"""Maintenance of a gallery: rebuilt for another embedder, or exported."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.progress import Progress
from ...data import list_photos
from ...errors import DataError, GalleryError, ImageError
from ...images import read_bytes
from ..pipeline import FacePipeline
from ..types import FaceSelection
from .records import PhotoRecord
from .store import GalleryStore

__all__ = ["Rebuilt", "export_gallery", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild: photos embedded anew, and those that could not be (path and reason)."""

    photos: int
    lost: list[tuple[str, str]]


def rebuild(
    path: str | os.PathLike[str],
    pipeline: FacePipeline,
    *,
    key: bytes | None = None,
    photos: Sequence[str | os.PathLike[str]] = (),
    drop_missing: bool = False,
    selection: FaceSelection = "centre",
    progress: Progress | None = None,
) -> Rebuilt:
    """Replace all templates of a gallery by those of another embedder; names, consent and days are kept.

    Photos are found where they were when they were enrolled, or by their content in the given folders.

    Parameters
    ----------
    path : path
    pipeline : FacePipeline
        With the new embedder.
    key : bytes, optional
    photos : sequence of path
        Folders to search for photos that have been moved.
    drop_missing : bool
        Whether to remove photos that are not found or show no face.
    selection : {"largest", "centre"}
    progress : callable, optional

    Raises
    ------
    GalleryError
        Photos are missing, and `drop_missing` is not set: then nothing is changed.
    """
    with GalleryStore(path, key=key) as store:
        records = store.photos()
        located, lost = _locate(records, photos)
        files = [file for _, file in located]
        templates = []
        results = pipeline.analyze_each(files, selection, need_face=True, progress=progress)
        for (record, _), result in zip(located, results, strict=True):
            if isinstance(result, ImageError):
                lost.append((record.path, result.reason))
            else:
                templates.append((record.row, result.vectors[0], result.faces[0].to_dict()))
        if lost and not drop_missing:
            first, reason = lost[0]
            raise GalleryError(
                f"{store.path}: {len(lost)} of {len(records)} photos cannot be embedded anew, such as "
                f"{first} ({reason}); name the folder they are in with --photos, or give --drop-missing "
                "to forget them"
            )
        if records and not templates:
            raise GalleryError(
                f"{store.path}: none of the {len(records)} photos is left; nothing was changed"
            )
        store.replace_templates(pipeline.embedder.embedding_spec, templates)
    return Rebuilt(len(templates), lost)


def _locate(
    records: list[PhotoRecord], folders: Sequence[str | os.PathLike[str]]
) -> tuple[list[tuple[PhotoRecord, Path]], list[tuple[str, str]]]:
    """Photos with where they are now, and those that are nowhere."""
    moved: dict[str, Path] = {}
    for folder in folders:
        for file in list_photos(folder):
            moved.setdefault(_digest(file), file)
    located, lost = [], []
    for record in records:
        unmoved = _digest(Path(record.path)) == record.sha256
        if place := Path(record.path) if unmoved else moved.get(record.sha256):
            located.append((record, place))
        else:
            lost.append((record.path, "the photo is not there, or was changed"))
    return located, lost


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(file)).hexdigest()
    except (ImageError, DataError):
        return ""


def export_gallery(
    path: str | os.PathLike[str],
    *,
    key: bytes | None = None,
    person: str | None = None,
    templates: bool = False,
) -> dict[str, Any]:
    """All that is stored of one person, or of everybody.

    Parameters
    ----------
    path : path
    key : bytes, optional
    person : str, optional
    templates : bool
        Whether embeddings are included, unencrypted, but for people who have expired.

    Returns
    -------
    dict
        JSON-able: "embedder", and "people" with their "photos".
    """
    with GalleryStore(path, key=key) as store:
        people = [store.person(person)] if person is not None else store.people()
        vectors: dict[str, list[list[float]]] = {}
        if templates:
            stored = store.templates()
            for number, name in enumerate(stored.names):
                vectors[name] = stored.vectors[stored.people == number].astype(float).round(7).tolist()
        records = []
        for each in people:
            photos: list[dict[str, Any]] = [
                {"path": p.path, "sha256": p.sha256, "added": p.added, "face": dict(p.face)}
                for p in store.photos(each.name)
            ]
            for photo, vector in zip(photos, vectors.get(each.name, []), strict=False):
                photo["embedding"] = vector
            records.append({**vars(each), "expired": each.expired, "photos": photos})
        return {"embedder": store.embedding_spec, "encrypted": store.encrypted, "people": records}
