"""Where a gallery is: in a file, or in a schema of a PostgreSQL database."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ...errors import GalleryError

__all__ = ["PostgresPlace", "gallery_place", "is_url"]

_SCHEMES = ("postgresql:", "postgres:")
_SCHEMA = "rehead_gallery"  # where the URL names none
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")  # needs no quotes, and is within PostgreSQL's 63 bytes
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]*\]|[^:\[\]]*)(:[0-9]*)?")
_SHOWN = ("service", "host", "port", "dbname")  # of the parameters, those that say where, and no secret
_EXPECTED = (
    "expected postgresql://USER@HOST:PORT/DATABASE?gallery=NAME; special characters of a password are "
    "written as %40 and the like, or give it in PGPASSWORD or ~/.pgpass"
)


@dataclass(frozen=True)
class PostgresPlace:
    """A gallery's schema in a PostgreSQL database; `str` gives it without user and password.

    Parameters
    ----------
    url : str
        As libpq and asyncpg read it; may hold a password.
    schema : str
    shown : str
        The URL without user, password, and parameters that do not say where.
    """

    url: str = field(repr=False)
    schema: str
    shown: str

    def __str__(self) -> str:
        return self.shown


def is_url(text: str | os.PathLike[str] | PostgresPlace) -> bool:
    """Whether that is a PostgreSQL database, and no file."""
    return isinstance(text, PostgresPlace) or os.fspath(text).startswith(_SCHEMES)


def gallery_place(path: str | os.PathLike[str] | PostgresPlace) -> Path | PostgresPlace:
    """The place that a path or URL names; GalleryError, without the URL's text, where it is malformed."""
    if isinstance(path, PostgresPlace):
        return path
    if not is_url(path):
        return Path(path)
    parts = urlsplit(os.fspath(path))
    hosts = parts.netloc.rpartition("@")[2]
    well_formed = (
        os.fspath(path).split(":", 1)[1].startswith("//")
        and all(_HOST.fullmatch(host) for host in hosts.split(","))
        and parts.netloc.count("@") + parts.path.count("@") <= ("@" in parts.netloc)
        and not parts.fragment
    )
    try:
        given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        well_formed = False
    if not well_formed:
        raise GalleryError(f"the gallery's URL cannot be read; {_EXPECTED}")
    schema = given.pop("gallery", _SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema):
        raise GalleryError(
            f"{schema!r} cannot be the name of a gallery in a database; expected small letters, digits and _"
        )
    shown = {name: given[name] for name in _SHOWN if name in given}
    shown |= {"gallery": schema} if schema != _SCHEMA else {}
    return PostgresPlace(_joined(parts.netloc, parts.path, given), schema, _joined(hosts, parts.path, shown))


def _joined(netloc: str, path: str, parameters: Mapping[str, str]) -> str:
    query = f"?{urlencode(parameters, safe='/', quote_via=quote)}" if parameters else ""
    return f"postgresql://{netloc}{path}{query}"
