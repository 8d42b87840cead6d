"""`rehead faces verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.options import EstimatorOptions
from ...faces.options import CalibrationFile, TargetFmr
from .. import options
from ..command import Only, command
from ..console import print_json, say
from .options import TwoFaces, load_pipeline, read_calibration_file

if TYPE_CHECKING:
    from ...faces.verification.verify import Verification

__all__ = ["verify"]


@command
def verify(
    first: Annotated[Path, typer.Argument(help="A photo.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another.", show_default=False)],
    target_fmr: TargetFmr,
    calibration: CalibrationFile,
    faces: TwoFaces,
    machine: Annotated[EstimatorOptions, Only("threads")],
    as_json: options.Json,
) -> None:
    """Say whether two photos show one person: probability, score, threshold and its rate of false matches."""
    from ...faces.verification.verify import verify as compare

    found = compare(
        first,
        second,
        load_pipeline(faces, machine.threads),
        target_fmr=target_fmr,
        calibration=read_calibration_file(calibration),
        selection=faces.selection,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        for line in _lines(found, (first, second)):
            say(line)


def _lines(found: Verification, photos: tuple[Path, Path]) -> list[str]:
    from ...core.text import percent, percent_range
    from ...faces import QualityLimits

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
    for path, count, face in zip(photos, found.found, found.faces, strict=True):
        if count > 1:
            lines.append(f"note: {path}: {count} faces; the one compared is chosen by --several")
        notes = (*QualityLimits().complaints(face.quality), *face.notes)
        lines += [f"note: {path}: {note}" for note in notes]
    return lines
