from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from rehead.core.parallel import map_in_order


def test_results_come_in_the_order_of_the_items() -> None:
    second_done = threading.Event()

    def first_last(n: int) -> int:
        if n == 0:
            second_done.wait()
        if n == 1:
            second_done.set()
        return n * n

    assert list(map_in_order(first_last, range(100), threads=3)) == [n * n for n in range(100)]


def test_nothing_to_do_yields_nothing() -> None:
    assert list(map_in_order(str, [])) == []


def test_only_a_few_items_are_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n

    results = map_in_order(str, items(), threads=2)
    assert next(results) == "0"
    assert len(taken) <= 10
    results.close()  # type: ignore[attr-defined]


def test_an_error_is_raised_in_its_turn_and_nothing_more_is_begun() -> None:
    begun = []

    def work(n: int) -> int:
        begun.append(n)
        if n == 1:
            raise ValueError("item 1")
        return n

    results = map_in_order(work, range(100), threads=1)
    assert next(results) == 0
    with pytest.raises(ValueError, match="item 1"):
        next(results)
    assert len(begun) <= 5


def test_items_that_cannot_be_had_end_the_iteration() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map_in_order(str, items()))


def test_it_may_be_closed_by_one_of_its_own_threads() -> None:
    """As the garbage collector does with an iterator that was dropped."""
    begun, dropped = threading.Event(), threading.Event()
    closed: list[BaseException | None] = []

    def work(n: int) -> int:
        if n == 1:
            begun.set()
            dropped.wait()
            try:
                results.close()  # type: ignore[attr-defined]
                closed.append(None)
            except RuntimeError as error:
                closed.append(error)
            finished.set()
        return n

    finished = threading.Event()
    results = map_in_order(work, range(9), threads=2)
    assert next(results) == 0
    begun.wait()
    dropped.set()
    assert finished.wait(10)
    assert closed == [None]


def test_every_blas_is_limited_the_one_that_scipy_loads_too() -> None:
    """In a process of its own, where scipy's is not loaded yet."""
    code = """
import numpy, threadpoolctl
from rehead.core.parallel import blas_threads
with blas_threads(1):
    import scipy.linalg
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
print(*[pool["num_threads"] for pool in pools])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}
