"""The audit as one HTML file with pictures side by side: no script, no font, no network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..core.atomic import write_text
from ..core.parallel import map_in_order
from ..core.records import now
from ..core.run_dir import write_json
from ..evaluation import base64_thumbnail, render
from .issues import ISSUE_TYPES, Audit, Issue

__all__ = ["write_audit", "write_page"]

_MOST_PICTURES = 60  # of each type: 5 kB each, so that the file has 4 MB at the most
_MOST_ABREAST = 6
_MOST_ROWS = 100  # of issues without pictures
_SIDE, _QUALITY = 140, 72  # px
_PLAIN = frozenset(("unreadable", "balance", "name"))  # types without pictures
_ALONE = frozenset(("outlier", "blank", "dark", "blurred", "tiny", "shape", "unended"))  # one photo each


def write_audit(audit: Audit, folder: str | os.PathLike[str], *, command: Sequence[str] = ()) -> list[Path]:
    """Write audit.json and audit.html into a folder, each whole or not at all; return their paths.

    Raises
    ------
    OutputError
        Where they cannot be written.
    """
    made = {"date": now(), "command": list(command)}
    places = [Path(folder) / "audit.json", Path(folder) / "audit.html"]
    write_json(places[0], {**made, **audit.to_dict()})
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
    html = render(
        "audit.html.j2",
        package=__package__,
        own_css=files(__package__).joinpath("audit.css").read_text("utf-8"),
        title=title or audit.dataset.root.resolve().name or "photos",
        audit=audit,
        summary=audit.summary(),
        facts=_facts(audit),
        sections=_sections(audit),
        run=run or {},
    )
    write_text(path, html)


def _facts(audit: Audit) -> dict[str, int]:
    return {
        "Photos": len(audit.dataset),
        "Classes": len(audit.dataset.classes),
        "Issues": len(audit.issues),
        "Photos affected": len({photo for issue in audit.issues for photo in issue.photos}),
        "Better left out": len(audit.left_out),
    }


def _sections(audit: Audit) -> list[dict[str, Any]]:
    """Each type of issue, its issues ("cases") with their pictures, and how many of both are not shown."""
    shown = {kind: _shown(kind, audit.of(kind)) for kind in audit.counts}
    names = {
        name
        for kind, issues in shown.items()
        if kind not in _PLAIN
        for issue in issues
        for name in (*issue.photos[:_MOST_ABREAST], *issue.beside)
    }
    dataset = audit.dataset
    path = dict(zip(dataset.ids, dataset.paths, strict=True))
    label = dict(zip(dataset.ids, dataset.labels.tolist(), strict=True))
    made = map_in_order(lambda name: base64_thumbnail(path[name], _SIDE, _QUALITY), sorted(names))
    data = dict(zip(sorted(names), made, strict=True))

    def picture(name: str, caption: str = "") -> dict[str, str | None]:
        return {"caption": caption, "name": name, "label": label[name], "data": data[name]}

    def case(issue: Issue) -> dict[str, Any]:
        if issue.kind in _PLAIN:
            return {"issue": issue, "pictures": (), "more": 0}
        beside = zip(issue.beside, (f"nearest ‘{issue.suggested}’", "nearest of its own"), strict=False)
        pictures = [*map(picture, issue.photos[:_MOST_ABREAST]), *(picture(*one) for one in beside)]
        return {"issue": issue, "pictures": pictures, "more": len(issue.photos[_MOST_ABREAST:])}

    return [
        {
            "name": kind,
            "kind": ISSUE_TYPES[kind],
            "cases": [case(issue) for issue in issues],
            "more": audit.counts[kind] - len(issues),
            "alone": kind in _ALONE,
        }
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
