"""`rehead faces enroll`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.options import EstimatorOptions, Opt
from ...faces.options import FaceOptions
from ..command import Only, command
from ..console import say
from .options import GalleryFile, KeyFile, RefusePoor, load_pipeline

if TYPE_CHECKING:
    from ...faces.gallery.enrolment import Enrolment
    from ...faces.gallery.gallery import FaceGallery

__all__ = ["enroll"]


@command
def enroll(
    people: Annotated[
        Path, typer.Argument(help="Folder with one folder of photos a person.", show_default=False)
    ],
    gallery: GalleryFile,
    person: Annotated[str | None, Opt(help="The folder holds photos of this one person.", default=None)],
    key_file: KeyFile,
    no_encryption: Annotated[
        bool,
        Opt(help="Keep the faces of a new gallery unencrypted.", flag="--no-encryption", default=False),
    ],
    consent: Annotated[str | None, Opt(help="What to note of their consent.", default=None)],
    expires: Annotated[
        str | None, Opt(help="Last day on which they are recognised, such as 2027-12-31.", default=None)
    ],
    refuse_poor: RefusePoor,
    faces: FaceOptions,
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Enrol people into a gallery, which is made where there is none; each is on the disk once printed."""
    from ...data import list_photos
    from ...errors import DataError
    from ...faces.gallery.gallery import FaceGallery

    key = _key(gallery, key_file, no_encryption)
    pipeline = load_pipeline(faces, machine.threads)
    selection = faces.selection
    with FaceGallery(gallery, pipeline, key=key, create=True, refuse_poor=refuse_poor) as opened:
        if person is None:
            done = opened.enroll_folder(people, selection=selection, consent=consent, expires=expires)
        else:
            photos = list_photos(people)
            done = iter(
                [opened.enroll(person, photos, selection=selection, consent=consent, expires=expires)]
            )
        enrolled = 0
        for each in done:
            _print(each)
            enrolled += each.enrolled is not None
        if not enrolled:
            raise DataError(f"{people}: nobody could be enrolled; the reasons stand above")
        _print_issues(opened)
        everybody = opened.people()
    photos_there = sum(each.photos for each in everybody)
    say(f"{gallery}: {len(everybody)} people, {photos_there} photos")


def _key(gallery: Path, key_file: Path | None, no_encryption: bool) -> bytes | None:
    """The key; a new gallery gets one, unless it is asked to do without."""
    from ...faces.gallery.encryption import KEY_VARIABLE, find_key, write_key_file

    new = not gallery.is_file() or not gallery.stat().st_size
    if no_encryption:
        if key_file is not None:
            raise typer.BadParameter("give a key or do without, not both", param_hint="--no-encryption")
        return None if new else find_key()
    if new and key_file is not None and not key_file.exists():
        made = write_key_file(key_file)
        say(f"made the key {key_file}: keep it apart from the gallery, which is lost without it")
        return made
    if (key := find_key(key_file)) is None and new:
        raise typer.BadParameter(
            f"a new gallery needs a key: give --key-file FILE, which is made, or set {KEY_VARIABLE}, or ask "
            "for --no-encryption",
            param_hint="--key-file",
        )
    return key


def _print(done: Enrolment) -> None:
    if done.enrolled is None:
        say(f"{done.name}: nobody enrolled, none of {len(done.skipped)} photos can be used")
    else:
        already = f", {done.enrolled.known} there already" if done.enrolled.known else ""
        photos = "photo" if done.enrolled.added == 1 else "photos"
        say(f"{done.name}: {done.enrolled.added} {photos} enrolled{already}")
    for path, reason in done.skipped:
        say(f"  left out: {path}: {reason}")
    for path, remark in done.notes:
        say(f"  note: {path}: {remark}")


def _print_issues(gallery: FaceGallery) -> None:
    """Enrolments to review; nothing where there is no calibration."""
    from ...errors import DataError

    try:
        issues = gallery.audit()
    except DataError:
        return
    for issue, path in issues:
        say(f"  look at: {path + ': ' if path else ''}{issue.sentence}")
