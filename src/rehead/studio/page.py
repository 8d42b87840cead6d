"""The page and its files: HTML from a template, JavaScript modules and style sheets as they are."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from ..pages import source
from ..pages.words import words

__all__ = ["html", "static"]

_TYPES = {"js": "text/javascript", "css": "text/css"}
_SHARED = ("base.css", "camera.js", "words.js")
_OWN = (
    "studio.css",
    "studio.js",
    "requests.js",
    "photos.js",
    "upload.js",
    "capture.js",
    "findings.js",
    "model.js",
)


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
