"""The one pool of threads: work on many items side by side, a few at a time, results in order.

BLAS has one thread while the pool works: its own threads would wait for each other, and for those of the
pool. On a machine with other work on it `rehead train` took 14 s of the processors instead of 2.4.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from .runtime import cpu_count

__all__ = ["map_in_order", "one_blas_thread"]

_QUEUED = 4  # items submitted per thread: enough that none waits where one item takes long, few enough that
# Ctrl-C is quick and memory flat

Item = TypeVar("Item")
Result = TypeVar("Result")


class _OneBlasThread(contextlib.ContextDecorator):
    """The limit is of the process: it is taken off when nobody is inside any more, in whatever thread.

    It holds for what is loaded, so it is set anew by each who enters: scipy brings a BLAS of its own.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limits: list[Any] = []

    def __enter__(self) -> None:
        import threadpoolctl

        with self._lock:
            self._limits.append(threadpoolctl.threadpool_limits(1, user_api="blas"))
            self._inside += 1

    def renew(self) -> None:
        """Set the limit for a BLAS that was loaded meanwhile, where somebody is inside."""
        if self._inside:
            with self:
                pass

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            while self._limits and not self._inside:
                self._limits.pop().restore_original_limits()


one_blas_thread = _OneBlasThread()
"""Within `with one_blas_thread:`, or a function under `@one_blas_thread`, matrix products have one thread."""


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in the order of the items, computed by a pool of threads.

    Unlike `Executor.map`, it takes only a few items ahead of the result that is yielded. What is queued is
    cancelled as soon as the iteration ends, by an exception, Ctrl-C or closing the iterator too. An iterator
    that was dropped may be closed by the garbage collector in one of the threads: it cannot wait for itself.

    Parameters
    ----------
    work : callable
        Called with one item, from any of the threads.
    items : iterable
        Iterated over in the calling thread.
    threads : int, optional
        One for each processor by default.

    Yields
    ------
    object
        What `work` returns. What it raises is raised when the item's turn comes.
    """
    workers = threads or cpu_count()
    pending = iter(items)
    queued = deque[Future[Result]]()
    pool, owner = ThreadPoolExecutor(workers), threading.get_ident()
    with one_blas_thread:
        try:
            queued.extend(pool.submit(work, item) for item in islice(pending, _QUEUED * workers))
            while queued:
                result = queued.popleft().result()
                queued.extend(pool.submit(work, item) for item in islice(pending, 1))
                yield result
        finally:
            pool.shutdown(wait=threading.get_ident() == owner, cancel_futures=True)
