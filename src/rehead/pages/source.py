"""The files of a page, as they are or joined to one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..images.contact_sheet import viridis

__all__ = ["joined_modules", "map_colours", "read", "render"]

_COLOURS = 33  # that a page interpolates between; viridis is within 2 of 255 of it
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|const|function) )", re.MULTILINE)


def read(name: str) -> str:
    """A file of this room, as text: "camera.js", "base.css"."""
    return files(__package__).joinpath(name).read_text("utf-8")


def joined_modules(*modules: str) -> str:
    """One plain script of the texts of modules, each after those that it imports from.

    For a page that is opened as a file, which may not import any. They share one scope, so that no two may
    declare the same name; an import must not rename.
    """
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in modules)


@cache
def map_colours() -> tuple[str, ...]:
    """Colours of a map from low to high, as "rrggbb"."""
    return tuple(bytes(row).hex() for row in viridis(np.linspace(0, 1, _COLOURS), 0, 1))


def render(read: Callable[[str], str], template: str, /, **values: Any) -> str:
    """Fill in `TEMPLATE.j2`, as `read` gives it; what goes into HTML is escaped, text is not.

    `VALUE | tojson` is what a <script type="application/json"> holds: a class that is called "</script>" does
    not end it.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(read),
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # and not sorted
    return environment.get_template(f"{template}.j2").render(**values)
