"""`rehead faces enroll`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ...core.options import EstimatorOptions, Opt
from ...core.text import count
from ...faces.options import FaceOptions, NamingOptions
from ..command import Only, command
from ..console import say
from ..photos import list_given
from .options import GalleryFile, KeyFile, gallery_key, load_pipeline

if TYPE_CHECKING:
    from ...faces.gallery.encryption import GalleryKey
    from ...faces.gallery.enrolment import Enrolment
    from ...faces.gallery.gallery import FaceGallery
    from ...faces.gallery.place import PostgresPlace

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
    sync: Annotated[
        bool,
        Opt(
            help="Remove enrolled photos of these folders that were replaced or deleted since.",
            flag="--sync",
            default=False,
        ),
    ],
    search: Annotated[
        Literal["memory", "pgvector"] | None,
        Opt(
            help="How to search a new gallery: exactly, in memory, or by an index of PostgreSQL, which can "
            "then read the faces' vectors.",
            default=None,
            shown="memory",
        ),
    ],
    naming: Annotated[NamingOptions, Only("refuse_poor")],
    faces: FaceOptions,
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Enrol people into a gallery, which is made where there is none; each is on the disk once printed."""
    from ...data import passed_over
    from ...errors import DataError
    from ...faces.gallery.enrolment import PersonFolder, person_folders
    from ...faces.gallery.gallery import FaceGallery
    from ...faces.gallery.records import checked_day, checked_name, checked_text

    checked_day(expires, coming=True)  # all that can be refused is, before anything is made
    checked_text(consent, "a note about consent")
    folders = (
        person_folders(people)
        if person is None
        else [PersonFolder(checked_name(person), people, list_given([people]))]
    )
    for sentence in passed_over([name for folder in folders for name in folder.passed_over]):
        say(sentence, err=True)
    key = _key(gallery, key_file, no_encryption)
    pipeline = load_pipeline(faces, machine.threads)
    with FaceGallery(
        gallery, pipeline, key=key, create=True, refuse_poor=naming.refuse_poor, search=search
    ) as opened:
        enrolled, problems = 0, 0
        done = opened.enroll_each(
            folders, selection=faces.selection, consent=consent, expires=expires, sync=sync
        )
        for each in chain(done, opened.lost(folders) if sync and person is None else ()):
            _print(each)
            enrolled += each.enrolled is not None
            problems += bool(each.problem)
        if not enrolled:
            raise DataError(f"{people}: nobody could be enrolled; the reasons stand above")
        _print_issues(opened)
        everybody = opened.people()
    photos_there = count(sum(each.photos for each in everybody), "photo")
    say(f"{gallery}: {count(len(everybody), 'person', 'people')}, {photos_there}")
    if problems:
        say(f"rehead: {count(problems, 'folder')} left out, see above", err=True)
        raise typer.Exit(1)


def _key(gallery: Path | PostgresPlace, key_file: Path | None, no_encryption: bool) -> GalleryKey | None:
    """The key; a new gallery gets one, unless it is asked to do without."""
    from ...faces.gallery.backend import is_there
    from ...faces.gallery.encryption import KEY_VARIABLE, write_key_file

    new = not is_there(gallery)
    if no_encryption:
        if key_file is not None:
            raise typer.BadParameter("give a key or do without, not both", param_hint="--no-encryption")
        return None
    if new and key_file is not None and not key_file.exists():
        made = write_key_file(key_file)
        say(f"made the key {key_file}: keep it apart from the gallery, which is lost without it")
        return made
    if (key := gallery_key(gallery, key_file)) is None and new:
        raise typer.BadParameter(
            f"a new gallery needs a key: give --key-file FILE, which is made, or set {KEY_VARIABLE}, or ask "
            "for --no-encryption",
            param_hint="--key-file",
        )
    return key


def _print(done: Enrolment) -> None:
    if done.problem:
        say(f"left out: {done.problem}")
    elif done.enrolled is None:
        say(f"{done.name}: nobody enrolled, none of {count(len(done.skipped), 'photo')} can be used")
    else:
        already = f", {done.enrolled.known} there already" if done.enrolled.known else ""
        say(f"{done.name}: {count(done.enrolled.added, 'photo')} enrolled{already}")
    for path, reason in done.skipped:
        say(f"  left out: {path}: {reason}")
    for path, reason in done.removed:
        say(f"  removed: {path}: {reason}")
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
