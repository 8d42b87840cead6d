"""The files that are written by templates."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from ..pages import source

__all__ = ["read", "render"]


def read(name: str) -> str:
    """A file of this room that is written as it is."""
    return files(__package__).joinpath(name).read_text("utf-8")


def render(template: str, /, **values: Any) -> str:
    """Fill in `TEMPLATE.j2`; what goes into HTML is escaped, text is not."""
    return source.render(read, template, **values)
