from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rehead.engine import open_session, processors


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
        assert processors() == 3
        monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1
