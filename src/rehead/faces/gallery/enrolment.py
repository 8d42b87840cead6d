"""Enrolment: which photos of people become templates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...data import list_photos
from ...errors import DataError, ImageError
from ..detection.quality import QualityLimits
from ..pipeline import FaceObservation
from .records import Enrolled, NewTemplate

__all__ = ["Enrolment", "people_in", "screen"]


@dataclass
class Enrolment:
    """What became of one person's photos.

    Parameters
    ----------
    name : str
    enrolled : Enrolled or None
        None where no photo could be used.
    skipped : list of (str, str)
        Path and reason of each photo that was not enrolled.
    notes : list of (str, str)
        Path and remark about photos that were enrolled.
    """

    name: str
    enrolled: Enrolled | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def screen(
    name: str,
    photos: Sequence[str | os.PathLike[str]],
    observations: Iterable[FaceObservation | ImageError],
    *,
    selection: str,
    owners: Callable[[str], list[str]],
    limits: QualityLimits,
    refuse_poor: bool,
) -> tuple[Enrolment, list[NewTemplate]]:
    """Templates of the photos that can be enrolled as `name`; the others are listed as skipped.

    Parameters
    ----------
    name : str
    photos : sequence of path
    observations : iterable of FaceObservation or ImageError
        Of each photo, an ImageError where it shows no face.
    selection : str
        By which faces were selected, for the notes.
    owners : callable
        Names of the people who have a photo of a sha256.
    limits : QualityLimits
        Outside of which a face is of low quality.
    refuse_poor : bool
        Whether such a face is skipped, not only noted.
    """
    enrolment, templates = Enrolment(name), list[NewTemplate]()
    for photo, result in zip(photos, observations, strict=True):
        path = os.fspath(photo)
        if isinstance(result, ImageError):
            enrolment.skipped.append((path, result.reason))
            continue
        if others := [owner for owner in owners(result.sha256) if owner != name]:
            enrolment.skipped.append((path, f"the same photo is enrolled as '{others[0]}'"))
            continue
        face = result.faces[0]
        if complaints := limits.complaints(face.quality):
            remark = path, f"of low quality: {'; '.join(complaints)}"
            if refuse_poor:
                enrolment.skipped.append(remark)
                continue
            enrolment.notes.append(remark)
        if result.found > 1:
            enrolment.notes.append((path, f"{result.found} faces; one was taken, by the rule '{selection}'"))
        absolute = str(Path(result.path).absolute())
        templates.append(NewTemplate(result.sha256, absolute, result.vectors[0], face.to_dict()))
    return enrolment, templates


def people_in(folder: str | os.PathLike[str]) -> list[tuple[str, list[Path]]]:
    """Name and photos of each person of a folder with one folder a person, by name; DataError without any."""
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; expected {root.name}/PERSON/photo.jpg")
    inside = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    found = []
    for each in inside:
        try:
            found.append((each.name, list(list_photos(each))))
        except DataError:
            continue  # no photo in it
    if not found:
        raise DataError(
            f"{root}: nobody is in it; expected one folder a person, {root.name}/PERSON/photo.jpg"
        )
    return found
