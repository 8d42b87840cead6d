"""Work of requests, done a few at a time by threads; what does not fit into the queue is refused at once.

Nothing waits to be gathered into a batch: one photo at a time on each thread is faster than batches, as the
maps of one photo stay in the processor's cache (docs/design.md). So a photo that finds a free thread is
begun at once, and many requests keep all threads busy.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.runtime import cpu_count
from .models import ServedModel

__all__ = ["Engine", "Overloaded", "TooMany"]

_SMOOTHING = 0.1  # weight of the last piece of work in the mean time of one: the last ten or so count
_LONGEST_WAIT = 30  # seconds that a client is told to wait at most

Result = TypeVar("Result")


class Overloaded(Exception):  # noqa: N818 - not an error of the service
    """There is no room now.

    Parameters
    ----------
    retry_after : int
        Seconds after which there should be.
    """

    def __init__(
        self, retry_after: int, message: str = "too many photos are waiting; try again later"
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooMany(Exception):  # noqa: N818
    """More photos in one request than the queue ever holds."""


class Engine:
    """Threads that answer, and a bounded queue before them.

    Parameters
    ----------
    queue : int
        Photos that may wait beside those that are being answered.
    workers : int, optional
        Threads, one for each processor by default.
    on_answers : callable, optional
        Called with the model and its answers, such as to count them.
    """

    def __init__(
        self,
        *,
        queue: int,
        workers: int | None = None,
        on_answers: Callable[[ServedModel, Sequence[Any]], None] | None = None,
    ) -> None:
        self.workers = workers or cpu_count()
        self.room = queue + self.workers
        self.taken = 0
        """Photos that wait or are being answered; only the event loop's thread changes it."""
        self._seconds = 0.0  # that one takes
        self._on_answers = on_answers
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="rehead-serve")

    @property
    def retry_after(self) -> int:
        """Whole seconds in which what is there now should be done, 1 or more."""
        return max(1, min(_LONGEST_WAIT, math.ceil(self.taken * self._seconds / self.workers)))

    def check_room(self, photos: int = 1) -> None:
        """Raise Overloaded where so many do not fit now, TooMany where they never would."""
        if photos > self.room:
            raise TooMany(f"{photos} photos in one request; expected at most {self.room}")
        if self.taken + photos > self.room:
            raise Overloaded(self.retry_after)

    async def predict(
        self, model: ServedModel, photos: Sequence[bytes], *, maps: bool = False
    ) -> list[tuple[Any, NDArray[np.float32] | None]]:
        """What `ServedModel.answer` gives for each photo, in their order.

        Raises
        ------
        Overloaded, TooMany
            As `check_room`.
        """
        answers = await self.run([partial(model.answer, photo, maps=maps) for photo in photos])
        if self._on_answers:
            self._on_answers(model, [answer for answer, _ in answers])
        return answers

    async def run(self, work: Sequence[Callable[[], Result]]) -> list[Result]:
        """Do all of it, each piece on one of the threads; raises as `check_room`."""
        self.check_room(len(work))
        loop = asyncio.get_running_loop()
        self.taken += len(work)
        pending = [loop.run_in_executor(self._pool, self._timed, piece) for piece in work]
        for each in pending:
            each.add_done_callback(self._done)
        if len(pending) == 1:
            return [await pending[0]]
        return list(await asyncio.gather(*pending))

    def _timed(self, piece: Callable[[], Result]) -> Result:
        begun = time.monotonic()
        try:
            return piece()
        finally:
            self._seconds += _SMOOTHING * (time.monotonic() - begun - self._seconds)

    def _done(self, done: asyncio.Future[Any]) -> None:
        self.taken -= 1
        if not done.cancelled():
            done.exception()  # which `gather` has raised for the first that failed

    def close(self) -> None:
        """Wait for what was accepted."""
        self._pool.shutdown(wait=True)
