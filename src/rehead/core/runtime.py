"""Inference sessions: ONNX Runtime on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Any

__all__ = ["cpu_count", "open_session", "trim_memory"]


def cpu_count() -> int:
    """Number of CPUs available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_session(graph: bytes, *, threads: int, spin: int = 0) -> Any:
    """Open an ONNX graph.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    threads : int
        Threads of one run. Sessions may be run from several threads at once.
    spin : int
        Microseconds that idle threads spin before they sleep. Releases of ONNX Runtime without this option
        use their own, longer, time for any number above 0.

    Returns
    -------
    onnxruntime.InferenceSession
    """
    # ONNX Runtime 1.31 counts its uses and sends them to its makers unless this is set before the import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    if spin:
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(spin))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def trim_memory() -> None:
    """Return freed memory to the system (glibc's `malloc_trim`).

    glibc keeps what each thread freed, some 90 MB after photos were decoded and the network run on two
    threads (benchmarks/memory.py). Elsewhere this does nothing.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
