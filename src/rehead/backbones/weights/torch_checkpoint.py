"""Torch weight files without torch, and without trusting them.

A torch file is a pickle, and a pickle is a program. It is read on a machine that has nothing to call
(`safe_pickle`); the admitted names are `OrderedDict`, torch's typed storages, `_rebuild_tensor_v2` and
`_rebuild_parameter` (how a tensor that was an ``nn.Parameter`` is written).
Every length, offset and stride is checked against the bytes that are really there.

Both containers are read. Old (torch < 1.6): pickles of a magic number, the protocol version, the
writer's system, the object and the list of storage keys, and then, for each key, the number of
elements as 8 little-endian bytes and the elements, little-endian too. New: a zip of stored (never
compressed) members PREFIX/data.pkl, PREFIX/data/KEY and PREFIX/byteorder.
The layout is that of ``torch/serialization.py``.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from .safe_pickle import Global, PickleMachine, checked, kind_of, pairs, read_file

__all__ = ["read_state_dict"]

_Array: TypeAlias = NDArray[Any]
_Order: TypeAlias = Literal["<", ">"]

# torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001

_STORAGES: Mapping[str, np.dtype[Any]] = {
    "torch.FloatStorage": np.dtype(np.float32),
    "torch.DoubleStorage": np.dtype(np.float64),
    "torch.HalfStorage": np.dtype(np.float16),
    "torch.BFloat16Storage": np.dtype(np.uint16),  # its bits; widened to float32 in _elements
    "torch.LongStorage": np.dtype(np.int64),
    "torch.IntStorage": np.dtype(np.int32),
    "torch.ShortStorage": np.dtype(np.int16),
    "torch.CharStorage": np.dtype(np.int8),
    "torch.ByteStorage": np.dtype(np.uint8),
    "torch.BoolStorage": np.dtype(np.bool_),
}
_ORDERED_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_ADMITTED = frozenset({*_STORAGES, _ORDERED_DICT, _TENSOR, _PARAMETER})

_ORDERS: Mapping[bytes, _Order] = {b"little": "<", b"big": ">"}

# Where a training checkpoint keeps its state dict, beside the epoch, the optimiser and so on.
_WRAPPERS = ("state_dict", "model")


class _Storage(NamedTuple):
    kind: str
    key: str
    length: int  # elements


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int  # elements, as are the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, _Array]:
    """Read the tensors of a torch file.

    Parameters
    ----------
    path : str or path
        A state dict written by ``torch.save``, in the old or the new container; a checkpoint
        that holds one under "state_dict" or "model" will do.

    Returns
    -------
    dict of str to ndarray
        Name to array, in the file's order, with the shape of the tensor and its dtype in native
        byte order; bfloat16 becomes float32, exactly. Tensors that share a storage share memory.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, is no torch file or holds anything but tensors.
        Nothing in the file is run, whatever it says.
    """
    return read_file(
        path, lambda data: (_read_zip if data.startswith(b"PK") else _read_old)(data), "torch weight file"
    )


def _read_old(data: bytes) -> dict[str, _Array]:
    if not data.startswith(b"\x80"):  # a pickle of protocol 2 or later
        raise ValueError("it does not begin as torch's files do")
    file = io.BytesIO(data)
    reader = _TensorMachine(file)
    if reader.load() != _MAGIC_NUMBER or reader.load() != _PROTOCOL_VERSION:
        raise ValueError("it does not start with torch's magic number")
    reader.load()  # the writer's system
    tensors = _tensors(reader.load())
    keys = checked(reader.load(), list)
    raw: dict[str, memoryview] = {}
    at = file.tell()
    for key in keys:
        storage = reader.storages[checked(key, str)]
        start = at + 8
        at = start + int.from_bytes(data[at:start], "little") * _STORAGES[storage.kind].itemsize
        raw[key] = memoryview(data)[start:at]
    return _arrays(tensors, raw, "<", len(data))


def _read_zip(data: bytes) -> dict[str, _Array]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        # Members that unpack or overlap would let a small file become a large one in memory.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("its members are compressed, which torch never does")
        if sum(member.file_size for member in members.values()) > len(data):
            raise ValueError("its members are larger than the file")
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("a zip without data.pkl")
        prefix = pickles[0].removesuffix("data.pkl")
        tensors = _tensors(_TensorMachine(io.BytesIO(archive.read(pickles[0]))).load())
        keys = {tensor.storage.key for tensor in tensors.values()}
        raw = {key: memoryview(archive.read(f"{prefix}data/{key}")) for key in keys}
        order = archive.read(f"{prefix}byteorder") if f"{prefix}byteorder" in members else b"little"
    return _arrays(tensors, raw, _ORDERS[order], len(data))


def _tensors(loaded: object) -> dict[str, _Tensor]:
    """Check that the pickled object is a state dict; take it out of a checkpoint."""
    if isinstance(loaded, dict):
        loaded = next((loaded[name] for name in _WRAPPERS if isinstance(loaded.get(name), dict)), loaded)
    if not isinstance(loaded, dict):
        raise WeightsError(f"holds {kind_of(loaded)}, not a dict of tensors; save model.state_dict() instead")
    for name, value in loaded.items():
        if not (isinstance(name, str) and isinstance(value, _Tensor)):
            raise WeightsError(
                f"holds {kind_of(value)} under {name!r:.80}, not a tensor; save model.state_dict() instead"
            )
    return loaded


def _arrays(
    tensors: Mapping[str, _Tensor], raw: Mapping[str, memoryview], order: _Order, file_size: int
) -> dict[str, _Array]:
    storages = {tensor.storage for tensor in tensors.values()}
    elements = {storage: _elements(storage, raw[storage.key], order) for storage in storages}
    return {name: _array(t, elements[t.storage], file_size) for name, t in tensors.items()}


def _elements(storage: _Storage, raw: memoryview, order: _Order) -> _Array:
    dtype = _STORAGES[storage.kind]
    if storage.length * dtype.itemsize != len(raw):
        raise ValueError(f"{storage.length} elements claimed in {len(raw)} bytes")
    # astype copies: the bytes of an old file are not aligned, and none of them may be written to.
    elements: _Array = np.frombuffer(raw, dtype.newbyteorder(order)).astype(dtype)
    if storage.kind == "torch.BFloat16Storage":
        return (elements.astype(np.uint32) << 16).view(np.float32)
    return elements


def _array(tensor: _Tensor, elements: _Array, file_size: int) -> _Array:
    """The tensor as a view of its storage, once its numbers are checked against the storage."""
    _, offset, shape, strides = tensor
    if not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
        raise ValueError("a tensor's offset, shape or strides are no counts")
    if 0 in shape:
        return np.empty(shape, elements.dtype)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # A stride of 0 (torch's expand) repeats elements, so the bounds alone do not bound the size.
    if last >= len(elements) or math.prod(shape) > file_size:
        raise ValueError("a tensor reaches beyond its storage")
    size = elements.itemsize
    return np.ndarray(shape, elements.dtype, elements, offset * size, [stride * size for stride in strides])


class _TensorMachine(PickleMachine):
    """Reads the pickles of a torch file; `storages` are those that its tensors asked for."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, _ADMITTED)
        self.storages: dict[str, _Storage] = {}

    def reduced(self, name: Global, *arguments: Any) -> object:
        if name in _STORAGES:
            raise TypeError("something is called that is no function")
        if name == _ORDERED_DICT:
            return pairs(*arguments) if arguments else {}
        if name == _PARAMETER:
            return checked(arguments[0], _Tensor)
        storage, offset, shape, strides = arguments[:4]
        return _Tensor(checked(storage, _Storage), offset, checked(shape, tuple), checked(strides, tuple))

    def built(self, target: object, _metadata: object) -> object:
        # gives the state dict its attribute _metadata, which is not needed
        return checked(target, dict)

    def persistent(self, *identity: Any) -> object:
        tag, kind, key, _place, length, *view = identity
        if tag != "storage" or view not in ([], [None]):
            raise ValueError("a persistent id that is no whole storage")
        storage = _Storage(checked(kind, Global), checked(key, str), checked(length, int))
        if storage.kind not in _STORAGES or self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError("a storage of no type, or of two")
        return storage
