"""The page and its files: HTML from a template, JavaScript modules and style sheets as they are."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from ..pages import source
from ..pages.words import words

__all__ = ["OPEN_PATHS", "html", "static"]

_TYPES = {"js": "text/javascript", "css": "text/css"}
_SHARED = ("base.css", "camera.js", "words.js")
_MODULES = ("studio", "server", "photos", "upload", "capture", "findings", "model")
_OWN = ("studio.css", *(f"{name}.js" for name in _MODULES))

OPEN_PATHS = frozenset(("/", *(f"/static/{name}" for name in (*_SHARED, *_OWN))))
"""What is shown without the token: the page with nothing in it, which says that it needs another address."""


def html(accepted: str) -> str:
    """The page in the best of the languages that a browser accepts."""
    return source.render(_read, "page.html", words=words("rehead.studio", accepted))


@cache
def static(name: str) -> tuple[str, str] | None:
    """The text and media type of a file of the page; None where there is none of that name."""
    kind = _TYPES.get(name.rpartition(".")[2], "")
    if name in _SHARED:
        return source.read(name), kind
    return (_read(name), kind) if name in _OWN else None


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
