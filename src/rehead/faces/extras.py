"""Optional packages."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import MissingExtraError

__all__ = ["required"]


def required(module: str, otherwise: str) -> Any:
    """The module of an optional package; MissingExtraError, which says `otherwise`, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(otherwise) from error
