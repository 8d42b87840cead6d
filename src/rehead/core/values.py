"""Answers as values: equality where they hold arrays, and lists of them that keep their type."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self, SupportsIndex, TypeVar, overload

import numpy as np

__all__ = ["AnswerList", "ComparedByValue"]

Item = TypeVar("Item")


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


class AnswerList(list[Item]):
    """Base of lists of answers that show themselves in a notebook: a slice shows itself too."""

    @overload
    def __getitem__(self, place: SupportsIndex) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Item | Self:
        """The answer there, or a list of this type with the same attributes."""
        found: Any = super().__getitem__(place)
        if not isinstance(place, slice):
            return found  # type: ignore[no-any-return]
        part = type(self)(found)
        vars(part).update(vars(self))
        return part


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return bool(a == b)
