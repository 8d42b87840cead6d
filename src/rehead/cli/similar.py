"""`rehead similar`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from .command import Only, command
from .console import check_suffix, photo_progress, plain_table, print_table, say

__all__ = ["similar"]


@command
def similar(
    photos: Annotated[
        Path, typer.Argument(help="A folder of photos, searched at any depth.", show_default=False)
    ],
    to: Annotated[Path, Opt(help="The photo to compare with.")],
    count: Annotated[int, Opt(help="How many photos to show.", ge=1, default=12)],
    out: Annotated[Path | None, Opt(help="PNG file to write.", flag="--out -o", default=None)],
    use: Annotated[ClassifierOptions, Only("backbone", "preprocess", "engine", "cache", "threads")],
) -> None:
    """Show the photos of a folder that look most like one photo, with their distances."""

    from ..backbones.neighbours import draw_neighbours
    from ..backbones.neighbours import similar as find
    from ..images import write_png

    if out is not None:
        check_suffix(out, ".png")
    with photo_progress("Looking at photos") as progress:
        found = find(
            photos,
            to,
            count=count,
            backbone=use.backbone,
            preprocess=use.preprocess,
            engine=use.engine,
            cache=use.cache,
            threads=use.threads,
            progress=progress,
        )
    table = plain_table(f"nearest of {found.compared:,} photos", "distance", "note", right=["distance"])
    for one in found.nearest:
        table.add_row(str(one.photo), f"{one.distance:.3f}", "the same file" if one.same_file else "")
    print_table(table)
    say(f"distance: 1 - mean cosine of {found.features}; 0 is the same picture")
    for error in found.unreadable:
        say(f"rehead: left out {error}", err=True)
    if out is not None:
        write_png(out, draw_neighbours(found))
        say(f"wrote {out}")
