"""`rehead faces verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .detect import DetectorChoice
from .options import (
    CalibrationFile,
    CommercialSafe,
    DetectorName,
    EmbedderName,
    Meant,
    SeveralFaces,
    Threads,
    load_pipeline,
    read_calibration_file,
)

if TYPE_CHECKING:
    from ...faces.verification.verify import Verification

__all__ = ["verify"]


def verify(
    first: Annotated[Path, typer.Argument(help="A photo.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another.", show_default=False)],
    rate: Annotated[
        float | None,
        typer.Option(
            "--false-matches",
            help="Share of pairs of different people that may match; the threshold follows from it.",
            show_default="0.001, or as low as is supported",
        ),
    ] = None,
    several: SeveralFaces = Meant.largest,
    calibration: CalibrationFile = None,
    detector: DetectorName = DetectorChoice.mtcnn,
    embedder: EmbedderName = "dlib",
    commercial_safe: CommercialSafe = False,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether two photos show one person: probability, score, threshold and its rate of false matches."""
    from ...faces.verification.verify import verify as compare

    found = compare(
        first,
        second,
        load_pipeline(detector, embedder, threads, commercial_safe=commercial_safe),
        rate=rate,
        calibration=read_calibration_file(calibration),
        rule=several.value,
    )
    if as_json:
        import json

        typer.echo(json.dumps(_record(found), indent=2, ensure_ascii=False))
    else:
        for line in _lines(found, (first, second)):
            typer.echo(line)


def _record(found: Verification) -> dict[str, Any]:
    from ...faces.gallery.gallery import face_record

    return {
        "same": found.same,
        "probability": round(found.probability, 6),
        "score": round(found.score, 6),
        **found.point.to_dict(),
        "measured_on": {"source": found.calibration.source, "people": found.calibration.people},
        "faces": [face_record(face) for face in found.faces],
        "faces_found": list(found.found),
    }


def _lines(found: Verification, photos: tuple[Path, Path]) -> list[str]:
    from ...core.text import percent, percent_range

    point, calibration = found.point, found.calibration
    relation = "at or above" if found.same else "below"
    false, missed = point.false_matches, point.false_non_matches
    lines = [
        f"{'The same person' if found.same else 'Different people'}: score {found.score:.3f}, {relation} the "
        f"threshold {point.threshold:.3f}",
        f"Probability of one person {percent(found.probability)}, where half of all pairs are of one person",
        f"At this threshold {percent(false.value, 2)} of pairs of different people match "
        f"({percent_range(false, 2)}) and {percent(missed.value)} of pairs of one person are missed "
        f"({percent_range(missed)}),",
        f"as measured on {calibration.source}, {calibration.people} people",
    ]
    for path, count in zip(photos, found.found, strict=True):
        if count > 1:
            lines.append(f"note: {path}: {count} faces; the one compared is chosen by --several")
    return lines
