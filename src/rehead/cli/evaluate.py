"""`rehead evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from ..data.options import TableOptions
from . import options
from .command import Only, command
from .console import photo_progress, print_json, scores_table
from .train import show_warnings

__all__ = ["evaluate"]


@command
def evaluate(
    model: options.ModelFile,
    photos: options.Photos,
    out: Annotated[
        Path | None, Opt(help="Folder for metrics.json and report.html.", flag="--out -o", default=None)
    ],
    table: TableOptions,
    use: Annotated[ClassifierOptions, Only("strict", "threads")],
    as_json: options.Json,
) -> None:
    """Test a model file on photos whose classes are known."""
    from ..classification.evaluate import evaluate_model
    from ..data import read_dataset
    from ..workflows.loading import open_model

    dataset = read_dataset(photos, table)
    with photo_progress("Looking at photos") as progress:
        result = evaluate_model(
            open_model(model, threads=use.threads),
            dataset,
            out=out,
            strict=use.strict,
            progress=progress,
            command=["rehead", *sys.argv[1:]],
        )
    if as_json:
        print_json(result.to_dict())
        return
    from rich.console import Console

    console = Console()
    for sentence in dataset.summary():
        typer.echo(sentence)
    console.print(scores_table(result.evaluation))
    console.print(result.evaluation.sentence, highlight=False, markup=False)
    show_warnings(result.warnings, f"in {out / 'report.html'}" if out else "with --json")
    for name, reason in result.unreadable:
        console.print(f"  unreadable: {name}: {reason}", highlight=False, markup=False)
    if out is not None:
        wrote = f"wrote {out / 'metrics.json'} and {out / 'report.html'}"
        console.print(wrote, highlight=False, markup=False, soft_wrap=True)
