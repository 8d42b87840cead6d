from __future__ import annotations

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rehead.core.runtime import cpu_count, open_session, trim_memory
from rehead.errors import WeightsError


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


def graph(*nodes: Any) -> bytes:
    """A network of `x` (N, 2) to `y`, which it says is (N, 2)."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    made = onnx.helper.make_graph(list(nodes), "network", ends[:1], ends[1:])
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def endless() -> Any:
    """Adds x to itself for as long as an int64 counts."""
    info, make = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    body = onnx.helper.make_graph(
        [make("Identity", ["going"], ["on"]), make("Mul", ["sum", "sum"], ["next"])],
        "body",
        [
            info("turn", onnx.TensorProto.INT64, []),
            info("going", onnx.TensorProto.BOOL, []),
            info("sum", onnx.TensorProto.FLOAT, None),
        ],
        [info("on", onnx.TensorProto.BOOL, []), info("next", onnx.TensorProto.FLOAT, None)],
    )
    return make("Loop", ["", "", "x"], ["y"], body=body)


X = {"x": np.ones((1, 2), np.float32)}


def test_a_network_of_others_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehead.core.runtime._FIRST_RUN", 0.2)
    session = open_session(graph(endless()), threads=1, of="net.onnx")
    with pytest.raises(WeightsError, match=r"net\.onnx: does not end within 0\.2 seconds on a photo"):
        session.run(None, X)


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        ("Evil", r"net\.onnx: ONNX Runtime cannot run its graph"),
        ("Log", r"net\.onnx: its output y is not finite"),
        ("Transpose", r"net\.onnx: says that its output y is \[.*2\], and gives \[2, 1\]"),
    ],
)
def test_what_a_network_of_others_does_wrong_is_one_error(operator: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said) as caught:
        open_session(graph(onnx.helper.make_node(operator, ["x"], ["y"])), threads=1, of="net.onnx").run(
            ["y"], {"x": X["x"] * 0}
        )
    assert "\n" not in str(caught.value)
    good = open_session(graph(onnx.helper.make_node("Exp", ["x"], ["y"])), threads=1, of="net.onnx")
    np.testing.assert_array_equal(good.run(["y"], X)[0], good.run(None, X)[0])


def test_nothing_is_printed_about_a_broken_graph(capfd: pytest.CaptureFixture[str]) -> None:
    broken = graph(onnx.helper.make_node("Evil", ["x"], ["y"])).replace(b"Evil", b"Evi\xc9")
    with pytest.raises(WeightsError, match=r"net\.onnx: ONNX Runtime cannot run its graph"):
        open_session(broken, threads=1, of="net.onnx")
    assert capfd.readouterr() == ("", "")
