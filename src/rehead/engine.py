"""The one inference engine: ONNX Runtime on the processor."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["open_session", "processors"]


def processors() -> int:
    """Number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_session(graph: bytes, *, threads: int) -> Any:
    """Open an ONNX graph.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model.
    threads : int
        Processors that one run may use. Sessions may be run from several threads at once.

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
    # Threads that spin while they wait would take the processor from those that decode photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
