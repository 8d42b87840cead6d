"""`rehead audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from ..data.options import TableOptions
from . import options
from .command import Only, command
from .console import photo_progress, plain_table, print_json, print_table, say

if TYPE_CHECKING:
    from ..audit import Audit, Issue

__all__ = ["audit"]

_EXAMPLES = 3  # of each kind, printed


@command
def audit(
    photos: options.Photos,
    out: Annotated[
        Path | None, Opt(help="Folder for audit.json and audit.html.", flag="--out -o", default=None)
    ],
    write_csv: Annotated[
        Path | None,
        Opt(
            help="CSV to write, for `rehead train`: with suggested labels, groups, and what to leave out.",
            default=None,
        ),
    ],
    fail_on: Annotated[
        str | None,
        Opt(
            help="End with exit code 1 where one of these kinds is found, such as leak,unreadable; "
            "any: whatever it is.",
            default=None,
        ),
    ],
    table: TableOptions,
    use: Annotated[
        ClassifierOptions, Only("backbone", "weights", "engine", "random_state", "cache", "threads")
    ],
    as_json: options.Json,
) -> None:
    """Look for what is wrong with photos before training: copies, leaks, wrong labels, spoilt files.

    No photo is changed. Kinds of issues: unreadable, contradiction (one picture under two classes), leak
    (the same on both sides of the split), name (of classes), label (in doubt), copy, burst, outlier,
    balance (small classes), blank, dark, blurred, tiny, shape (very long or tall) and unended (a JPEG
    without its end marker).
    """
    from ..audit import audit_photos, write_audit
    from ..audit import write_csv as write_list
    from ..core.atomic import check_place
    from ..data import read_dataset

    kinds = _kinds(fail_on)
    for place in (out and out / "audit.json", write_csv):
        if place is not None:
            check_place(place)
    with photo_progress("Looking at photos") as progress:
        result = audit_photos(
            read_dataset(photos, table),
            backbone=use.backbone,
            weights=use.weights,
            engine=use.engine,
            seed=use.random_state,
            cache=use.cache,
            threads=use.threads,
            progress=progress,
        )
    wrote = []
    if out is not None:
        wrote += write_audit(result, out, command=["rehead", *sys.argv[1:]])
    if write_csv is not None:
        write_list(result, write_csv)
        wrote.append(write_csv)
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result, wrote, write_csv)
    if failed := [kind for kind in result.counts if kind in kinds]:
        say(f"rehead: found {', '.join(failed)}, as --fail-on asks", err=True)
        raise typer.Exit(1)


def _kinds(text: str | None) -> frozenset[str]:
    """The kinds that --fail-on names."""
    from ..audit import ISSUE_TYPES, check_issue_types

    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if text is not None and not names:
        raise typer.BadParameter(
            f"names no kind; expected some of {', '.join(ISSUE_TYPES)}", param_hint="--fail-on"
        )
    check_issue_types(name for name in names if name != "any")
    return frozenset(ISSUE_TYPES) if "any" in names else frozenset(names)


def _show(audit: Audit, wrote: list[Path], listed: Path | None) -> None:

    from ..audit import ISSUE_TYPES
    from ..core.text import count

    counted = count(len(audit.dataset), "photo")
    for sentence in audit.dataset.summary():
        say(sentence)
    table = plain_table("kind", "found", f"in {counted}", right=["found"])
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for (kind, number), sentence in zip(audit.counts.items(), audit.summary(), strict=True):
        table.add_row(kind, str(number), sentence)
    if audit.issues:
        print_table(table)
    else:
        say(f"Nothing was found in {counted}.")
    for kind, number in audit.counts.items():
        say(f"{ISSUE_TYPES[kind].title}, gravest first:", style="bold")
        for issue in audit.of(kind)[:_EXAMPLES]:
            say(f"    {_line(issue)}")
        if number > _EXAMPLES:
            say(f"    and {number - _EXAMPLES} more")
    less, doubted = len(audit.left_out), audit.counts.get("label", 0)
    if less and not wrote:
        say(
            f"{count(less, 'photo')} {'is' if less == 1 else 'are'} better left out; --write-csv writes a "
            "list that does so.",
            fold=True,
        )
    if listed is not None:
        say(_about_list(listed.name, less, doubted), fold=True)
    if wrote:
        names = ", ".join(map(str, wrote))
        say(f"wrote {names}")


def _about_list(name: str, less: int, doubted: int) -> str:
    """What the list does, and what it leaves to a person."""
    from ..core.text import count

    leaves = f"leaves out {count(less, 'photo')}" if less else "leaves nothing out"
    said = f"{name} {leaves} and has groups for what belongs together."
    if not doubted:
        return said
    stay = "1 label in doubt is as it was" if doubted == 1 else f"{doubted} labels in doubt are as they were"
    return (
        f"{said} The {stay}: only a person can tell what is wrong; change it in the column 'label'. The next "
        "audit names the others again."
    )


def _line(issue: Issue) -> str:
    """What is found, and in which photos, the first two of them, or of which classes."""
    from ..core.text import listed

    names = issue.photos
    named = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    named = named or listed(issue.labels, 5)
    return f"{named}: {issue.detail}" if named else issue.detail
