"""`rehead report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from ..data.options import TableOptions
from .command import Only, command
from .console import photo_progress, print_table, say, scores_table, show_warnings

__all__ = ["report"]


@command
def report(
    run: Annotated[
        Path, typer.Argument(help="Run directory, as `rehead train` wrote it.", show_default=False)
    ],
    photos: Annotated[
        Path | None,
        Opt(
            help="Test on these photos with known classes instead, in any form `rehead train` takes; those "
            "that were trained on are left out.",
            shown="the run's test photos, with the labels its splits.csv has now",
            default=None,
        ),
    ],
    out: Annotated[
        Path | None,
        Opt(
            help="Folder for report.html, predictions.csv and metrics.json.",
            flag="--out -o",
            shown="the run directory",
            default=None,
        ),
    ],
    table: TableOptions,
    use: Annotated[ClassifierOptions, Only("cache", "threads")],
) -> None:
    """Write a run's report again, after photos were relabelled or with more photos; nothing is trained."""

    from ..core.text import percent
    from ..data import read_dataset
    from ..workflows.report import report as write_again

    with photo_progress("Looking at photos") as progress:
        found = write_again(
            run,
            None if photos is None else read_dataset(photos, table),
            out=out,
            cache=use.cache,
            threads=use.threads,
            progress=progress,
            command=["rehead", *sys.argv[1:]],
        )
    print_table(scores_table(found.evaluation))
    show_warnings([*found.notes, *found.evaluation.warnings], f"in {found.path}")
    if found.before is not None:
        say(f"The report said {percent(found.before)} correct before.")
    say(f"wrote {found.path}")
