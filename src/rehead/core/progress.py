"""Progress of long steps: callbacks, and a bar where Python runs in a notebook.

Whoever takes a `progress` wraps it in `progress_bar` or `tracked`: what a caller gave is called; where
nothing was given, a notebook shows a bar and everything else stays silent. Nothing is imported for that: a
notebook has IPython loaded.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Protocol, TypeVar, runtime_checkable

from .text import duration

__all__ = ["Progress", "StepProgress", "in_notebook", "progress_bar", "tracked"]

Item = TypeVar("Item")

_DELAY = 0.5  # seconds until a bar is shown; tqdm's documentation waits as long for short loops to end
_INTERVAL = 0.1  # seconds from one picture to the next, tqdm's `mininterval`


class Progress(Protocol):
    """Callback with the number of photos that are done, and of all."""

    def __call__(self, done: int, total: int) -> None:
        """Report progress."""


@runtime_checkable
class StepProgress(Progress, Protocol):
    """One that is told about the steps of a run, too."""

    def step(self, name: str) -> None:
        """Report that the step `name` has ended."""


def in_notebook() -> bool:
    """Whether results are shown by a notebook: IPython runs here, and as a kernel."""
    return hasattr(_shell(), "kernel")


def _shell() -> Any:
    ipython: Any = sys.modules.get("IPython")
    return ipython.get_ipython() if hasattr(ipython, "get_ipython") else None


@contextlib.contextmanager
def progress_bar(progress: Progress | None, description: str) -> Iterator[Progress | None]:
    """Yield `progress`; in a notebook, where that is None, a callback that draws a bar.

    Parameters
    ----------
    progress : callable or None
        What the caller gave.
    description : str
        What is done, a phrase: "Looking at photos".
    """
    if progress is not None or not in_notebook():
        yield progress
        return
    bar = _NotebookBar(description)
    try:
        yield bar
    finally:
        bar.close()


def tracked(
    items: Iterable[Item], total: int, progress: Progress | None, description: str, *, done: int = 0
) -> Iterator[Item]:
    """The items, and a report after each: `done` of `total` are so before the first."""
    with progress_bar(progress, description) as report:
        for item in items:
            yield item
            done += 1
            if report:
                report(done, total)


class _NotebookBar:
    """A bar that is shown once the step has taken a moment, and ends as a line of text."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._begin = self._drawn = time.monotonic()
        self._first: int | None = None  # what was done before, such as what a cache held
        self._done = self._total = 0
        self._handle: Any = None

    def __call__(self, done: int, total: int) -> None:
        self._first = done if self._first is None else self._first
        self._done, self._total = done, total
        now = time.monotonic()
        if now - self._begin >= _DELAY and now - self._drawn >= _INTERVAL:
            self._drawn = now
            self._show(self._bar(now - self._begin), f"{self._description}: {done} of {total}")

    def close(self) -> None:
        """Leave one line of what was done, and in what time."""
        if self._handle is None:
            return
        text = f"{self._description}: {self._done:,} of {self._total:,} photos in "
        text += duration(time.monotonic() - self._begin)
        self._show(escape(text), text)

    def _bar(self, seconds: float) -> str:
        new = self._done - (self._first or 0)
        text = f"{self._done:,} of {self._total:,} photos"
        if new > 0:
            text += f", about {duration(seconds / new * (self._total - self._done))} left"
        return (
            f'{escape(self._description)} <progress value="{self._done}" max="{self._total}" '
            f'style="width:16em;vertical-align:middle"></progress> {escape(text)}'
        )

    def _show(self, html: str, text: str) -> None:
        data = {"text/html": f'<div style="font-size:13px">{html}</div>', "text/plain": text}
        if self._handle is None:
            self._handle = sys.modules["IPython"].display.display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
