"""`rehead augment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["augment"]


def augment(
    photos: Annotated[
        Path, typer.Argument(help="A photo, or a folder that is searched at any depth.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file to write.", show_default=False)],
    preset: Annotated[
        str, typer.Option("--augment", "-a", help="none, light, default or strong.")
    ] = "default",
    show: Annotated[int, typer.Option(min=1, max=100, help="Views of each photo.")] = 10,
    rows: Annotated[int, typer.Option(min=1, max=100, help="Photos of the folder, drawn at random.")] = 4,
    size: Annotated[int, typer.Option(min=8, max=1024, help="Side of each view, pixels.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and the views.")] = 0,
) -> None:
    """Show what augmentation does to photos: each as it is, then changed views of it."""
    import random

    from ..data import list_photos
    from ..finetune.augment import preview
    from ..images import write_png

    files = list_photos(photos)
    drawn = sorted(random.Random(seed).sample(files, min(rows, len(files))))
    write_png(out, preview(drawn, preset, count=show, size=size, seed=seed))
    typer.echo(f"wrote {out}: {len(drawn)} photo{'s' * (len(drawn) > 1)}, {show} views each, {preset}")
