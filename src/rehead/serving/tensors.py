"""Tensors of the Open Inference Protocol, version 2, and of Triton's binary extension: read and written.

A request is not to be trusted: whatever is wrong with a tensor is a DataError of one line, and nothing is
allocated for it that is not in the request already.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.values import ComparedByValue
from ..errors import DataError

__all__ = ["DATATYPES", "Binary", "Tensor", "entry_of", "of_bytes", "read_tensor", "shown", "written_bytes"]

DATATYPES: Mapping[str, DTypeLike] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
"""As the protocol calls them: all but BF16, which numpy does not have. An element of BYTES is a `bytes`."""

_MAX_RANK = 8
_LENGTH = struct.Struct("<I")  # before each element of BYTES
_IN_JSON: Mapping[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}, "O": {str}}


@dataclass(frozen=True, eq=False)
class Tensor(ComparedByValue):
    """An input or an output.

    Parameters
    ----------
    name : str
    datatype : str
        One of `DATATYPES`.
    data : ndarray
        Read-only where it is a view of a request; of objects that are `bytes` where the datatype is BYTES.
    in_json : bool
        Whether it came as JSON, where an element of BYTES is text.
    """

    name: str
    datatype: str
    data: NDArray[Any]
    in_json: bool = False


class Binary:
    """What follows the JSON of a request: the tensors' bytes, one after the other.

    Parameters
    ----------
    data : memoryview
    """

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """Bytes that no tensor has taken."""
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        """The next bytes; DataError where there are not as many."""
        if size > self.left:
            raise DataError(f"binary_data_size is {size}, but {self.left} bytes are left in the request")
        self._at += size
        return self._data[self._at - size : self._at]


def shown(value: object) -> str:
    """A value of a request for an error: on one line, and short, however large it is."""
    if isinstance(value, str):
        value = value[:40]
    elif isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'record'} of {len(value)}"
    elif isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"
    return ascii(value)[:60]


def read_tensor(entry: object, binary: Binary) -> Tensor:
    """An input of a request, as its JSON describes it.

    Raises
    ------
    DataError
        The name, shape, datatype or data are wrong, or do not agree.
    """
    if not isinstance(entry, dict):
        raise DataError(f"an input is {shown(entry)}; expected a record")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise DataError(f"the name of an input is {shown(name)}; expected a string")
    try:
        return _read(name, entry, binary)
    except DataError as error:
        raise DataError(f"input {shown(name)}: {error}") from error


def _read(name: str, entry: Mapping[str, Any], binary: Binary) -> Tensor:
    datatype, parameters = entry.get("datatype"), entry.get("parameters", {})
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise DataError(f"the datatype is {shown(datatype)}; expected one of {', '.join(DATATYPES)}")
    if not isinstance(parameters, dict):
        raise DataError(f"parameters are {shown(parameters)}; expected a record")
    if "shared_memory_region" in parameters:
        raise DataError("shared memory is not offered; send the data")
    shape = _shape(entry.get("shape"))
    if "binary_data_size" not in parameters:
        return Tensor(name, datatype, _from_json(entry.get("data"), datatype, shape), in_json=True)
    if "data" in entry:
        raise DataError("has both data and binary_data_size; expected one of them")
    size = parameters["binary_data_size"]
    if type(size) is not int or size < 0:
        raise DataError(f"binary_data_size is {shown(size)}; expected a number of bytes")
    return Tensor(name, datatype, _from_binary(binary.take(size), datatype, shape))


def _shape(given: object) -> tuple[int, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= _MAX_RANK:
        raise DataError(f"the shape is {shown(given)}; expected a list of 1 to {_MAX_RANK} lengths")
    if wrong := [n for n in given if type(n) is not int or not 1 <= n < 2**31]:
        raise DataError(f"the shape has a length of {shown(wrong[0])}; expected whole numbers from 1")
    return tuple(given)


def _from_json(data: object, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Numbers or strings of a list, flat or nested; nothing is made of it before all of it is right."""
    values, dtype = _flat(data, shape), np.dtype(DATATYPES[datatype])
    if wrong := set(map(type, values)) - _IN_JSON[dtype.kind]:
        kinds = sorted(kind.__name__ for kind in wrong)
        raise DataError(f"the data has {', '.join(kinds)}; expected {datatype}")
    if dtype.kind == "O":
        try:
            return of_bytes([value.encode("utf-8") for value in values], shape)
        except UnicodeEncodeError as error:
            raise DataError("the data has half a character; expected UTF-8") from error
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype)
    except OverflowError as error:
        raise DataError(f"the data has a number that {datatype} cannot hold") from error
    if not np.isfinite(array).all():
        raise DataError(f"the data has a number that {datatype} cannot hold")
    return array.reshape(shape)


def _flat(data: object, shape: tuple[int, ...]) -> list[Any]:
    if not isinstance(data, list):
        raise DataError(f"the data is {shown(data)}; expected a list, or binary_data_size in parameters")
    values: list[Any] = data
    if values and type(values[0]) is list:
        values = [data]
        for length in shape:
            values = _next_level(values, length)
    count = math.prod(shape)
    if len(values) != count:
        raise DataError(f"the data has {len(values)} elements; the shape says {count}")
    return values


def _next_level(values: list[Any], length: int) -> list[Any]:
    if any(type(value) is not list or len(value) != length for value in values):
        raise DataError(f"the data is nested otherwise than the shape says; expected lists of {length}")
    return list(chain.from_iterable(values))


def _from_binary(data: memoryview, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype, count = np.dtype(DATATYPES[datatype]), math.prod(shape)
    if dtype.kind == "O":
        return of_bytes(_elements(data, count), shape)
    if len(data) != count * dtype.itemsize:
        raise DataError(f"{len(data)} bytes; its shape and datatype make {count * dtype.itemsize}")
    array: NDArray[Any] = np.frombuffer(data, np.uint8 if dtype.kind == "b" else dtype)
    return (array.astype(bool) if dtype.kind == "b" else array).reshape(shape)


def _elements(data: memoryview, count: int) -> list[bytes]:
    if count * _LENGTH.size > len(data):
        raise DataError(f"{len(data)} bytes are not enough for {count} elements")
    elements, at = list[bytes](), 0
    for _ in range(count):
        end = at + _LENGTH.size
        length = _LENGTH.unpack_from(data, at)[0] if end <= len(data) else 0
        at = end + length
        if at > len(data):
            raise DataError(f"element {len(elements)} is longer than the data")
        elements.append(bytes(data[end:at]))
    if at != len(data):
        raise DataError(f"{len(data) - at} bytes follow the last of {count} elements")
    return elements


def of_bytes(elements: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[np.object_]:
    """The data of a tensor of BYTES."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def written_bytes(tensor: Tensor) -> bytes:
    """The data as it follows the JSON."""
    if tensor.datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(element)) + element for element in tensor.data.ravel())
    return np.ascontiguousarray(tensor.data, DATATYPES[tensor.datatype]).tobytes()


def entry_of(tensor: Tensor, data: bytes | None) -> dict[str, Any]:
    """The JSON of an output, whose data follows it, or is in it where that is None.

    JSON has no NaN and no infinity, which are null in it. Elements of BYTES must be UTF-8.
    """
    entry: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.data.shape),
    }
    if data is not None:
        return {**entry, "parameters": {"binary_data_size": len(data)}}
    values = tensor.data.ravel()
    if tensor.datatype == "BYTES":
        return {**entry, "data": [element.decode("utf-8") for element in values]}
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return {**entry, "data": [value if math.isfinite(value) else None for value in values.tolist()]}
    return {**entry, "data": values.tolist()}
