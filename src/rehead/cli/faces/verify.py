"""`rehead faces verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
        target_fmr=rate,
        calibration=read_calibration_file(calibration),
        selection=several.value,
    )
    if as_json:
        import json

        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        for line in _lines(found, (first, second)):
            typer.echo(line)


def _lines(found: Verification, photos: tuple[Path, Path]) -> list[str]:
    from ...core.text import percent, percent_range

    threshold, calibration = found.threshold, found.calibration
    relation = "at or above" if found.same else "below"
    fmr, fnmr = threshold.fmr, threshold.fnmr
    lines = [
        f"{'The same person' if found.same else 'Different people'}: score {found.score:.3f}, {relation} the "
        f"threshold {threshold.value:.3f}",
        f"Probability of one person {percent(found.probability)}, where half of all pairs are of one person",
        f"At this threshold {percent(fmr.value, 2)} of pairs of different people match "
        f"({percent_range(fmr, 2)}) and {percent(fnmr.value)} of pairs of one person are missed "
        f"({percent_range(fnmr)}),",
        f"as measured on {calibration.source}, {calibration.people} people",
    ]
    for path, count in zip(photos, found.found, strict=True):
        if count > 1:
            lines.append(f"note: {path}: {count} faces; the one compared is chosen by --several")
    return lines
