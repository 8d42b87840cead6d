"""Maintenance of a gallery: rebuilt for another embedder, compared with its photos, or exported."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core import atomic
from ...core.progress import Progress
from ...data import list_photos
from ...errors import DataError, GalleryError, ImageError
from ...images import file_digest
from ..pipeline import FacePipeline
from ..types import FaceSelection
from .encryption import GalleryKey
from .enrolment import PersonFolder, stored_path
from .place import PostgresPlace
from .records import PhotoRecord
from .store import GalleryStore

__all__ = [
    "Rebuilt",
    "changed_photos",
    "export_gallery",
    "find_photos",
    "lost_people",
    "rebuild",
    "write_private",
]


_DIGITS = 8  # of a digest, from which it names a photo


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild: photos embedded anew, and those that could not be (path and reason)."""

    photos: int
    lost: list[tuple[str, str]]


def rebuild(
    path: str | os.PathLike[str] | PostgresPlace,
    pipeline: FacePipeline,
    *,
    key: GalleryKey | bytes | None = None,
    photos: Sequence[str | os.PathLike[str]] = (),
    drop_missing: bool = False,
    selection: FaceSelection = "centre",
    progress: Progress | None = None,
) -> Rebuilt:
    """Replace all templates of a gallery by those of another embedder; names, consent and days are kept.

    Photos are found where they were when they were enrolled, or by their content in the given folders.

    Parameters
    ----------
    path : path or PostgresPlace
    pipeline : FacePipeline
        With the new embedder.
    key : GalleryKey or bytes, optional
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
                f"{store.place}: {len(lost)} of {len(records)} photos cannot be embedded anew, such as "
                f"{first} ({reason}); name the folder they are in with --photos, or give --drop-missing "
                "to forget them"
            )
        if records and not templates:
            raise GalleryError(
                f"{store.place}: none of the {len(records)} photos is left; nothing was changed"
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
        return file_digest(file)
    except (ImageError, DataError):
        return ""


def changed_photos(store: GalleryStore, of: PersonFolder) -> list[tuple[PhotoRecord, str]]:
    """Enrolled photos of a folder that are not in it any more, with what became of them.

    A photo that lies in the folder under another name is still there; one that cannot be read is not judged.
    """
    root = Path(stored_path(of.folder))
    changed = []
    for photo in store.photos(of.name):
        path = Path(os.path.normpath(photo.path))
        if path.is_relative_to(root):
            if not os.path.lexists(path):
                changed.append((photo, "was deleted"))
            elif _digest(path) not in ("", photo.sha256):
                changed.append((photo, "was replaced"))
    left = {_digest(file) for file in of.photos} if changed else set()
    return [(photo, reason) for photo, reason in changed if photo.sha256 not in left]


def lost_people(store: GalleryStore, folders: Sequence[PersonFolder]) -> list[tuple[str, str]]:
    """People enrolled from folders beside these whose photos are all gone: name and folder."""
    beside = {stored_path(each.folder.parent) for each in folders}
    lost: dict[str, str] = {}
    there = {each.name for each in folders if not each.problem}
    for name in {person.name for person in store.people()} - there:
        paths = [Path(photo.path) for photo in store.photos(name)]
        if paths and all(str(path.parent.parent) in beside and not path.exists() for path in paths):
            lost[name] = str(paths[0].parent)
    return sorted(lost.items())


def find_photos(store: GalleryStore, name: str, words: Sequence[str]) -> list[PhotoRecord]:
    """The photos of a person that are meant by paths, file names or beginnings of digests; else DataError."""
    photos, found = store.photos(name), []
    for word in words:
        meant = [
            photo
            for photo in photos
            if word in (photo.path, Path(photo.path).name)
            or photo.path == stored_path(word)
            or (len(word) >= _DIGITS and photo.sha256.startswith(word.lower()))
        ]
        if len({photo.path for photo in meant}) != 1:
            many = f"{len(meant)} photos of {name!r} are meant" if meant else f"no photo of {name!r}"
            raise DataError(f"{word}: {many}; give a path as `gallery show` lists it")
        found += meant
    return found


def write_private(path: Path, record: object) -> None:
    """Write JSON to a file that only its owner may read."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic.replacing(path) as beside:
        beside.touch(0o600, exist_ok=False)
        beside.write_text(text, "utf-8")


def export_gallery(
    path: str | os.PathLike[str] | PostgresPlace,
    *,
    key: GalleryKey | bytes | None = None,
    person: str | None = None,
    templates: bool = False,
) -> dict[str, Any]:
    """All that is stored of one person, or of everybody.

    Parameters
    ----------
    path : path or PostgresPlace
    key : GalleryKey or bytes, optional
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
        return {
            "embedder": store.embedding_spec,
            "encrypted": store.encrypted,
            "search": store.search,
            "people": records,
        }
