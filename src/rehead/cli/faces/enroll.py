"""`rehead faces enroll`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .detect import DetectorChoice
from .options import (
    CommercialSafe,
    DetectorName,
    EmbedderName,
    GalleryFile,
    Meant,
    SeveralFaces,
    Threads,
    load_pipeline,
)

if TYPE_CHECKING:
    from ...faces import FaceSelection
    from ...faces.gallery.enrolment import Enrolment
    from ...faces.gallery.gallery import FaceGallery

__all__ = ["enroll"]


def enroll(
    people: Annotated[
        Path, typer.Argument(help="Folder with one folder of photos a person.", show_default=False)
    ],
    gallery: GalleryFile,
    person: Annotated[
        str | None,
        typer.Option("--person", help="The folder holds photos of this one person.", show_default=False),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="File with the gallery's key; for a new gallery it is made. Else REHEAD_GALLERY_KEY.",
            show_default=False,
        ),
    ] = None,
    no_encryption: Annotated[
        bool, typer.Option("--no-encryption", help="Keep the faces of a new gallery unencrypted.")
    ] = False,
    consent: Annotated[
        str | None, typer.Option("--consent", help="What to note of their consent.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", help="Last day on which they are recognised, such as 2027-12-31.", show_default=False
        ),
    ] = None,
    refuse_poor: Annotated[
        bool, typer.Option("--refuse-poor", help="Leave out faces that are small, blurred or turned away.")
    ] = False,
    several: SeveralFaces = Meant.centre,
    detector: DetectorName = DetectorChoice.mtcnn,
    embedder: EmbedderName = "dlib",
    commercial_safe: CommercialSafe = False,
    threads: Threads = None,
) -> None:
    """Enrol people into a gallery, which is made where there is none; each is on the disk once printed."""
    from ...data import list_photos
    from ...errors import DataError
    from ...faces.gallery.gallery import FaceGallery

    key = _key(gallery, key_file, no_encryption)
    pipeline = load_pipeline(detector, embedder, threads, commercial_safe=commercial_safe)
    selection: FaceSelection = several.value
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
    typer.echo(f"{gallery}: {len(everybody)} people, {photos_there} photos")


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
        typer.echo(f"made the key {key_file}: keep it apart from the gallery, which is lost without it")
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
        typer.echo(f"{done.name}: nobody enrolled, none of {len(done.skipped)} photos can be used")
    else:
        already = f", {done.enrolled.known} there already" if done.enrolled.known else ""
        photos = "photo" if done.enrolled.added == 1 else "photos"
        typer.echo(f"{done.name}: {done.enrolled.added} {photos} enrolled{already}")
    for path, reason in done.skipped:
        typer.echo(f"  left out: {path}: {reason}")
    for path, remark in done.notes:
        typer.echo(f"  note: {path}: {remark}")


def _print_issues(gallery: FaceGallery) -> None:
    """Enrolments to review; nothing where there is no calibration."""
    from ...errors import DataError

    try:
        issues = gallery.audit()
    except DataError:
        return
    for issue, path in issues:
        typer.echo(f"  look at: {path + ': ' if path else ''}{issue.sentence}")
