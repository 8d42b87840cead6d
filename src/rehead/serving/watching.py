"""A model file that is replaced while it is served is taken over; a bad one is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from .models import ModelSet

__all__ = ["Watcher"]

_EVERY = 1.0
"""Seconds between two looks at the files, which cost a `stat` each."""

_Stamp = tuple[int, int, int] | None


class Watcher:
    """Looks whether model files have changed.

    A file is read once it looks the same twice in a row, so that one which is being copied is not read half;
    if it was, its digest tells.

    Parameters
    ----------
    models : ModelSet
    every : float
        Seconds between two looks.
    """

    def __init__(self, models: ModelSet, every: float = _EVERY) -> None:
        self._models, self._every = models, every
        self._known = {name: _stamp(path) for name, path in models.paths.items()}
        self._seen = dict(self._known)
        self._asked = asyncio.Event()

    def look_now(self) -> None:
        """Read every file again, whatever it looks like, as SIGHUP asks for."""
        self._known = dict.fromkeys(self._known)
        self._seen = {name: _stamp(path) for name, path in self._models.paths.items()}
        self._asked.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at the files meanwhile."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._asked.wait()
            self._asked.clear()
            for name, path in self._models.paths.items():
                now, before = _stamp(path), self._seen[name]
                self._seen[name] = now
                if now is not None and now == before and now != self._known[name]:
                    self._known[name] = now
                    await asyncio.to_thread(self._models.reload, name)


def _stamp(path: Path) -> _Stamp:
    """What changes with the file; None where it is not there, as between its removal and the next one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
