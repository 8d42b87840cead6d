"""Work of requests, done a few at a time by threads; what does not fit into the queue is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from ..core.runtime import cpu_count
from .models import ServedModel

__all__ = ["Engine", "Overloaded", "TooMany"]

Result = TypeVar("Result")


class Overloaded(Exception):  # noqa: N818 - not an error of the service
    """The queue is full.

    Parameters
    ----------
    retry_after : int
        Seconds after which there should be room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many photos are waiting; try again later")
        self.retry_after = retry_after


class TooMany(Exception):  # noqa: N818
    """More photos than the queue ever holds."""


class Engine:
    """Threads that answer, and a bounded queue before them.

    Parameters
    ----------
    queue : int
        Photos that may wait beside those that are being answered.
    workers : int, optional
        Threads, one for each processor by default.
    """

    def __init__(self, *, queue: int, workers: int | None = None) -> None:
        self.workers = workers or cpu_count()
        self.room = queue + self.workers
        self.taken = 0
        """Photos that wait or are being answered; only the event loop's thread changes it."""
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="rehead-serve")

    async def predict(self, model: ServedModel, photos: Sequence[bytes], *, maps: bool = False) -> list[Any]:
        """Answers in the order of the photos, an ImageError for an unreadable one; see ServedModel.answer.

        Raises
        ------
        Overloaded
            They do not fit into the queue now.
        TooMany
            They never would.
        """
        return await self.run([partial(model.answer, photo, maps=maps) for photo in photos])

    async def run(self, work: Sequence[Callable[[], Result]]) -> list[Result]:
        """Do all of it, each piece on one of the threads; raises as `predict`."""
        if len(work) > self.room:
            raise TooMany(f"{len(work)} photos in one request; expected at most {self.room}")
        if self.taken + len(work) > self.room:
            raise Overloaded(1)
        loop = asyncio.get_running_loop()
        self.taken += len(work)
        pending = [loop.run_in_executor(self._pool, piece) for piece in work]
        for each in pending:
            each.add_done_callback(self._done)
        return list(await asyncio.gather(*pending))

    def _done(self, _: asyncio.Future[Any]) -> None:
        self.taken -= 1

    def close(self) -> None:
        """Wait for what was accepted."""
        self._pool.shutdown(wait=True)
