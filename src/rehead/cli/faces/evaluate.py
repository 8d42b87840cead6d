"""`rehead faces evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.options import EstimatorOptions, Opt
from ...faces.options import CalibrationFile, FaceOptions
from .. import options
from ..command import Only, Without, command
from ..console import photo_progress, plain_table, print_json, print_table, say
from .options import load_pipeline, read_calibration_file

if TYPE_CHECKING:
    from ...faces.evaluation.evaluate import PairListEvaluation, PeopleEvaluation
    from ...faces.evaluation.identification import OpenSetPoint
    from ...faces.evaluation.lfw import VerificationPoint

__all__ = ["evaluate"]

_SHOWN = 20  # issues and photos without a face; all are in metrics.json


@command
def evaluate(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS_OR_PEOPLE",
            help="A list of pairs in LFW's form, or a folder with one folder of photos a person.",
            show_default=False,
        ),
    ],
    images: Annotated[
        Path | None, Opt(help="Photos of a list of pairs; its own folder by default.", default=None)
    ],
    out: Annotated[
        Path | None, Opt(help="Folder for metrics.json and report.html.", flag="--out -o", default=None)
    ],
    save_calibration: Annotated[
        Path | None, Opt(help="JSON file for what scores mean, measured on these photos.", default=None)
    ],
    calibration: CalibrationFile,
    faces: Annotated[FaceOptions, Without("selection")],
    machine: Annotated[EstimatorOptions, Only("threads")],
    as_json: options.Json,
) -> None:
    """Test recognition: pairs in folds as LFW has them, or people among strangers and wrong enrolments."""
    from ...faces.evaluation.evaluate import evaluate_pair_list, evaluate_people

    pipeline = load_pipeline(faces, machine.threads)
    command = ["rehead", *sys.argv[1:]]
    found: PairListEvaluation | PeopleEvaluation
    with photo_progress("Looking at photos") as progress:
        if what.is_dir():
            if images is not None:
                raise typer.BadParameter("is for a list of pairs; this is a folder", param_hint="--images")
            found = evaluate_people(
                what,
                pipeline,
                calibration=read_calibration_file(calibration),
                out=out,
                save_calibration=save_calibration,
                progress=progress,
                command=command,
            )
        else:
            if calibration is not None:
                raise typer.BadParameter("is for a folder of people", param_hint="--calibration")
            found = evaluate_pair_list(
                what,
                images or what.parent,
                pipeline,
                out=out,
                save_calibration=save_calibration,
                progress=progress,
                command=command,
            )
    if as_json:
        print_json(found.to_dict())
        return
    _print(found)
    if out is not None:
        say(f"wrote {out / 'metrics.json'} and {out / 'report.html'}")
    if save_calibration is not None:
        say(f"wrote {save_calibration}")


def _print(found: PairListEvaluation | PeopleEvaluation) -> None:
    from ...faces.evaluation.evaluate import PairListEvaluation

    say(found.sentence)
    if isinstance(found, PairListEvaluation):
        result = found.result
        folds = "as published" if found.listed.published else "of people, made of one set of pairs"
        say(
            f"Mean of {len(result.fold_accuracy)} folds, {folds}: {result.accuracy.value:.4f} "
            f"± {result.standard_error:.4f} (standard error)"
        )
        _print_rates("false matches", "missed", result.operating)
    else:
        if found.openset is not None:
            _print_rates("strangers named", "enrolled missed", found.openset.points)
        issues = found.issues or []
        if issues and found.by_chance >= 1:
            say(f"Photos and names to look at; up to {found.by_chance:.0f} pairs of people by chance:")
        for issue, path in issues[:_SHOWN]:
            say(f"  look at: {path + ': ' if path else ''}{issue.sentence}")
        _more(len(issues))
    if found.failed:
        say(f"{len(found.failed)} photos without a face:")
    for path, reason in found.failed[:_SHOWN]:
        say(f"  {path}: {reason}")
    _more(len(found.failed))


def _more(count: int) -> None:
    if count > _SHOWN:
        say(f"  and {count - _SHOWN} more; --out writes them all")


def _print_rates(
    left: str, right: str, points: tuple[VerificationPoint, ...] | tuple[OpenSetPoint, ...]
) -> None:

    from ...core.text import percent, percent_range
    from ...faces.evaluation.lfw import VerificationPoint

    rates = ("aimed at", left, "95 % interval", right, "95 % interval")
    table = plain_table(*rates, "", right=rates)
    for column in table.columns:
        column.no_wrap = "%" in str(column.header)
    for point in points:
        if isinstance(point, VerificationPoint):
            target, false, missed = point.target_fmr, point.fmr, point.fnmr
        else:
            target, false, missed = point.target_fpir, point.fpir, point.fnir
        table.add_row(
            f"{100 * target:g} %",
            percent(false.value, 2),
            percent_range(false, 2),
            percent(missed.value),
            percent_range(missed),
            "" if point.supported else "too few",
        )
    print_table(table)
