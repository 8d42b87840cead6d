"""`rehead evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    photos: Annotated[
        Path,
        typer.Argument(
            help="Photos with known classes, in any form `rehead train` takes.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for metrics.json and report.html.", show_default=False),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
) -> None:
    """Test a model file on photos whose classes are known."""
    from ..classification.evaluate import assess
    from ..workflows.loading import open_model
    from .console import photo_progress

    with photo_progress("Looking at photos") as progress:
        result = assess(
            open_model(model, threads=threads),
            photos,
            out=out,
            strict=strict,
            progress=progress,
            command=["rehead", *sys.argv[1:]],
        )
    if as_json:
        import json

        typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.text import Text

    from .console import scores_table

    console = Console()
    console.print(scores_table(result.evaluation))
    console.print(result.evaluation.sentence, highlight=False, markup=False)
    for warning in result.warnings:
        console.print("[yellow]![/yellow]", Text(warning), highlight=False)
    for name, reason in result.unreadable:
        console.print(f"  unreadable: {name}: {reason}", highlight=False, markup=False)
    if out is not None:
        wrote = f"wrote {out / 'metrics.json'} and {out / 'report.html'}"
        console.print(wrote, highlight=False, markup=False, soft_wrap=True)
