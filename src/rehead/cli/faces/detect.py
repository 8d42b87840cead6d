"""`rehead faces detect`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...faces.crops import PhotoFaces

__all__ = ["DetectorChoice", "counted", "detect"]


class DetectorChoice(StrEnum):
    """Detectors by name."""

    mtcnn = "mtcnn"
    dlib = "dlib"
    dlib_cnn = "dlib-cnn"
    haar = "haar"


class Several(StrEnum):
    """What to do about several faces in one photo."""

    all = "all"
    largest = "largest"
    centre = "centre"
    error = "error"


def detect(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, and folders that are searched at any depth.", show_default=False),
    ],
    detector: Annotated[
        DetectorChoice,
        typer.Option(help="mtcnn is the surest; dlib sees faces from the front; haar needs rehead[haar]."),
    ] = DetectorChoice.mtcnn,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for aligned crops and faces.json.", show_default=False),
    ] = None,
    several: Annotated[
        Several,
        typer.Option(help="Several faces in a photo: take all, the largest, the one in the centre, or none."),
    ] = Several.all,
    smallest: Annotated[
        float, typer.Option(min=4, help="Least side of a face in pixels of a photo of at most 1,280.")
    ] = 20,
    size: Annotated[int, typer.Option(min=16, help="Side of the crops, pixels.")] = 160,
    margin: Annotated[
        float, typer.Option(min=0, max=4, help="Added on every side of a face, as a share of it.")
    ] = 0.25,
    as_json: Annotated[bool, typer.Option("--json", help="Print boxes, points and quality as JSON.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
) -> None:
    """Find the faces of photos: boxes, five points, quality; and cut them out, aligned by their points."""
    from ...data import list_photos
    from ...faces import FaceDetector
    from ...faces.crops import CropPlan, check_new, detect_faces, save_crops
    from ..console import photo_progress

    plan = CropPlan(size, margin)
    if out is not None:
        check_new(out)
    found = [(file, photo) for photo in photos for file in list_photos(photo)]
    files, roots = [file for file, _ in found], [root for _, root in found]
    finder = FaceDetector(detector.value, smallest=smallest, threads=1)
    with photo_progress("Looking for faces") as progress:
        detected = detect_faces(
            files,
            finder,
            selection=several.value,
            crops=plan if out is not None else None,
            threads=threads,
            progress=progress,
        )
        if out is None:
            results = list(detected)
        else:
            results = save_crops(detected, out, roots=roots, plan=plan, detector=detector.value)
    if as_json:
        typer.echo(json.dumps([result.to_dict() for result in results], indent=1, ensure_ascii=False))
    else:
        _print_table(results, out)
    _check_readable(results)


def _print_table(results: Sequence[PhotoFaces], out: Path | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ...faces import QualityLimits

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("photo", overflow="fold")
    table.add_column("face", justify="right")
    table.add_column("box")
    table.add_column("score", justify="right")
    table.add_column("note")
    limits = QualityLimits()
    for result in results:
        photo = Text(str(result.path))
        if not result.faces:
            table.add_row(photo, "-", "", "", Text(result.error or "no face", "yellow"))
        for number, face in enumerate(result.faces, 1):
            box = " ".join(f"{v:.0f}" for v in face.box)
            note = Text("; ".join(limits.complaints(face.quality)), "yellow")
            table.add_row(photo if number == 1 else "", str(number), box, f"{face.score:.3f}", note)
    console = Console()
    console.print(table)
    console.print(_summary(results, out), highlight=False, markup=False, soft_wrap=True)


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
