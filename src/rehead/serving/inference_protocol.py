"""Requests and responses of the Open Inference Protocol, version 2, with Triton's extensions.

The protocol: https://github.com/kserve/open-inference-protocol. The extensions, binary tensors and
classification: https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..errors import DataError, UnknownNameError
from .tensors import Binary, Tensor, entry_of, of_bytes, read_tensor, shown, written_bytes

__all__ = [
    "EXTENSIONS",
    "HEADER_LENGTH",
    "InferRequest",
    "RequestedOutput",
    "classified",
    "read_request",
    "write_response",
]

EXTENSIONS = ("classification", "binary_tensor_data")

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The HTTP header that says how many bytes are JSON, where tensors follow."""

_MAX_JSON, _MAX_LISTS = 8 * 1024**2, 1_000_000
"""What one request's JSON may be: Python takes 10 to 23 times the bytes of the text for it, up to 190 MB
(for as many records of one number; 88 MB for numbers). A photo of 0.5 million pixels fits; binary tensors
have no such limit."""


@dataclass(frozen=True)
class RequestedOutput:
    """An output that a request asks for.

    Parameters
    ----------
    name : str
    binary : bool
        Whether its data is to follow the JSON.
    classification : int
        How many classes to name instead of the numbers, 0 for the numbers.
    """

    name: str
    binary: bool = False
    classification: int = 0


@dataclass(frozen=True)
class InferRequest:
    """A request.

    Parameters
    ----------
    id : str
        Which the response repeats, "" for none.
    inputs : mapping of str to Tensor
    outputs : tuple of RequestedOutput
        None of them for all.
    binary : bool
        Whether outputs that say nothing of it are to follow the JSON.
    """

    inputs: Mapping[str, Tensor]
    id: str = ""
    outputs: tuple[RequestedOutput, ...] = ()
    binary: bool = False

    def requested(self, known: Sequence[str]) -> tuple[RequestedOutput, ...]:
        """The outputs to answer with, of those that there are; DataError for another."""
        for output in self.outputs:
            if output.name not in known:
                raise DataError(str(UnknownNameError("output", output.name[:40], known)))
        return self.outputs or tuple(RequestedOutput(name, self.binary) for name in known)


def read_request(body: bytes, header_length: str | None = None, *, raw_input: str = "image") -> InferRequest:
    """Read the body of a request.

    Parameters
    ----------
    body : bytes
    header_length : str, optional
        The header `Inference-Header-Content-Length`, where there is one. Where it is 0, the whole body is one
        element of BYTES.
    raw_input : str
        The input that this element is then.

    Raises
    ------
    DataError
        The request is wrong.
    """
    length = _header_length(header_length, len(body))
    if length == 0 and header_length is not None:
        photo = Tensor(raw_input, "BYTES", of_bytes([body], (1,)))
        return InferRequest({raw_input: photo}, binary=True)
    record, binary = _json(memoryview(body)[:length]), Binary(memoryview(body)[length:])
    inputs, parameters, id_ = record.get("inputs"), record.get("parameters", {}), record.get("id", "")
    if not isinstance(inputs, list) or not inputs:
        raise DataError(f"inputs are {shown(inputs)}; expected a list of tensors")
    if not isinstance(parameters, dict):
        raise DataError(f"parameters are {shown(parameters)}; expected a record")
    if not isinstance(id_, str) or len(id_) > 1000 or not _is_text(id_):
        raise DataError(f"the id is {shown(id_)}; expected a string of up to 1000 characters")
    tensors: dict[str, Tensor] = {}
    for entry in inputs:
        tensor = read_tensor(entry, binary)
        if tensor.name in tensors:
            raise DataError(f"input {shown(tensor.name)} is there twice")
        tensors[tensor.name] = tensor
    if binary.left:
        raise DataError(f"{binary.left} bytes of the request belong to no input")
    by_default = _flag(parameters, "binary_data_output", False)
    return InferRequest(tensors, id_, _outputs(record.get("outputs", []), by_default), by_default)


def _header_length(given: str | None, size: int) -> int:
    if given is None:
        return size
    if not (given.isascii() and given.isdigit() and len(given) <= 12) or int(given) > size:
        raise DataError(
            f"{HEADER_LENGTH} is {shown(given)}; expected a number up to {size}, the whole request"
        )
    return int(given)


def _json(text: memoryview) -> dict[str, Any]:
    if len(text) > _MAX_JSON:
        raise DataError(
            f"{len(text)} bytes of JSON, more than {_MAX_JSON}; send the photo as BYTES, or as binary data"
        )
    try:
        read = str(text, "utf-8")
        _check_lists(read)
        found = json.loads(read, parse_constant=_no_constant)
    except DataError:
        raise
    except RecursionError as error:
        raise DataError("the request is nested too deep; expected that of an inference request") from error
    except ValueError as error:
        raise DataError(f"the request is not JSON ({' '.join(str(error).split())[:100]})") from error
    if not isinstance(found, dict):
        raise DataError(f"the request is {shown(found)}; expected a record with inputs")
    return found


def _check_lists(text: str) -> None:
    if text.count("[") + text.count("{") > _MAX_LISTS:
        raise DataError(f"the JSON has more than {_MAX_LISTS} lists; give the data flat, or as binary data")


def _no_constant(name: str) -> NoReturn:
    raise DataError(f"the data has {name}, which JSON does not know; expected numbers")


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _outputs(given: object, binary: bool) -> tuple[RequestedOutput, ...]:
    if not isinstance(given, list):
        raise DataError(f"outputs are {shown(given)}; expected a list")
    outputs: dict[str, RequestedOutput] = {}
    for entry in given:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise DataError(f"an output is {shown(entry)}; expected a record with a name")
        parameters = entry.get("parameters", {})
        if not isinstance(parameters, dict) or "shared_memory_region" in parameters:
            raise DataError(f"output {shown(name)}: its parameters are not offered here")
        if name in outputs:
            raise DataError(f"output {shown(name)} is asked for twice")
        count = parameters.get("classification", 0)
        if type(count) is not int or not 0 <= count < 2**31:
            raise DataError(
                f"output {shown(name)}: classification is {shown(count)}; expected how many classes"
            )
        outputs[name] = RequestedOutput(name, _flag(parameters, "binary_data", binary), count)
    return tuple(outputs.values())


def _flag(parameters: Mapping[str, Any], name: str, by_default: bool) -> bool:
    value = parameters.get(name, by_default)
    if not isinstance(value, bool):
        raise DataError(f"{name} is {shown(value)}; expected true or false")
    return value


def classified(tensor: Tensor, count: int, labels: Sequence[str] = ()) -> Tensor:
    """The `count` highest of each row as BYTES "value:index:label", (N, count), highest first.

    Parameters
    ----------
    tensor : Tensor
        Numbers, (N, K).
    count : int
        K at the most, whatever is asked for.
    labels : sequence of str
        Of the K columns; "value:index" without.

    Raises
    ------
    DataError
        The tensor is not of rows of numbers.
    """
    if tensor.data.ndim != 2 or tensor.datatype == "BYTES":
        raise DataError(f"output {shown(tensor.name)} is of no classes; ask for it without classification")
    highest = np.argsort(-tensor.data, axis=1, kind="stable")[:, :count]
    named = np.empty(highest.shape, object)
    for row, column in np.ndindex(highest.shape):
        index = int(highest[row, column])
        label = f":{labels[index]}" if labels else ""
        named[row, column] = f"{tensor.data[row, index]:f}:{index}{label}".encode()
    return Tensor(tensor.name, "BYTES", named)


def write_response(
    model: str,
    version: str,
    request: InferRequest,
    answers: Mapping[str, Tensor],
    labels: Mapping[str, Sequence[str]],
) -> tuple[bytes, int | None]:
    """The body of a response, and how much of it is JSON, None for all.

    Parameters
    ----------
    model, version : str
        Which answers.
    request : InferRequest
    answers : mapping of str to Tensor
        All that there is; the request says what is wanted of it.
    labels : mapping of str to sequence of str
        Of the columns of an output, where they have names.

    Raises
    ------
    DataError
        The request asks for what there is not.
    """
    entries, binary = [], []
    for output in request.requested(list(answers)):
        tensor = answers[output.name]
        if output.classification:
            tensor = classified(tensor, output.classification, labels.get(output.name, ()))
        data = written_bytes(tensor) if output.binary else None
        entries.append(entry_of(tensor, data))
        if data is not None:
            binary.append(data)
    record: dict[str, Any] = {"model_name": model, "model_version": version}
    record |= {"id": request.id} if request.id else {}
    text = json.dumps({**record, "outputs": entries}, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8"
    )
    return b"".join([text, *binary]), len(text) if binary else None
