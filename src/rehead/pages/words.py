"""Tables of words: one JSON file for each language, from a key to its text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath

__all__ = ["ENGLISH", "Words", "words"]

ENGLISH = "en"
"""The language that has every word; what another lacks is taken from it."""


@dataclass(frozen=True)
class Words:
    """A page's words in one language.

    Parameters
    ----------
    language : str
        As in HTML's `lang`: the name of the file.
    table : mapping of str to str
    """

    language: str
    table: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.table[key]


def words(package: str, accepted: str = "") -> Words:
    """The words of the pages of a package, from `words/LANGUAGE.json` in it and in this room.

    Parameters
    ----------
    package : str
        Such as "rehead.serving".
    accepted : str
        What a browser accepts: its Accept-Language header. English where nothing of it is there.
    """
    tables = _tables(package)
    chosen = next((one for one in _wanted(accepted) if one in tables), ENGLISH)
    return Words(chosen, {**tables[ENGLISH], **tables[chosen]})


@cache
def _tables(package: str) -> dict[str, dict[str, str]]:
    """By language."""
    tables: dict[str, dict[str, str]] = {}
    for folder in (files(__package__), files(package)):
        for file in _files(folder.joinpath("words")):
            table = tables.setdefault(PurePath(file.name).stem, {})
            table.update(json.loads(file.read_text("utf-8")))
    return tables


def _files(folder: Traversable) -> list[Traversable]:
    return [one for one in folder.iterdir() if one.name.endswith(".json")] if folder.is_dir() else []


def _wanted(accepted: str) -> list[str]:
    """Languages of an Accept-Language header, the most wanted first, "de" after "de-AT"; RFC 9110, 12.5.4."""
    weighed: list[tuple[float, str]] = []
    for part in accepted[:1000].split(","):
        language, _, weight = part.partition(";")
        try:
            share = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if share > 0 and (name := language.strip().lower()):
            weighed.append((share, name))
    ordered = [name for _, name in sorted(weighed, key=lambda one: -one[0])]
    return [form for name in ordered for form in (name, name.partition("-")[0])]
