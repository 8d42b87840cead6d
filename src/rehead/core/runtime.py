"""Inference sessions: ONNX Runtime on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ReheadError, WeightsError
from .text import first_line

__all__ = ["cpu_count", "import_onnxruntime", "open_session", "trim_memory"]

_FIRST_RUN = 60  # seconds for the first photo of a network of others: efficientnet_b7 takes less than one


def cpu_count() -> int:
    """Number of CPUs available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def import_onnxruntime() -> Any:
    """The package; whatever uses it first imports it by this."""
    # ONNX Runtime 1.31 counts its uses and sends them to its makers unless this is set before the import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(
    graph: bytes,
    *,
    threads: int,
    spin: int = 0,
    of: str | None = None,
    error: type[ReheadError] = WeightsError,
    provider: tuple[str, dict[str, str]] | None = None,
) -> Any:
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
    of : str, optional
        What a graph of others is called in errors.
    error : type of ReheadError
        With `of`, raised where the graph cannot be opened or run, where its first run does not end, and where
        it gives arrays of other shapes than it says, or numbers that are not finite.
    provider : (str, dict), optional
        One of ONNX Runtime's providers and its options, instead of the processor; needs `of`.

    Returns
    -------
    onnxruntime.InferenceSession, or with `of` what has its `run`, `get_inputs` and `get_outputs`
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3 if of is None else 4  # what goes wrong becomes an error of ours
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    if spin:
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(spin))
    if provider and provider[0] == "DmlExecutionProvider":
        options.enable_mem_pattern = False  # which DirectML needs
    first = [provider] if provider else []
    try:
        # without its second try, which prints
        session = onnxruntime.InferenceSession(
            graph, options, providers=[*first, "CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as reason:  # onnxruntime's own classes, which have no common base
        if of is None:
            raise
        raise error(_cannot_run(of, reason)) from reason
    if provider and session.get_providers()[0] != provider[0]:  # it goes on without, and says so in a log
        raise error(
            f"{of}: {provider[0]} cannot be loaded; see its driver and libraries, or use another engine"
        )
    return session if of is None else _CheckedSession(session, of, error)


def _cannot_run(of: str, reason: Exception) -> str:
    return f"{of}: ONNX Runtime cannot run its graph ({first_line(reason)})"


class _CheckedSession:
    """A session of a graph of others; see `open_session`."""

    def __init__(self, session: Any, of: str, error: type[ReheadError]) -> None:
        self._session, self._of, self._error = session, of, error
        self._shapes = {output.name: output.shape for output in session.get_outputs()}
        self._ran = False
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As InferenceSession has it."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        try:
            with contextlib.nullcontext() if self._ran else _terminated_late(options):
                found: list[NDArray[Any]] = self._session.run(outputs, inputs, options)
        except Exception as reason:  # as above
            if options.terminate:
                raise self._error(
                    f"{self._of}: does not end within {_FIRST_RUN} seconds on a photo"
                ) from reason
            raise self._error(_cannot_run(self._of, reason)) from reason
        self._ran = True
        for name, numbers in zip(outputs or self._shapes, found, strict=True):
            self._check(name, numbers)
        return found

    def _check(self, name: str, numbers: NDArray[Any]) -> None:
        said, shape = self._shapes[name], np.shape(numbers)
        fixed = [n if isinstance(n, int) else m for n, m in zip(said, shape, strict=False)]
        if len(said) != len(shape) or fixed != list(shape):
            raise self._error(f"{self._of}: says that its output {name} is {said}, and gives {list(shape)}")
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            raise self._error(f"{self._of}: its output {name} is not finite for a photo; it cannot be used")


@contextlib.contextmanager
def _terminated_late(options: Any) -> Iterator[None]:
    """End a run with these options between two operators once it took too long."""
    late = threading.Timer(_FIRST_RUN, setattr, (options, "terminate", True))
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


def trim_memory() -> None:
    """Return freed memory to the system (glibc's `malloc_trim`).

    glibc keeps what each thread freed, some 90 MB after photos were decoded and the network run on two
    threads (benchmarks/memory.py). Elsewhere this does nothing.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
