"""`rehead faces identify`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .detect import DetectorChoice
from .options import (
    CalibrationFile,
    CommercialSafe,
    DetectorName,
    EmbedderName,
    GalleryFile,
    KeyFile,
    Threads,
    load_pipeline,
    read_calibration_file,
)

if TYPE_CHECKING:
    from ...errors import ImageError
    from ...faces.gallery.identification import Identification

__all__ = ["identify"]


class Format(StrEnum):
    """How answers are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


def identify(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, and folders that are searched at any depth.", show_default=False),
    ],
    gallery: GalleryFile,
    key_file: KeyFile = None,
    strangers: Annotated[
        float,
        typer.Option(
            "--strangers",
            min=1e-9,
            max=0.999,
            help="Share of strangers who may be taken for somebody; the threshold follows from it.",
        ),
    ] = 0.01,
    refuse_poor: Annotated[
        bool, typer.Option("--refuse-poor", help="Do not name faces that are small, blurred or turned away.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print the answers.")] = Format.table,
    calibration: CalibrationFile = None,
    detector: DetectorName = DetectorChoice.mtcnn,
    embedder: EmbedderName = "dlib",
    commercial_safe: CommercialSafe = False,
    threads: Threads = None,
) -> None:
    """Say who is in photos, or "unknown" and why."""
    from ...data import list_photos
    from ...errors import DataError, ImageError
    from ...faces.gallery.encryption import find_key
    from ...faces.gallery.gallery import FaceGallery

    files = [file for photo in photos for file in list_photos(photo)]
    failed: list[ImageError] = []
    with FaceGallery(
        gallery,
        load_pipeline(detector, embedder, threads, commercial_safe=commercial_safe),
        key=find_key(key_file),
        calibration=read_calibration_file(calibration),
        fpir=strangers,
        refuse_poor=refuse_poor,
    ) as opened:
        threshold = opened.threshold()

        def answers() -> Iterator[dict[str, Any]]:
            for file, result in zip(files, opened.identify_each(files), strict=True):
                if isinstance(result, ImageError):
                    failed.append(result)
                yield _record(file, result)

        _print(answers(), form)
    if form is Format.table:
        typer.echo(f"Threshold {threshold.comparison.value:.3f}: {threshold.sentence}.")
    if len(failed) == len(files):
        raise (
            failed[0]
            if len(failed) == 1
            else DataError(f"none of the {len(files)} photos can be read; {failed[0]}")
        )
    if failed:
        typer.echo(f"rehead: {len(failed)} of {len(files)} photos could not be read", err=True)


def _record(file: Path, result: list[Identification] | ImageError) -> dict[str, Any]:
    from ...errors import ImageError

    if isinstance(result, ImageError):
        return {"photo": str(file), "error": result.reason, "faces": []}
    return {"photo": str(file), "faces": [each.to_dict() for each in result]}


def _print(answers: Iterator[dict[str, Any]], form: Format) -> None:
    if form is Format.json:
        typer.echo(json.dumps(list(answers), indent=2, ensure_ascii=False))
    elif form is Format.jsonl:
        for record in answers:
            print(json.dumps(record, ensure_ascii=False), flush=True)
    elif form is Format.csv:
        _print_csv(answers)
    else:
        _print_table(answers)


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a face, or one that says why there is none."""
    photo = {"photo": record["photo"]}
    if "error" in record:
        return [{**photo, "error": record["error"]}]
    return [{**photo, **face} for face in record["faces"]] or [photo]


def _print_csv(answers: Iterator[dict[str, Any]]) -> None:
    columns = ["photo", "name", "nearest", "score", "margin", "probability", "threshold", "reason"]
    sides = ["left", "top", "right", "bottom"]
    writer = csv.DictWriter(
        sys.stdout, [*columns, *sides, "error"], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    for record in answers:
        for row in _rows(record):
            writer.writerow(row | dict(zip(sides, row["face"]["box"] if "face" in row else [], strict=False)))


def _print_table(answers: Iterator[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("photo", overflow="fold")
    table.add_column("who")
    for heading in ("left, top", "score", "margin"):
        table.add_column(heading, justify="right")
    table.add_column("note")
    for record in answers:
        for place, row in enumerate(_rows(record)):
            photo = Text("" if place else row["photo"])
            if "name" not in row:
                error = row.get("error")
                who = Text("unreadable", "red") if error else Text("nobody", "dim")
                table.add_row(photo, who, "", "", "", Text(error or "no face was found"))
                continue
            box = row["face"]["box"]
            table.add_row(
                photo,
                Text(row["name"], "yellow" if row["reason"] else ""),
                f"{box[0]:.0f}, {box[1]:.0f}",
                "" if row["score"] is None else f"{row['score']:.3f}",
                "" if row["margin"] is None else f"{row['margin']:.3f}",
                Text(_note(row)),
            )
    Console().print(table)


def _note(row: dict[str, Any]) -> str:
    """The remark beside score and margin; the threshold stands below the table."""
    quality = f"of low quality: {'; '.join(row['complaints'])}" if row["complaints"] else ""
    if row["nearest"] and row["score"] < row["threshold"]:
        return "; ".join(filter(None, [f"nearest {row['nearest']}, not near enough", quality]))
    return row["reason"] or quality
