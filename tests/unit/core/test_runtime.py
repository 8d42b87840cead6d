from __future__ import annotations

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rehead.core.runtime import cpu_count, open_session, trim_memory


def test_one_session_answers_several_threads_alike(tiny_onnx: Path) -> None:
    session = open_session(tiny_onnx.read_bytes(), threads=1)
    x = np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32)
    alone = [session.run(["last"], {"input": row[None]})[0] for row in x]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda row: session.run(["last"], {"input": row[None]})[0], x))
    np.testing.assert_array_equal(alone, together)
    assert np.ptp(alone) > 0


def test_processors_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5, 7})
        assert cpu_count() == 3
        monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_count() == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc does")
def test_freed_memory_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def churn(_: int) -> list[bytes]:
        kept = [bytes(60_000) for _ in range(600)]  # below what malloc maps by itself
        return kept[::100]  # holes between what stays

    with ThreadPoolExecutor(2) as pool:
        kept = list(pool.map(churn, range(2)))
    before = resident()
    trim_memory()
    assert before - resident() > 2**24
    assert len(kept) == 2


def test_giving_memory_back_where_there_is_nothing_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise OSError("no such library")

    monkeypatch.setattr("rehead.core.runtime.ctypes.CDLL", missing)
    trim_memory()
    monkeypatch.setattr("rehead.core.runtime.sys.platform", "win32")
    trim_memory()
