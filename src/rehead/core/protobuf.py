"""Protobuf's wire format, as far as model files need it: https://protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import DataError

__all__ = ["field", "fields"]


def field(number: int, value: bytes) -> bytes:
    """A field of bytes, serialised."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def fields(data: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Number, place and value of each field of a message; numbers of fixed size as their bytes.

    DataError where it is no message.
    """
    at = 0
    while at < len(data):
        start = at
        tag, at = _read_varint(data, at)
        size: int
        match tag & 7:
            case 0:
                number, at = _read_varint(data, at)
                yield tag >> 3, start, number
                continue
            case 1:
                size = 8
            case 2:
                size, at = _read_varint(data, at)
            case 5:
                size = 4
            case _:
                raise DataError("is no ONNX")
        if at + size > len(data):
            raise DataError("is no ONNX")
        yield tag >> 3, start, data[at : at + size]
        at += size


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise DataError("is no ONNX")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
