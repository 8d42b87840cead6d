"""A progress bar with rate and time left; silent where the error output is not a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ..features import Progress

__all__ = ["photo_progress"]


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
