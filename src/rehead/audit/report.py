"""The audit as one HTML file with pictures side by side: no script, no font, no network."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .. import evaluation
from ..core.atomic import write_text
from ..core.parallel import map_in_order
from ..core.run_dir import now
from ..core.text import count
from ..errors import ReheadError
from ..images import thumbnail
from .issues import ISSUE_TYPES, Audit, Issue, IssueType

__all__ = ["write_audit", "write_page"]

_MOST_PICTURES = 60  # of each type: 5 kB each, so that the file has 4 MB at the most
_MOST_ABREAST = 6
_MOST_ROWS = 100  # of issues without pictures
_SIDE, _QUALITY = 140, 72  # px
_PLAIN = frozenset(("unreadable", "balance"))  # types without pictures
_ALONE = frozenset(("outlier", "blank", "dark", "blurred", "tiny", "shape"))  # one photo each


@dataclass(frozen=True)
class _Picture:
    """A photo of the page: its caption, id, class and thumbnail in base64."""

    caption: str
    name: str
    label: str
    data: str | None


@dataclass(frozen=True)
class _Case:
    """An issue on the page, with the number of its pictures that are not shown."""

    issue: Issue
    pictures: tuple[_Picture, ...]
    more: int


@dataclass(frozen=True)
class _Section:
    """A type of issue on the page, with the number of issues that are not shown."""

    name: str
    kind: IssueType
    cases: tuple[_Case, ...]
    more: int
    alone: bool


def write_audit(audit: Audit, folder: str | os.PathLike[str], *, command: Sequence[str] = ()) -> list[Path]:
    """Write audit.json and audit.html into a folder, each whole or not at all; return their paths.

    Raises
    ------
    OutputError
        Where they cannot be written.
    """
    made = {
        "date": now(),
        "command": list(command),
    }
    places = [Path(folder) / "audit.json", Path(folder) / "audit.html"]
    text = json.dumps({**made, **audit.to_dict()}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(places[0], text + "\n")
    write_page(audit, places[1], run=made)
    return places


def write_page(
    audit: Audit, path: str | os.PathLike[str], *, title: str = "", run: Mapping[str, Any] | None = None
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    audit : Audit
    path : path
        Of the HTML file.
    title : str
        By default the name of the photos' folder.
    run : mapping, optional
        "date" and "command", both optional.

    Raises
    ------
    OutputError
        Where the file cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters.update(count=count, quoted=_curly)
    here = files(__package__)
    html = environment.from_string(here.joinpath("audit.html.j2").read_text("utf-8")).render(
        css=files(evaluation).joinpath("report.css").read_text("utf-8")
        + here.joinpath("audit.css").read_text("utf-8"),
        title=title or audit.dataset.root.resolve().name or "photos",
        audit=audit,
        summary=audit.summary(),
        facts=_facts(audit),
        sections=_sections(audit),
        run=run or {},
    )
    write_text(path, html)


def _curly(text: str) -> str:
    """Set names in curly quotes: the sentences are plain text for terminals."""
    return re.sub(r"(?<!\w)'(.+?)'(?!\w)", "‘\\1’", text)


def _facts(audit: Audit) -> dict[str, int]:
    dataset = audit.dataset
    affected = {photo for issue in audit.issues for photo in issue.photos}
    return {
        "Photos": len(dataset),
        "Classes": len(dataset.classes),
        "Issues": len(audit.issues),
        "Photos affected": len(affected),
        "Better left out": len(audit.left_out),
    }


def _sections(audit: Audit) -> list[_Section]:
    shown = {kind: _shown(kind, audit.of(kind)) for kind in audit.counts}
    names = {
        name
        for kind, issues in shown.items()
        if kind not in _PLAIN
        for issue in issues
        for name in (*issue.photos[:_MOST_ABREAST], *issue.beside)
    }
    pictures = _thumbnails(audit, sorted(names))
    row = {name: n for n, name in enumerate(audit.dataset.ids)}
    labels = audit.dataset.labels.tolist()

    def picture(name: str, caption: str = "") -> _Picture:
        return _Picture(caption, name, labels[row[name]], pictures.get(name))

    def case(issue: Issue) -> _Case:
        if issue.kind in _PLAIN:
            return _Case(issue, (), 0)
        asked = issue.photos[:_MOST_ABREAST]
        beside = zip((f"nearest ‘{issue.suggested}’", "nearest of its own"), issue.beside, strict=False)
        own = [picture(name) for name in asked]
        return _Case(
            issue,
            (*own, *(picture(name, caption) for caption, name in beside)),
            len(issue.photos) - len(asked),
        )

    return [
        _Section(
            kind,
            ISSUE_TYPES[kind],
            tuple(case(issue) for issue in issues),
            audit.counts[kind] - len(issues),
            kind in _ALONE,
        )
        for kind, issues in shown.items()
    ]


def _shown(kind: str, issues: Sequence[Issue]) -> list[Issue]:
    """The first issues, as many as there is room for."""
    if kind in _PLAIN:
        return list(issues[:_MOST_ROWS])
    room, taken = _MOST_PICTURES, []
    for issue in issues:
        room -= len(issue.photos[:_MOST_ABREAST]) + len(issue.beside)
        if room < 0:
            break
        taken.append(issue)
    return taken


def _thumbnails(audit: Audit, names: Sequence[str]) -> dict[str, str | None]:
    """Thumbnails in base64 by id; None for photos that can no longer be read."""
    path = dict(zip(audit.dataset.ids, audit.dataset.paths, strict=True))

    def made(name: str) -> str | None:
        try:
            return base64.b64encode(thumbnail(path[name], _SIDE, quality=_QUALITY)).decode("ascii")
        except (ReheadError, OSError):
            return None

    return dict(zip(names, map_in_order(made, names), strict=True))
