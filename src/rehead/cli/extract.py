"""`rehead extract`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from ..data.options import TableOptions
from . import options
from .command import Only, command
from .console import photo_progress, say, warn

__all__ = ["extract"]


@command
def extract(
    source: options.Source,
    to: Annotated[Path, Opt(help="Folder of features to write, or to go on with.", flag="--to")],
    network: Annotated[
        ClassifierOptions,
        Only("backbone", "weights", "size", "grey_range", "preprocess", "strict", "threads"),
    ],
    table: TableOptions,
    dtype: Annotated[
        Literal["float16", "float32"],
        Opt(help="How features are kept; float32 takes twice the room.", default="float16"),
    ],
    on: options.On,
    quiet: options.Quiet,
) -> None:
    """Take features of any number of photos, into a folder that `rehead train` takes.

    A run that was killed goes on where it was.
    """
    from ..core.text import count
    from ..workflows.extract import extract_source

    with photo_progress("Taking features", quiet=quiet) as progress:
        folder = extract_source(
            source, to, classifier=network, table=table, dtype=dtype, on=on, progress=progress
        )
    if quiet:
        return
    record = folder.record
    if record.unreadable:
        listed = folder.path / "unreadable.csv"
        warn(f"{count(record.unreadable, 'photo')} could not be read; listed in {listed}")
    say(f"wrote {folder.path}: {count(record.rows, 'photo')}, {record.width} features each, {record.dtype}")
