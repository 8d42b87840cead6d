"""Whether a runtime answers as a model file says: its self-test, here, in Node.js, or by a server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classification.self_test import Answers, SelfTest, by_session, self_test
from ..core.engines import find_engine
from ..core.model_file import ModelFile
from ..core.runtime import open_session
from ..core.text import first_line
from ..errors import DataError, ModelFileError, UnknownNameError
from ..exporting.node import in_node
from ..images import PreprocessSpec

__all__ = ["RUNTIMES", "check_runtime"]

RUNTIMES = ("onnxruntime", "openvino", "web")
"""By name; a server of the Open Inference Protocol is named by its address."""

_SECONDS = 60  # for an answer of a server


def check_runtime(file: ModelFile, runtime: str) -> SelfTest:
    """Run the golden pictures of a classifier.

    Parameters
    ----------
    file : ModelFile
    runtime : str
        One of `RUNTIMES`, or the address of a model: "http://localhost:8000/v2/models/alpaca".

    Raises
    ------
    ModelFileError
        The file has no golden pictures, or the runtime cannot run it.
    UnknownNameError, MissingExtraError, EngineError
        The runtime is not known, or not installed; it cannot run the graph.
    WeightsError
        Of "web": onnxruntime-web is not there, and cannot be fetched.
    """
    with _runtime(file, runtime) as answer:
        try:
            return self_test(file.manifest, answer)
        except DataError as error:
            raise ModelFileError(f"{file.path}: {error}") from error


@contextlib.contextmanager
def _runtime(file: ModelFile, name: str) -> Iterator[Answers]:
    preprocess, of = PreprocessSpec.from_dict(file.manifest["preprocess"]), str(file.path)
    if name.startswith(("http://", "https://")):
        yield _server(name.rstrip("/"))
    elif name == "onnxruntime":
        session = open_session(file.graph, threads=1, of=of, error=ModelFileError)
        yield by_session(session, preprocess)
    elif name == "openvino":
        yield by_session(find_engine(name).open(file.graph, threads=1, of=of), preprocess)
    elif name == "web":
        with in_node(file.graph, of) as answer:
            yield answer
    else:
        raise UnknownNameError("runtime", name, [*RUNTIMES, "http://HOST:PORT/v2/models/NAME"])


def _server(address: str) -> Answers:
    """A model behind the Open Inference Protocol, version 2, over HTTP with JSON."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    def answer(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        asked = {
            "inputs": [
                {
                    "name": "image",
                    "shape": [1, *picture.shape],
                    "datatype": "UINT8",
                    "data": picture.ravel().tolist(),
                }
            ],
            "outputs": [{"name": "probabilities"}, {"name": "outlier_score"}],
        }
        body, kind = json.dumps(asked).encode("utf-8"), {"Content-Type": "application/json"}
        request = Request(f"{address}/infer", body, kind)
        try:
            with urlopen(request, timeout=_SECONDS) as reply:
                outputs: list[dict[str, Any]] = json.load(reply)["outputs"]
            data = {output["name"]: np.asarray(output["data"], np.float32).ravel() for output in outputs}
            return data["probabilities"], float(data["outlier_score"][0])
        except (OSError, HTTPException, ValueError, KeyError, TypeError, IndexError) as error:
            raise ModelFileError(f"{address}: gives no answer ({first_line(error)})") from error

    return answer
