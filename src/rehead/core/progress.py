"""Progress callbacks of long steps."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """Callback with the number of photos that are done, and of all."""

    def __call__(self, done: int, total: int) -> None:
        """Report progress."""
