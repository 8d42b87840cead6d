"""Weights of a dlib network, read from a file of dlib's `serialize`, without dlib.

A file is the nested layers from the input outwards. Whole numbers are a byte that says how many bytes follow
(and, in its highest bit, the sign) and those bytes, little-endian; words are their length and their
letters; a tensor is the number 2, its four sides and its elements, float32 little-endian
(``dlib/serialize.h`` and ``dlib/cuda/tensor.h`` of dlib 19). Layers begin with a word: "con_4",
"affine_", "fc_2". Those three hold all that was learned; the others are left out.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from .safe_pickle import read_file

__all__ = ["Affine", "Convolution", "Dense", "Layer", "read_layers"]

_Array: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Convolution:
    """Filters (O, I, h, w), biases (O,), the step and the padding, both the same in y and x."""

    filters: _Array
    biases: _Array
    stride: int
    padding: int


@dataclass(frozen=True)
class Affine:
    """Factor and summand of every channel, both (C,)."""

    factor: _Array
    summand: _Array


@dataclass(frozen=True)
class Dense:
    """Weights (I, O); no biases."""

    weights: _Array


Layer: TypeAlias = Convolution | Affine | Dense
_TAGS = {b"\x01\x05con_4": "con", b"\x01\x07affine_": "affine", b"\x01\x04fc_2": "fc"}


def read_layers(path: str | os.PathLike[str]) -> list[Layer]:
    """Read the layers that hold weights, from the input to the output.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, or is no dlib network of the kinds of layers above.
    """
    return read_file(path, _parse, "dlib network")


def _parse(data: bytes) -> list[Layer]:
    if layers := _Reader(data).layers():
        return layers
    raise WeightsError("holds no dlib network that rehead can read")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def layers(self) -> list[Layer]:
        found: list[Layer] = []
        while tag := self._next_tag():
            match tag:
                case "con":
                    found.append(self._convolution())
                case "affine":
                    params = self._tensor()
                    found.append(Affine(*params.reshape(2, -1)))
                case _:
                    outputs, inputs = self._number(), self._number()
                    found.append(Dense(self._tensor().reshape(inputs, outputs)))
        return found

    def _next_tag(self) -> str | None:
        """Go behind the next word that begins a layer; the few bytes before it are no tensors."""
        places = {tag: self._data.find(tag, self._at) for tag in _TAGS}
        here = {place: tag for tag, place in places.items() if place >= 0}
        if not here:
            return None
        first = min(here)
        self._at = first + len(here[first])
        return _TAGS[here[first]]

    def _number(self) -> int:
        head = self._data[self._at] if self._at < len(self._data) else 0
        size = head & 0x0F
        raw = self._data[self._at + 1 : self._at + 1 + size]
        if len(raw) != size or not 1 <= size <= 8:
            raise ValueError("a number is cut off")
        self._at += 1 + size
        number = int.from_bytes(raw, "little")
        return -number if head & 0x80 else number

    def _tensor(self) -> _Array:
        if (version := self._number()) != 2:
            raise ValueError(f"a tensor of version {version}")
        size = math.prod(self._number() for _ in range(4))
        raw = self._data[self._at : self._at + 4 * size]
        if size < 0 or len(raw) != 4 * size:
            raise ValueError("a tensor is cut off")
        self._at += 4 * size
        return np.frombuffer(raw, "<f4").astype(np.float32)

    def _convolution(self) -> Convolution:
        params = self._tensor()
        outputs, height, width, *steps = (self._number() for _ in range(7))
        stride, stride_x, padding, padding_x = steps
        if (stride, padding) != (stride_x, padding_x):
            raise ValueError("a convolution that differs in y and x")
        filters = params[:-outputs].reshape(outputs, -1, height, width)
        return Convolution(filters, params[-outputs:], stride, padding)
