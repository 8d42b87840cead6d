"""What training and testing say on the screen, and the words of their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.options import Opt
from ...faces.options import DETECTORS
from ..console import plain_table, print_table, say, show_warnings

if TYPE_CHECKING:
    from ...faces import FaceDetector
    from ...keypoints import KeypointPredictor
    from ...workflows.keypoints import KeypointRun

__all__ = [
    "Detect",
    "DetectorAsTrained",
    "Group",
    "Images",
    "Points",
    "finder",
    "finder_name",
    "show_run",
]

Points = Annotated[
    Path,
    typer.Argument(
        help="A CSV: name,x0,y0,x1,y1,... in pixels; a COCO keypoints JSON; or a folder of .pts files.",
        show_default=False,
    ),
]
Images = Annotated[
    Path | None, Opt(help="Folder of the photos; that of the annotations by default.", default=None)
]
Group = Annotated[
    str,
    Opt(
        help="Which photos show the same person: auto (the CSV's column group; else names that differ only "
        "in the number at their end), none, or a regular expression whose first group names the person.",
        default="auto",
    ),
]
Detect = Annotated[
    bool, Opt(help="Find faces first, and work in the squares around them.", flag="--detect", default=False)
]
DetectorAsTrained = Annotated[
    str | None,
    Opt(
        help="How faces are found.",
        choices={name: name for name in DETECTORS},
        shown="as in training, or mtcnn",
        default=None,
    ),
]


def finder(name: str, threads: int | None) -> FaceDetector:
    """The face detector of that name."""
    from ...faces import FaceDetector

    return FaceDetector(name, threads=threads)


def finder_name(given: str | None, model: KeypointPredictor) -> str:
    """The detector that was asked for, else the one that the model learnt with, else the default."""
    if given is not None:
        return given
    return str(model.manifest.get("faces", {}).get("detector", "mtcnn"))


def show_run(run: KeypointRun) -> None:
    """Print scores, the sentence, and what to know."""

    scores = ("value", "95 % interval")
    table = plain_table(f"{run.evaluation.photos} photos", *scores, right=scores)
    for score in run.evaluation.scores:
        factor, unit = (100, " %") if score.fraction else (1, " px")
        i = score.interval
        ends = "–" if i.low != i.low else f"{factor * i.low:.2f} to {factor * i.high:.2f}{unit}"
        table.add_row(score.name, f"{factor * i.value:.2f}{unit}", ends)
    print_table(table)
    say(run.evaluation.sentence, fold=True)
    if run.training:
        say(run.training["sentence"], fold=True)
    where = f"in {run.folder / 'report.html'}" if run.folder else "with --json"
    show_warnings([*run.evaluation.warnings, *run.warnings, *run.notes], where)
    for name, reason in run.unreadable[:10]:
        say(f"  left out: {name}: {reason}")
    if len(run.unreadable) > 10:
        say(f"  and {len(run.unreadable) - 10} more")
