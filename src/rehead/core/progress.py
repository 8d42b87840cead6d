"""How a long step tells how far it is."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """Called with the number of photos that are done, and of all."""

    def __call__(self, done: int, total: int) -> None:
        """Take note."""
