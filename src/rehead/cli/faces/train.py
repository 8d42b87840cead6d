"""`rehead faces train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...classification.options import ClassifierOptions
from ...data.options import SplitOptions, TableOptions
from ...faces.options import REPLACED, FaceOptions
from .. import options
from ..command import Without, command
from ..console import photo_progress, say

if TYPE_CHECKING:
    from ...workflows.run import Run

__all__ = ["train"]


@command
def train(
    photos: Annotated[
        Path,
        typer.Argument(
            help="photos/PERSON/*.jpg, photos/{train,val,test}/PERSON/*.jpg, or a CSV: "
            "path,label[,split][,group]",
            show_default=False,
        ),
    ],
    out: options.RunFolder,
    faces: FaceOptions,
    classifier: Annotated[ClassifierOptions, Without(*REPLACED)],
    split: SplitOptions,
    table: TableOptions,
    overwrite: options.Overwrite,
    quiet: options.Quiet,
) -> None:
    """Train a classifier of a closed circle of people on their faces, test it, and write a run directory."""
    from ...workflows.config import TrainConfig, run_training
    from ..train import show_run

    config = TrainConfig(classifier=classifier, split=split, table=table, faces=faces)
    with photo_progress("Looking at photos", quiet=quiet) as progress:
        result = run_training(
            config, photos, out, overwrite=overwrite, command=["rehead", *sys.argv[1:]], progress=progress
        )
    if not quiet:
        show_run(result)
        for path, count in _several_faces(result):
            say(f"  several faces: {path}: {count}", err=True)


def _several_faces(result: Run) -> list[tuple[str, int]]:
    """Photos that were trained on though they show several faces, and how many."""
    from ...faces.encoder import FaceEncoder

    fitted = result.classifier.fitted_
    encoder = fitted.encoder
    return encoder.several_faces(fitted.trained_on.paths) if isinstance(encoder, FaceEncoder) else []
