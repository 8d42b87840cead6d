"""`rehead evaluate`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from ..data.options import TableOptions
from . import options
from .command import Only, command
from .console import photo_progress, print_json, print_table, say, scores_table, show_warnings

__all__ = ["evaluate"]


@command
def evaluate(
    model: options.ModelFile,
    photos: options.Source,
    out: Annotated[
        Path | None,
        Opt(help="Folder for metrics.json, predictions.csv and report.html.", flag="--out -o", default=None),
    ],
    table: TableOptions,
    use: Annotated[ClassifierOptions, Only("strict", "threads")],
    as_json: options.Json,
) -> None:
    """Test a model file on photos whose classes are known.

    Photos in a class folder called unknown are of no class: how many of them are refused is said apart.
    """
    from ..classification.evaluate import evaluate_model
    from ..data import read_dataset
    from ..data.sources import find_source, spooled
    from ..workflows.loading import open_model

    source = find_source(photos, table)
    with (
        nullcontext(read_dataset(photos, table)) if source is None else spooled(source) as dataset,
        photo_progress("Looking at photos") as progress,
    ):
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
    for sentence in dataset.summary():
        say(sentence)
    print_table(scores_table(result.evaluation))
    say(result.evaluation.sentence, fold=True)
    show_warnings(result.warnings, f"in {out / 'report.html'}" if out else "with --json")
    for name, reason in result.unreadable:
        say(f"  unreadable: {name}: {reason}")
    if out is not None:
        names = "metrics.json", "predictions.csv", "report.html"
        say(f"wrote {', '.join(str(out / name) for name in names)}")
