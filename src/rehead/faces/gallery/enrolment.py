"""Enrolment: which photos of people become templates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...core.photos import File, name_of
from ...data import MAX_BITS_ALONE, find_photos, photo_hash
from ...errors import DataError, ImageError
from ..detection.quality import QualityLimits
from ..pipeline import FaceObservation
from .records import Enrolled, Likeness, NewTemplate, checked_name

__all__ = ["Enrolment", "PersonFolder", "people_in", "person_folders", "screen", "stored_path"]

_COPY = 0.98
"""Least cosine of a copy's embedding, besides `MAX_BITS_ALONE`. By dlib's network, of 185 photos of LFW and
five celebrities saved again, all were above it as JPEG of quality 75 to 95, at their size or one and a half
times as large, 99 % at quality 50, 95 % at half the size, with at most 3 bits of the hash; 1,540 pairs of
different photos of one person had at least 10 bits. Neighbouring frames of a video count as copies."""


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
    removed : list of (str, str)
        Path and reason of photos that were removed from the gallery, since they have changed or are gone.
    problem : str
        Why nobody can be enrolled from the folder, "" otherwise.
    """

    name: str
    enrolled: Enrolled | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class PersonFolder:
    """A folder of one person's photos.

    Parameters
    ----------
    name : str
        Of the person.
    folder : Path
    photos : sequence of Path
    problem : str
        Why nobody can be enrolled from it, "" otherwise.
    passed_over : sequence of str
        Files in it that are no photos.
    """

    name: str
    folder: Path
    photos: Sequence[Path]
    problem: str = ""
    passed_over: Sequence[str] = ()


def screen(
    name: str,
    photos: Sequence[File],
    observations: Iterable[FaceObservation | ImageError],
    *,
    selection: str,
    owners: Callable[[str], list[str]],
    known: Iterable[Likeness],
    limits: QualityLimits,
    refuse_poor: bool,
) -> tuple[Enrolment, list[NewTemplate]]:
    """Templates of the photos that can be enrolled as `name`; the others are listed as skipped.

    Parameters
    ----------
    name : str
    photos : sequence of path or bytes
        Bytes are listed by their number, "photo 1", and kept without a path.
    observations : iterable of FaceObservation or ImageError
        Of each photo, an ImageError where it shows no face.
    selection : str
        By which faces were selected, for the notes.
    owners : callable
        Names of the people who have a photo of a sha256.
    known : iterable of Likeness
        The person's photos that are enrolled already: a copy of one is skipped.
    limits : QualityLimits
        Outside of which a face is of low quality.
    refuse_poor : bool
        Whether such a face is skipped, not only noted.
    """
    enrolment, templates, likenesses = Enrolment(name), list[NewTemplate](), list(known)
    for number, (photo, result) in enumerate(zip(photos, observations, strict=True), 1):
        path = name_of(photo) or f"photo {number}"
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
        enrolment.notes += [(path, note) for note in face.notes]
        if result.found > 1:
            enrolment.notes.append((path, f"{result.found} faces; one was taken, by the rule '{selection}'"))
        stored = stored_path(result.path) if result.path else ""
        likeness = Likeness(stored, result.sha256, _hash(photo), result.vectors[0])
        if copied := next((each for each in likenesses if _is_copy(likeness, each)), None):
            original = copied.path or "another photo"
            enrolment.skipped.append((path, f"shows the same as {original}, which is enrolled"))
            continue
        likenesses.append(likeness)
        templates.append(
            NewTemplate(result.sha256, likeness.path, likeness.vector, face.to_dict(), likeness.hash)
        )
    return enrolment, templates


def _is_copy(photo: Likeness, other: Likeness) -> bool:
    """Whether one of the two is the other, saved again."""
    return (
        photo.sha256 != other.sha256
        and bool(photo.hash and other.hash)
        and (photo.hash ^ other.hash).bit_count() <= MAX_BITS_ALONE
        and float(photo.vector @ other.vector) >= _COPY
    )


def _hash(photo: File) -> int:
    """The perceptual hash of a photo, 0 where there is none."""
    try:
        return int(photo_hash(photo))
    except (ImageError, DataError):  # changed since its face was found
        return 0


def stored_path(path: str | os.PathLike[str]) -> str:
    """The path to find the photo by, with what is no UTF-8 in it escaped."""
    return os.fsencode(os.path.normpath(Path(path).absolute())).decode("utf-8", "backslashreplace")


def people_in(folder: str | os.PathLike[str]) -> list[tuple[str, list[Path]]]:
    """Name and photos of each person of a folder that `person_folders` finds no problem with."""
    return [(each.name, list(each.photos)) for each in person_folders(folder) if not each.problem]


def person_folders(folder: str | os.PathLike[str]) -> list[PersonFolder]:
    """The people of a folder with one folder a person, by name; DataError where nobody can be enrolled.

    All names are checked, so that what cannot be enrolled is known before anybody is.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; expected {root.name}/PERSON/photo.jpg")
    inside = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    folders, names = list[PersonFolder](), dict[str, Path]()
    for each in inside:
        folders.append(_person_folder(each, names))
        if not folders[-1].problem:
            names[folders[-1].name] = each
    if not names:
        reason = f" ({folders[0].problem})" if folders else ""
        raise DataError(
            f"{root}: nobody is in it{reason}; expected one folder a person, {root.name}/PERSON/photo.jpg"
        )
    return folders


def _person_folder(folder: Path, names: Mapping[str, Path]) -> PersonFolder:
    """The folder of a person who has none of the names that other folders give."""
    try:
        name, (photos, others) = checked_name(folder.name), find_photos(folder)
    except DataError as error:
        said = str(error)
        return PersonFolder(
            folder.name, folder, (), said if said.startswith(str(folder)) else f"{folder}: {said}"
        )
    problem = f"{folder}: gives the name of {names[name]}; move the photos into it" if name in names else ""
    return PersonFolder(name, folder, photos, problem, [f"{folder.name}/{other}" for other in others])
