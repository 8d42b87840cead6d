"""Tables that more than one verb prints."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.progress import Progress

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation import Evaluation

__all__ = ["check_suffix", "photo_progress", "read_lines", "scores_table"]


def scores_table(evaluation: Evaluation) -> Table:
    """Each score with its 95 % interval."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{evaluation.photos} test photos")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for row in evaluation.table():
        table.add_row(*row)
    return table


def check_suffix(out: Path, *suffixes: str) -> str:
    """The ending of a file to write, in lower case; DataError where it is none of these."""
    from ..errors import DataError

    if (suffix := out.suffix.lower()) not in suffixes:
        raise DataError(f"{out}: expected a name that ends in {' or '.join(suffixes)}")
    return suffix


def read_lines(path: Path) -> list[str]:
    """The lines of a text file but for blank ones; DataError where it cannot be read."""
    from ..errors import DataError

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


@contextlib.contextmanager
def photo_progress(description: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a `progress(done, total)` that draws on the error output, or None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(description, total=None, rate="")

        def progress(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.0f} photos/s" if speed else "")

        yield progress
