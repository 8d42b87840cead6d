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
from .console import photo_progress, plain_table, print_json
from .photos import read_given

if TYPE_CHECKING:
    from ..audit import Audit

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
    use: Annotated[ClassifierOptions, Only("backbone", "weights", "random_state", "cache", "threads")],
    as_json: options.Json,
) -> None:
    """Look for what is wrong with photos before training: copies, leaks, wrong labels, spoilt files.

    No photo is changed. Kinds of issues: unreadable, contradiction (one picture under two classes), leak
    (the same on both sides of the split), label (in doubt), copy, burst, outlier, balance (small classes),
    blank, dark, blurred, tiny and shape (very long or tall).
    """
    from ..audit import audit_photos, write_audit
    from ..audit import write_csv as write_list
    from ..core.atomic import replacing_folder

    kinds = _kinds(fail_on)
    for place in filter(None, (out, write_csv and write_csv.parent)):
        with replacing_folder(place / "audit" if place.is_dir() else place, keep=False):
            pass  # what cannot be written is refused before the work is done, and not after
    dataset = read_given(photos, table, quiet=as_json)
    with photo_progress("Looking at photos") as progress:
        result = audit_photos(
            dataset,
            backbone=use.backbone,
            weights=use.weights,
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
        _show(result, wrote)
    if failed := [kind for kind in result.counts if kind in kinds]:
        print(f"rehead: found {', '.join(failed)}, as --fail-on asks", file=sys.stderr)
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


def _show(audit: Audit, wrote: list[Path]) -> None:
    from rich.console import Console
    from rich.text import Text

    from ..audit import ISSUE_TYPES
    from ..core.text import count

    console = Console()
    counted = (
        f"{count(len(audit.dataset), 'photo')} of {count(len(audit.dataset.classes), 'class', 'classes')}"
    )
    table = plain_table("kind", "found", f"in {counted}", right=["found"])
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for (kind, number), sentence in zip(audit.counts.items(), audit.summary(), strict=True):
        table.add_row(kind, str(number), Text(sentence))
    console.print(table if audit.issues else f"Nothing was found in {counted}.", highlight=False)
    for kind, number in audit.counts.items():
        console.print(f"{ISSUE_TYPES[kind].title}, gravest first:", style="bold", highlight=False)
        for issue in audit.of(kind)[:_EXAMPLES]:
            line = _line(issue.photos or issue.labels, issue.detail)
            console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)
        if number > _EXAMPLES:
            console.print(f"    and {number - _EXAMPLES} more", highlight=False)
    if (less := len(audit.left_out)) and not wrote:
        verb = "is" if less == 1 else "are"
        console.print(f"{less} of the photos {verb} better left out; --write-csv writes a list that does so.")
    if wrote:
        names = ", ".join(map(str, wrote))
        console.print(f"wrote {names}", highlight=False, markup=False, soft_wrap=True)


def _line(names: tuple[str, ...], detail: str) -> str:
    """What is found, and in which photos: the first two of them."""
    named = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return f"{named}: {detail}" if named else detail
