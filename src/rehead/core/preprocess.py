"""The record of how a photo becomes a network's input."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..errors import DataError, UnknownNameError

__all__ = ["GreyRange", "PreprocessSpec", "grey_range"]

GreyRange = tuple[float, float]
"""The values that are black and white in photos of more than 8 bits."""

MAX_SIDE = 4096  # pixels; a photo of this size is 50 MB as uint8, and no published network takes as much
_CHOICES = {
    "resize": ("squash", "crop"),
    "interpolation": ("bilinear", "bicubic"),
    "channels": ("RGB", "BGR"),
    "layout": ("NCHW", "NHWC"),
}


@dataclass(frozen=True)
class PreprocessSpec:
    """How a photo becomes a network's input: one record, stored in every model file.

    Parameters
    ----------
    size : int
        Side S of the square, in pixels, 1 to 4096.
    mean, std : three floats
        Subtracted, then divided by, in units of pixel values 0..255 and in the order of `channels`;
        `std` is positive.
    resize : {"squash", "crop"}
        "squash" brings the whole photo to S x S; "crop" takes its central square, of side
        `crop_fraction` times the shorter side, and brings that to S x S.
    crop_fraction : float
        In (0, 1]; "squash" does not look at it. "Shorter side to 256, centre crop of 224" is 0.875.
    interpolation : {"bilinear", "bicubic"}
        Pillow's filters, which widen when a photo shrinks (antialiasing).
    channels : {"RGB", "BGR"}
        Order in which the raw network takes the colours.
    layout : {"NCHW", "NHWC"}
        Order of the axes that the raw network takes. rehead's own graphs hide it.
    grey_range : (low, high) or None
        The values that are black and white in grey photos of more than 8 bits whose file does not say
        it, such as (0, 4095) for 12 bits in a file of 16. None where no such photo was trained on: 16
        bits are then divided by 257, floats and 32 bits stretched photo by photo.

    Raises
    ------
    DataError
        A value of the wrong type or out of range.
    UnknownNameError
        A choice that does not exist.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["squash", "crop"] = "squash"
    crop_fraction: float = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    grey_range: GreyRange | None = None

    def __post_init__(self) -> None:
        # Numbers are stored as plain int and float: equal records then have equal JSON, and equal digests.
        size = _number("size", self.size)
        if not size.is_integer() or not 1 <= size <= MAX_SIDE:
            raise _bad_value("size", f"a whole number of pixels, 1 to {MAX_SIDE}", self.size)
        object.__setattr__(self, "size", int(size))
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        if min(self.std) <= 0:
            raise _bad_value("std", "greater than 0 in every channel", self.std)
        object.__setattr__(self, "crop_fraction", _number("crop_fraction", self.crop_fraction))
        if not 0 < self.crop_fraction <= 1:
            raise _bad_value("crop_fraction", "greater than 0 and at most 1", self.crop_fraction)
        if self.grey_range is not None:
            object.__setattr__(self, "grey_range", grey_range(self.grey_range))
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str):
                raise _bad_value(name, f"one of {', '.join(choices)}", value)
            if value not in choices:
                raise UnknownNameError(f"preprocess {name}", value, choices)

    def crop_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an upright photo that is resized: left, top, right and bottom in pixels."""
        if self.resize == "squash":
            return 0.0, 0.0, float(width), float(height)
        side = min(width, height) * self.crop_fraction
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON has it: numbers, strings and lists; no `grey_range` where it is None."""
        record = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        limits = record.pop("grey_range")
        return record if limits is None else {**record, "grey_range": list(limits)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PreprocessSpec:
        """Read what `to_dict` gave, or a record written by hand.

        `size`, `mean` and `std` must be there; the others have the constructor's defaults.

        Raises
        ------
        DataError
            A field is missing, of the wrong type or out of range.
        UnknownNameError
            A field or a choice that does not exist.
        """
        if not isinstance(record, Mapping):
            raise DataError(f"preprocess record: expected fields and values, not {type(record).__name__}")
        known = [field.name for field in fields(cls)]
        for name in record:
            if name not in known:
                raise UnknownNameError("preprocess field", str(name), known)
        missing = [name for name in ("size", "mean", "std") if name not in record]
        if missing:
            raise DataError(f"preprocess record: {', '.join(missing)} missing; size, mean and std are needed")
        return cls(**record)


def _bad_value(name: str, expected: str, value: object) -> DataError:
    return DataError(f"preprocess record: {name} must be {expected}, not {value!r}")


def grey_range(value: object) -> GreyRange:
    """Two finite numbers, the first smaller than the second; DataError for anything else."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise _bad_value("grey_range", "two numbers, black and white", value)
    low, high = (_number("grey_range", item) for item in value)
    if low >= high:
        raise _bad_value("grey_range", "black before white, two different numbers", value)
    return low, high


def _number(name: str, value: object) -> float:
    try:
        if not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value):
            return float(value)
    except OverflowError:  # an integer that no float can hold
        value = f"{str(value)[:20]}..."
    raise _bad_value(name, "a finite number", value)


def _three_numbers(name: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise _bad_value(name, "three numbers, one a channel", value)
    return tuple(_number(name, item) for item in value)
