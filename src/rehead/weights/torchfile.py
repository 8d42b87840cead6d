"""Torch weight files without torch, and without trusting them.

A torch file is a pickle, and a pickle is a program. This module does not run it on pickle's
machine: it reads the few instructions that ``torch.save`` writes for a state dict on a machine of
its own, which has nothing to call. A class in the pickle is only ever a word; the admitted words
are `OrderedDict`, torch's typed storages, `_rebuild_tensor_v2` and `_rebuild_parameter` (how a
tensor that was an ``nn.Parameter`` is written), and any other word is refused by name.
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
import pickletools
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError

__all__ = ["read_state_dict"]

_Array: TypeAlias = NDArray[Any]
_Order: TypeAlias = Literal["<", ">"]
_T = TypeVar("_T")

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

# The instructions of pickle that push their argument, or a value of their own.
_PUSH_ARGUMENT = frozenset({
    "BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1",
    "BINSTRING", "BINUNICODE", "SHORT_BINSTRING", "SHORT_BINUNICODE",
})  # fmt: skip
_PUSH_CONSTANT: Mapping[str, bool | None] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSH_EMPTY: Mapping[str, type[Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}

_ORDERS: Mapping[bytes, _Order] = {b"little": "<", b"big": ">"}

# Where a training checkpoint keeps its state dict, beside the epoch, the optimiser and so on.
_WRAPPERS = ("state_dict", "model")

# What a damaged or hostile file can make the parsers below raise.
_BROKEN = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    RuntimeError, TypeError, ValueError, zipfile.BadZipFile,
)  # fmt: skip


class _Global(str):
    """An admitted name; distinct from the strings of the pickle."""

    __slots__ = ()


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
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from error
    try:
        return _read_zip(data) if data.startswith(b"PK") else _read_old(data)
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)}: {error}") from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise WeightsError(
            f"{os.fspath(path)}: is damaged or no torch weight file ({reason}); fetch it again"
        ) from error


def _read_old(data: bytes) -> dict[str, _Array]:
    file = io.BytesIO(data)
    reader = _PickleReader(file)
    if reader.load() != _MAGIC_NUMBER or reader.load() != _PROTOCOL_VERSION:
        raise ValueError("it does not start with torch's magic number")
    reader.load()  # the writer's system
    tensors = _tensors(reader.load())
    keys = _checked(reader.load(), list)
    raw: dict[str, memoryview] = {}
    at = file.tell()
    for key in keys:
        storage = reader.storages[_checked(key, str)]
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
        tensors = _tensors(_PickleReader(io.BytesIO(archive.read(pickles[0]))).load())
        keys = {tensor.storage.key for tensor in tensors.values()}
        raw = {key: memoryview(archive.read(f"{prefix}data/{key}")) for key in keys}
        order = archive.read(f"{prefix}byteorder") if f"{prefix}byteorder" in members else b"little"
    return _arrays(tensors, raw, _ORDERS[order], len(data))


def _tensors(loaded: object) -> dict[str, _Tensor]:
    """Check that the pickled object is a state dict; take it out of a checkpoint."""
    if isinstance(loaded, dict):
        loaded = next((loaded[name] for name in _WRAPPERS if isinstance(loaded.get(name), dict)), loaded)
    if not isinstance(loaded, dict):
        raise WeightsError(f"holds {_kind(loaded)}, not a dict of tensors; save model.state_dict() instead")
    for name, value in loaded.items():
        if not (isinstance(name, str) and isinstance(value, _Tensor)):
            raise WeightsError(
                f"holds {_kind(value)} under {name!r:.80}, not a tensor; save model.state_dict() instead"
            )
    return loaded


def _kind(value: object) -> str:
    return type(value).__name__.lstrip("_").lower()


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


class _PickleReader:
    """Pickle's stack machine without its power: it makes plain values and calls nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self.storages: dict[str, _Storage] = {}
        self._file = file

    def load(self) -> object:
        """Read one pickle and leave the file behind its end."""
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the open marks
        self._memo: dict[int, Any] = {}
        with warnings.catch_warnings():
            # pickletools warns of odd escapes in text; what is not a weight file is refused below anyway
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(self._file):
                if opcode.name == "STOP":
                    return self._stack[-1]
                self._step(opcode.name, argument)
        raise EOFError("a pickle without an end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case _ if name in _PUSH_ARGUMENT:
                stack.append(argument)
            case _ if name in _PUSH_CONSTANT:
                stack.append(_PUSH_CONSTANT[name])
            case _ if name in _PUSH_EMPTY:
                stack.append(_PUSH_EMPTY[name]())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE" | "APPENDS" | "SETITEMS":
                self._stack = self._below.pop()
                _gather(name, self._stack, stack)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                _gather("TUPLE", stack, [stack.pop() for _ in range(int(name[-1]))][::-1])
            case "APPEND":
                _gather("APPENDS", stack, [stack.pop()])
            case "SETITEM":
                _gather("SETITEMS", stack, [stack.pop(), stack.pop()][::-1])
            case "GLOBAL":
                stack.append(_admitted(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                attribute, module = _checked(stack.pop(), str), _checked(stack.pop(), str)
                stack.append(_admitted(f"{module}.{attribute}"))
            case "BINPERSID":
                stack.append(self._storage(*stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_made(stack.pop(), *arguments))
            case "BUILD":  # gives the state dict its attribute _metadata, which is not needed
                stack.pop()
                _checked(stack[-1], dict)
            case _:
                raise WeightsError(f"refuses the pickle instruction {name}: a weight file holds tensors only")

    def _storage(self, tag: object, kind: object, key: object, *rest: object) -> _Storage:
        _place, length, *view = rest
        if tag != "storage" or view not in ([], [None]):
            raise ValueError("a persistent id that is no whole storage")
        storage = _Storage(_checked(kind, _Global), _checked(key, str), _checked(length, int))
        if storage.kind not in _STORAGES or self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError("a storage of no type, or of two")
        return storage


def _gather(name: str, stack: list[Any], items: list[Any]) -> None:
    """Put items into the collection on top of the stack, or on it as a tuple."""
    if name == "TUPLE":
        stack.append(tuple(items))
    elif name == "APPENDS":
        _checked(stack[-1], list).extend(items)
    else:
        _checked(stack[-1], dict).update(_pairs(zip(items[::2], items[1::2], strict=True)))


def _pairs(pairs: Iterable[Any]) -> dict[Any, Any]:
    """A dict whose keys are str and int only: hashing deeply nested tuples would overflow C's stack."""
    return {_checked(key, str, int): value for key, value in pairs}


def _admitted(name: str) -> _Global:
    if name not in _ADMITTED:
        raise WeightsError(f"refuses {name}: a weight file holds tensors only")
    return _Global(name)


def _made(name: _Global, *arguments: Any) -> object:
    """What calling the named global would give, made without a call."""
    if type(name) is not _Global or name in _STORAGES:
        raise TypeError("something is called that is no function")
    if name == _ORDERED_DICT:
        return _pairs(*arguments) if arguments else {}
    if name == _PARAMETER:
        return _checked(arguments[0], _Tensor)
    storage, offset, shape, strides = arguments[:4]
    return _Tensor(_checked(storage, _Storage), offset, _checked(shape, tuple), _checked(strides, tuple))


def _checked(value: object, *types: type[_T]) -> _T:
    if type(value) not in types:
        raise TypeError(f"a {_kind(value)} stands where it cannot")
    return cast(_T, value)
