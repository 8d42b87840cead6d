"""Progress callbacks of long steps."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Progress", "StepProgress"]


class Progress(Protocol):
    """Callback with the number of photos that are done, and of all."""

    def __call__(self, done: int, total: int) -> None:
        """Report progress."""


@runtime_checkable
class StepProgress(Progress, Protocol):
    """One that is told about the steps of a run, too."""

    def step(self, name: str) -> None:
        """Report that the step `name` has ended."""
