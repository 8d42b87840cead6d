"""ONNX files of others: read whole, with the weights that they keep in other files, and nothing is run."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.onnx_contents import MAX_BYTES, check_operators
from ...errors import DataError, WeightsError

__all__ = ["read_onnx"]


def read_onnx(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """Read a network.

    Returns
    -------
    network : bytes
        The serialised ONNX model. Tensors that lie in other files, as torch's exporter writes them for
        large networks, are in it; only files in the folder of `path` are read.
    sha256 : str
        Of all bytes that it was read from, in hex.

    Raises
    ------
    WeightsError
        The file cannot be read, is no ONNX file or larger than one can be, or has a loop.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{file}: larger than an ONNX file can be, 2 GiB")
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        external = check_operators(data)
    except DataError as error:
        raise WeightsError(f"{file}: not a valid ONNX file, or none that rehead runs: it {error}") from error
    if not external:
        return data, hashlib.sha256(data).hexdigest()
    return _embedded(file, data)


def _embedded(file: Path, data: bytes) -> tuple[bytes, str]:
    import onnx

    digest, size = hashlib.sha256(data), len(data)
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf raises what it likes
        raise WeightsError(f"{file}: not a valid ONNX file ({error})") from error
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        raw = _raw(file, {entry.key: entry.value for entry in tensor.external_data}, MAX_BYTES - size)
        if len(raw) != _bytes_of(tensor):
            raise WeightsError(
                f"{file}: {len(raw)} bytes lie elsewhere for its tensor {tensor.name!r:.60}, which has "
                f"{_bytes_of(tensor)}; the two files do not belong together"
            )
        size += len(raw)
        digest.update(hashlib.sha256(raw).digest())
        tensor.raw_data, tensor.data_location = raw, onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    return bytes(model.SerializeToString(deterministic=True)), digest.hexdigest()


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors of an ONNX model, wherever they are."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if hasattr(value, "__len__") else (value,):
            if field.message_type.name == "TensorProto":
                yield part
            else:
                yield from _tensors(part)


def _bytes_of(tensor: Any) -> int:
    """The size of a tensor's elements by its type and shape; of types below a byte, several in one."""
    import onnx

    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    bits = next((int(n) for n in ("64", "32", "16") if n in name), 0)
    bits = {"FLOAT": 32, "DOUBLE": 64, "COMPLEX64": 64, "COMPLEX128": 128}.get(name, bits)
    bits = bits or next((n for n in (4, 2) if name.startswith((f"INT{n}", f"UINT{n}", f"FLOAT{n}"))), 8)
    return int(math.prod(tensor.dims) * bits + 7) // 8


def _raw(file: Path, entry: dict[str, str], limit: int) -> bytes:
    """The bytes that an entry of external data stands for."""
    name = entry.get("location", "")
    folder = file.parent.resolve()
    try:
        place = (folder / name).resolve()
        if not place.is_relative_to(folder):
            raise WeightsError(
                f"{file}: names {name} for its weights, and only files in its own folder are read; "
                "put them there"
            )
        if not place.is_file():
            raise WeightsError(f"{file}: its weights lie in {name}, which is not there; put it beside it")
        offset = int(entry.get("offset", 0))
        rest = place.stat().st_size - offset
        length = int(entry.get("length", rest))
        if offset < 0 or not 0 <= length <= rest:
            raise WeightsError(f"{place}: is too short for the weights of {file.name}; copy both again")
        if length > limit:
            raise WeightsError(f"{file}: larger with its weights than an ONNX file can be, 2 GiB")
        with place.open("rb") as weights:
            weights.seek(offset)
            return weights.read(length)
    except ValueError as error:
        raise WeightsError(f"{file}: does not say where in {name} its weights are ({error})") from error
    except OSError as error:
        raise WeightsError(f"{file}: {name} with its weights cannot be read ({error.strerror})") from error
