"""Lists of arrays as ``joblib.dump`` writes them with LZ4, without joblib and without lz4.

The file is one LZ4 frame (version 1.6 of its format); in it stands a pickle that is interrupted by the
arrays' bytes: after each `NumpyArrayWrapper`, a byte that says how many bytes of padding follow, the padding,
and the elements (``joblib/numpy_pickle.py``). The pickle is read by a machine that calls nothing
(`safe_pickle`). Checksums of the frame are not checked: `locate` verifies the whole file's sha256.
"""

from __future__ import annotations

import io
import math
import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .safe_pickle import Global, PickleMachine, checked, read_file

__all__ = ["read_arrays"]

_FRAME = b"\x04\x22\x4d\x18"
_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_ARRAY = "numpy.ndarray"
_DTYPE = "numpy.dtype"
_TYPES = {"f4": np.dtype("<f4")}


def read_arrays(path: str | os.PathLike[str]) -> list[NDArray[np.float32]]:
    """Read a list of float32 arrays from a file that ``joblib.dump(arrays, path, compress="lz4")`` wrote.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, or holds anything else. Nothing in it is run.
    """
    return read_file(path, _parse, "list of arrays")


def _parse(data: bytes) -> list[NDArray[np.float32]]:
    arrays = checked(_ArrayMachine(io.BytesIO(_unpacked(data))).load(), list)
    return [checked(array, np.ndarray) for array in arrays]


def _unpacked(data: bytes) -> bytes:
    """The contents of an LZ4 frame."""
    if not data.startswith(_FRAME):
        raise ValueError("it does not start as an LZ4 frame does")
    flags = data[4]
    if flags >> 6 != 1:
        raise ValueError("an LZ4 frame of another version")
    at = 7 + 8 * bool(flags & 0x08) + 4 * bool(flags & 0x01)  # behind size and dictionary, if they are there
    checksum = 4 * bool(flags & 0x10)
    out = bytearray()
    while length := int.from_bytes(data[at : at + 4], "little"):
        block = data[at + 4 : at + 4 + (length & 0x7FFFFFFF)]
        at += 4 + len(block) + checksum
        if length >> 31:  # not compressed
            out += block
        else:
            _unpack_block(block, out)
    return bytes(out)


def _unpack_block(block: bytes, out: bytearray) -> None:
    """Append what a block stands for: runs of literal bytes, each followed by a copy from before."""
    at = 0
    while at < len(block):
        token = block[at]
        literals, at = _length(token >> 4, block, at + 1)
        out += block[at : at + literals]
        at += literals
        if at >= len(block):  # the last run has no copy
            return
        start = len(out) - int.from_bytes(block[at : at + 2], "little")
        length, at = _length(token & 15, block, at + 2)
        length += 4
        if not 0 <= start < len(out):
            raise ValueError("a copy from before the beginning")
        period = bytes(out[start : start + length])  # shorter than the copy where that overlaps itself
        out += (period * (length // len(period) + 1))[:length]


def _length(nibble: int, block: bytes, at: int) -> tuple[int, int]:
    """A length that begins in a token and goes on in bytes while they are 255; and where it ends."""
    length = nibble
    while nibble == 15:
        length += block[at]
        at += 1
        if block[at - 1] != 255:
            break
    return length, at


class _ArrayMachine(PickleMachine):
    """Reads a pickle that is interrupted by the bytes of its arrays."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, frozenset({_WRAPPER, _ARRAY, _DTYPE}))

    def new(self, name: Global, *arguments: Any) -> object:
        if name != _WRAPPER or arguments:
            raise TypeError(f"a {name} is made")
        return Global(name)

    def reduced(self, name: Global, *arguments: Any) -> object:
        if name != _DTYPE:
            raise TypeError(f"{name} is called")
        return _TYPES[checked(arguments[0], str)]

    def built(self, target: object, state: Any) -> object:
        if isinstance(target, np.dtype):  # its byte order and such
            if state[1] != "<":
                raise ValueError("numbers that are not little-endian")
            return target
        checked(target, Global)
        shape, dtype = checked(state["shape"], tuple), state["dtype"]
        if not isinstance(dtype, np.dtype) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("an array without a type or a shape")
        padding = self._file.read(1)[0] if "numpy_array_alignment_bytes" in state else 0
        self._file.read(padding)
        raw = self._file.read(math.prod(shape) * dtype.itemsize)
        array = np.frombuffer(raw, dtype).astype(np.float32)
        return array.reshape(shape[::-1]).T if state["order"] == "F" else array.reshape(shape)
