"""The files that are written by templates."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

__all__ = ["read", "render"]


def read(name: str) -> str:
    """A file of this room that is written as it is."""
    return files(__package__).joinpath(name).read_text("utf-8")


def render(template: str, /, **values: Any) -> str:
    """Fill in `TEMPLATE.j2`; what goes into HTML is escaped, text is not."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(read),
    )
    return environment.get_template(f"{template}.j2").render(**values)
