"""All that a gallery keeps of people, as JSON: what they may ask to see."""

from __future__ import annotations

import os
from typing import Any

from .store import GalleryStore

__all__ = ["export_gallery"]


def export_gallery(
    path: str | os.PathLike[str],
    *,
    key: bytes | None = None,
    person: str | None = None,
    templates: bool = False,
) -> dict[str, Any]:
    """What is kept of one person, or of everybody.

    Parameters
    ----------
    path : path
    key : bytes, optional
    person : str, optional
    templates : bool
        Whether embeddings are written too, unencrypted. Those of people who have expired are not read.

    Returns
    -------
    dict
        JSON-able: "embedder", and "people" with their "photos".
    """
    with GalleryStore(path, key=key) as store:
        people = [store.person(person)] if person is not None else store.people()
        vectors: dict[str, list[list[float]]] = {}
        if templates:
            held = store.templates()
            for number, name in enumerate(held.names):
                vectors[name] = held.vectors[held.people == number].astype(float).round(7).tolist()
        records = []
        for each in people:
            photos: list[dict[str, Any]] = [
                {"path": p.path, "sha256": p.sha256, "added": p.added, "face": dict(p.face)}
                for p in store.photos(each.name)
            ]
            for photo, vector in zip(photos, vectors.get(each.name, []), strict=False):
                photo["embedding"] = vector
            records.append({**vars(each), "expired": each.expired, "photos": photos})
        return {"embedder": store.contract, "encrypted": store.encrypted, "people": records}
