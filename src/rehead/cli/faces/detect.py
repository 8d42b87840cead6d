"""`rehead faces detect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ...core.options import EstimatorOptions, Opt
from ...faces.options import FaceOptions
from .. import options
from ..command import Only, command
from ..console import photo_progress, plain_table, print_json, print_table, say, styled
from ..photos import list_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...faces.crops import PhotoFaces

__all__ = ["counted", "detect"]


@command
def detect(
    photos: options.PhotoList,
    faces: Annotated[FaceOptions, Only("detector")],
    out: Annotated[
        Path | None, Opt(help="New folder for aligned crops and faces.json.", flag="--out -o", default=None)
    ],
    selection: Annotated[
        Literal["all", "largest", "centre", "error"],
        Opt(
            help="Several faces in a photo: take all, the largest, the one in the centre, or none.",
            flag="--several",
            default="all",
        ),
    ],
    smallest: Annotated[
        float,
        Opt(help="Least side of a face in pixels of a photo of at most 1,280.", ge=4, default=20.0),
    ],
    size: Annotated[int, Opt(help="Side of the crops, pixels.", ge=16, default=160)],
    margin: Annotated[
        float, Opt(help="Added on every side of a face, as a share of it.", ge=0, le=4, default=0.25)
    ],
    as_json: options.Json,
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Find the faces of photos: boxes, five points, quality; and cut them out, aligned by their points."""
    from ...faces import FaceDetector
    from ...faces.crops import CropPlan, check_new, detect_faces, save_crops

    plan = CropPlan(size, margin)
    if out is not None:
        check_new(out)
    found = [(file, photo) for photo in photos for file in list_given([photo])]
    files, roots = [file for file, _ in found], [root for _, root in found]
    finder = FaceDetector(str(faces.detector), smallest=smallest, threads=1)
    with photo_progress("Looking for faces") as progress:
        detected = detect_faces(
            files,
            finder,
            selection=selection,
            crops=plan if out is not None else None,
            threads=machine.threads,
            progress=progress,
        )
        if out is None:
            results = list(detected)
        else:
            results = save_crops(detected, out, roots=roots, plan=plan, detector=str(faces.detector))
    if as_json:
        print_json([result.to_dict() for result in results])
    else:
        _print_table(results, out)
    _check_readable(results)


def _print_table(results: Sequence[PhotoFaces], out: Path | None) -> None:

    from ...faces import QualityLimits

    table = plain_table("photo", "face", "box", "score", "note", right=["face", "score"])
    limits = QualityLimits()
    for result in results:
        photo = str(result.path)
        if not result.faces:
            table.add_row(photo, "-", "", "", styled(result.error or "no face", "yellow"))
        for number, face in enumerate(result.faces, 1):
            box = " ".join(f"{v:.0f}" for v in face.box)
            note = styled("; ".join([*limits.complaints(face.quality), *face.notes]), "yellow")
            table.add_row(photo if number == 1 else "", str(number), box, f"{face.score:.3f}", note)
    print_table(table)
    say(_summary(results, out))


def _summary(results: Sequence[PhotoFaces], out: Path | None) -> str:
    faces = sum(len(result.faces) for result in results)
    without = sum(not result.faces and not result.error for result in results)
    failed = sum(bool(result.error) for result in results)
    words = [f"{counted(faces, 'face')} in {counted(len(results), 'photo')}"]
    if without:
        words.append(f"none in {without}")
    if failed:
        words.append(f"{failed} left out")
    return ", ".join(words) + (f"; crops and faces.json in {out}" if out is not None else "")


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 face", "2 faces"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check_readable(results: Sequence[PhotoFaces]) -> None:
    """Raise where no photo could be read."""
    from ...errors import DataError, ImageError

    if all(result.error and result.size == (0, 0) for result in results):
        first = ImageError(results[0].path, results[0].error)
        if len(results) == 1:
            raise first
        raise DataError(f"none of the {len(results)} photos can be read; {first}")
