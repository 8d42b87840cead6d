"""Equality of answers that hold arrays."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

__all__ = ["ComparedByValue"]


class ComparedByValue:
    """Base of dataclasses with arrays, declared with `eq=False`: equal where all their fields are.

    The equality that `dataclass` writes asks whether an array is true, which is an error. Arrays are equal in
    shape and in every number, NaN included.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return all(_equal(a, b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return bool(a == b)
