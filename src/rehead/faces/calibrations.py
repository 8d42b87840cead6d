"""Calibrations that come with rehead, measured by benchmarks/lfw.py, and how one is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from .records import space_of
from .thresholds import Calibration

__all__ = ["shipped"]


def shipped(contract: Mapping[str, Any]) -> Calibration | None:
    """The calibration that comes with rehead for an embedder; None where there is none."""
    return _all().get(space_of(contract))


@cache
def _all() -> dict[str, Calibration]:
    records = json.loads(files(__package__).joinpath("calibrations.json").read_text("utf-8"))
    return {record["contract"]: Calibration.from_dict(record) for record in records}
