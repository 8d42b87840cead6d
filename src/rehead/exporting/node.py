"""onnxruntime-web as browsers have it, in Node.js: to check a model file without a browser."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, ModelFileError
from .onnxruntime_web import runtime_files
from .templates import read

__all__ = ["in_node"]

Answers = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], float]]


@contextlib.contextmanager
def in_node(graph: bytes, of: str, files: Path | None = None) -> Iterator[Answers]:
    """A classifier's graph in onnxruntime-web: probabilities (K,) and outlier score of uint8 (H, W, 3) RGB.

    Parameters
    ----------
    graph : bytes
        Serialised ONNX.
    of : str
        What it is called in errors.
    files : Path, optional
        As of `runtime_files`.

    Raises
    ------
    MissingExtraError
        There is no Node.js.
    WeightsError
        onnxruntime-web is not there, and cannot be fetched.
    ModelFileError
        It cannot run the graph.
    """
    if (node := shutil.which("node")) is None:
        raise MissingExtraError(
            "runtime web needs Node.js 20 or newer on the path (https://nodejs.org); pages of `rehead export "
            "--for web` test themselves in the browser"
        )
    with tempfile.TemporaryDirectory(prefix="rehead-") as folder:
        place = Path(folder)
        script = read("node.mjs").encode("utf-8")
        for name, data in {**runtime_files(files), "model.onnx": graph, "node.mjs": script}.items():
            (place / name).write_bytes(data)
        parts = ("node.mjs", "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "model.onnx")
        command = [node, *(str(place / name) for name in parts)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            stdin, stdout, stderr = process.stdin, process.stdout, process.stderr

            def answer(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
                data = base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode("ascii")
                line = ""
                with contextlib.suppress(BrokenPipeError):
                    stdin.write(json.dumps({"shape": [1, *picture.shape], "data": data}) + "\n")
                    stdin.flush()
                    line = stdout.readline()
                if not line:
                    said = next((words for words in stderr.read().splitlines() if "Error" in words), "")
                    raise ModelFileError(f"{of}: onnxruntime-web cannot run it ({said or 'no answer'})")
                probabilities, outlier = json.loads(line)
                return np.array(probabilities, np.float32), float(outlier)

            try:
                yield answer
            finally:
                process.kill()
