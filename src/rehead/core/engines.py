"""Engines: what runs a network while features are taken.

Answers never depend on the choice: a model file, and everything that predicts or tests, is run by ONNX
Runtime on the processor, in fp32. Another engine may take the features of training photos, faster and in
fewer bits. Nothing here is imported or looked for before it is asked for.
"""

from __future__ import annotations

import contextlib
import platform
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EngineError, MissingExtraError, UnknownNameError
from . import records
from .cache import cache_root
from .runtime import cpu_count, import_onnxruntime, open_session
from .text import first_line

__all__ = [
    "ENGINES",
    "ONNX_RUNTIME",
    "Engine",
    "OnnxRuntime",
    "OpenVino",
    "Session",
    "fastest_engine",
    "find_engine",
    "measured_file",
    "processor",
]

_WORTH_IT = 1.1  # times ONNX Runtime's speed: two runs of benchmarks/engines.py differ by as much


class Session(Protocol):
    """An opened network, as ONNX Runtime's InferenceSession runs one."""

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs of these names, all by default; may be called from several threads at once."""


class Engine(Protocol):
    """What runs a network."""

    @property
    def name(self) -> str:
        """As `--engine` names it."""

    def missing(self) -> str | None:
        """Why it cannot be used here and what to do, as a phrase; None where it can."""

    def record(self) -> dict[str, str]:
        """Name, version and precision ("fp32", "bf16" or "fp16"): what features depend on."""

    def device(self) -> str:
        """What it runs on, for people."""

    def open(self, graph: bytes, *, threads: int, of: str) -> Session:
        """Open an ONNX graph, `image` uint8 (1, S, S, 3), for that many threads, each with a photo at a time.

        `of` is what the graph is called in errors. Raises EngineError where it cannot run the graph.
        """


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime, on the processor or by one of its providers.

    Parameters
    ----------
    name : str
    provider : str
        As `onnxruntime.get_available_providers` lists it.
    on : str
        What the provider runs on, for people; "" for the processor.
    install : str
        What to do where it is missing.
    options : mapping of str to str
        Of the provider.
    precision : str
    one_at_a_time : bool
        Whether a session must not be run from two threads at once.
    """

    name: str
    provider: str
    on: str = ""
    install: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    precision: str = "fp32"
    one_at_a_time: bool = False

    def missing(self) -> str | None:
        """See `Engine`."""
        return None if self.provider in import_onnxruntime().get_available_providers() else self.install

    def record(self) -> dict[str, str]:
        """See `Engine`."""
        found = import_onnxruntime().__version__
        return {"name": self.name, "version": found, "precision": self.precision}

    def device(self) -> str:
        """See `Engine`."""
        return self.on or processor()

    def open(self, graph: bytes, *, threads: int, of: str) -> Session:  # noqa: ARG002 - the caller's threads
        """See `Engine`."""
        provider = (self.provider, dict(self.options)) if self.on else None
        session: Session = open_session(graph, threads=1, of=of, error=EngineError, provider=provider)
        return _OneAtATime(session) if self.one_at_a_time else session


class _OneAtATime:
    """A session that threads wait for."""

    def __init__(self, session: Session) -> None:
        self._session, self._lock = session, threading.Lock()

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with self._lock:
            return self._session.run(outputs, inputs)


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO on the processor, in bf16 where the processor has it, in fp32 elsewhere."""

    name: str = "openvino"

    def missing(self) -> str | None:
        """See `Engine`."""
        if find_spec("openvino") is None:
            return "OpenVINO is not installed: pip install 'rehead[openvino]'"
        return None

    def record(self) -> dict[str, str]:
        """See `Engine`."""
        capable = _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in capable else "fp32"
        return {"name": self.name, "version": version("openvino"), "precision": precision}

    def device(self) -> str:
        """See `Engine`."""
        return str(_openvino_core().get_property("CPU", "FULL_DEVICE_NAME"))

    def open(self, graph: bytes, *, threads: int, of: str) -> Session:
        """See `Engine`."""
        core = _openvino_core()
        config = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "bf16" if self.record()["precision"] == "bf16" else "f32",
            "NUM_STREAMS": threads,  # one photo on each thread; a photo on all of them is 1.5 times slower
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # two processes would share one processor and leave another idle
        }
        try:
            model = core.read_model(graph)
            shape = model.input("image").get_partial_shape()
            shape[0] = 1  # of one photo 1.1 times faster than of any number (benchmarks/engines.py)
            model.reshape({"image": shape})
            return _OpenVinoSession(core.compile_model(model, "CPU", config), of)
        except Exception as reason:  # OpenVINO raises RuntimeError and what its bindings raise
            raise EngineError(_cannot_run(of, reason)) from reason


class _OpenVinoSession:
    """A request of its own for each thread: a request cannot be shared."""

    def __init__(self, compiled: Any, of: str) -> None:
        self._compiled, self._of, self._own = compiled, of, threading.local()
        self._names = [output.get_any_name() for output in compiled.outputs]

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            if (request := getattr(self._own, "request", None)) is None:
                request = self._own.request = self._compiled.create_infer_request()
            request.infer(dict(inputs), share_inputs=True)
            found = [np.array(request.get_tensor(name).data) for name in outputs or self._names]
        except Exception as reason:  # as above
            raise EngineError(_cannot_run(self._of, reason)) from reason
        if not all(np.isfinite(array).all() for array in found):
            raise EngineError(
                f"{self._of}: OpenVINO gives numbers that are not finite for a photo; {_INSTEAD}"
            )
        return found


_INSTEAD = "use --engine onnxruntime"


def _cannot_run(of: str, reason: Exception) -> str:
    return f"{of}: OpenVINO cannot run its graph ({first_line(reason)}); {_INSTEAD}"


@cache
def _openvino_core() -> Any:
    with _without("openvino_telemetry"):
        import openvino

    return openvino.Core()


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Importing that module fails meanwhile.

    OpenVINO tells its makers when it is imported, by Google Analytics, and keeps a number for each user in
    the home folder. Where openvino_telemetry cannot be imported it does neither.
    """
    kept = {name: value for name, value in sys.modules.items() if name == module}
    sys.modules[module] = None  # type: ignore[assignment] # which Python takes for "there is none"
    try:
        yield
    finally:
        del sys.modules[module]
        sys.modules.update(kept)


ONNX_RUNTIME = OnnxRuntime("onnxruntime", "CPUExecutionProvider")
"""What answers, and what takes features unless something else is asked for."""

ENGINES: Mapping[str, Engine] = {
    "onnxruntime": ONNX_RUNTIME,
    "openvino": OpenVino(),
    "cuda": OnnxRuntime(
        "cuda",
        "CUDAExecutionProvider",
        "NVIDIA GPU",
        "this ONNX Runtime has no CUDA: pip uninstall onnxruntime, then pip install onnxruntime-gpu",
        {"use_tf32": "0"},  # 10 bits of mantissa, which are no fp32
    ),
    "coreml": OnnxRuntime(
        "coreml",
        "CoreMLExecutionProvider",
        "Apple GPU or Neural Engine",
        "this ONNX Runtime has no CoreML, which that for macOS has",
        {"ModelFormat": "MLProgram"},
        "fp16",  # the Neural Engine's
    ),
    "directml": OnnxRuntime(
        "directml",
        "DmlExecutionProvider",
        "GPU by DirectX 12",
        "this ONNX Runtime has no DirectML: on Windows, pip uninstall onnxruntime, then pip install "
        "onnxruntime-directml",
        one_at_a_time=True,  # https://onnxruntime.ai/docs/execution-providers/DirectML-ExecutionProvider.html
    ),
}
"""By name, in the order of `rehead engines`. CUDA, CoreML and DirectML were never run by rehead's tests."""


def find_engine(name: str) -> Engine:
    """The engine of that name; "auto" is `fastest_engine()`.

    Raises
    ------
    UnknownNameError
    MissingExtraError
        It is not installed; the error says how to.
    """
    if name == "auto":
        return fastest_engine()
    if name not in ENGINES:
        raise UnknownNameError("engine", name, [*ENGINES, "auto"])
    if reason := ENGINES[name].missing():
        raise MissingExtraError(f"engine {name}: {reason}")
    return ENGINES[name]


# what was measured


def measured_file() -> Path:
    """Where `rehead engines` keeps what it measured on this machine."""
    return cache_root() / "engines.json"


_MEASURED: records.Entries = {
    "processor": (records.text, "a name"),
    "threads": (records.count, "a number"),
    "engines": (
        records.list_of(
            records.record(
                name=records.text,
                version=records.either(None, records.text),
                precision=records.either(None, records.text),
                photos_per_second=records.either(None, records.number),
            )
        ),
        "records of engines",
    ),
}


def fastest_engine() -> Engine:
    """The fastest engine as `rehead engines` measured it on this machine.

    ONNX Runtime on the processor where nothing was measured, where processor or version are others than
    those measured, or where no engine was at least 1.1 times as fast. Nothing is measured here, so that it
    stays the same until `rehead engines` is run again.
    """
    try:
        found = records.read_record(measured_file())
        records.check_entries(found, _MEASURED, needed=True)
    except DataError:
        return ONNX_RUNTIME
    if (found["processor"], found["threads"]) != (processor(), cpu_count()):
        return ONNX_RUNTIME
    speed = {one["name"]: one["photos_per_second"] or 0.0 for one in found["engines"]}
    measured = {one["name"]: (one["version"], one["precision"]) for one in found["engines"]}
    usable = [
        engine
        for name, engine in ENGINES.items()
        if speed.get(name, 0.0) > 0 and engine.missing() is None and measured[name] == _measurable(engine)
    ]
    best = max(usable, key=lambda engine: speed[engine.name], default=ONNX_RUNTIME)
    slow = speed.get(best.name, 0.0) < _WORTH_IT * speed.get(ONNX_RUNTIME.name, 0.0)
    return ONNX_RUNTIME if slow else best


def _measurable(engine: Engine) -> tuple[str, str]:
    record = engine.record()
    return record["version"], record["precision"]


@cache
def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
