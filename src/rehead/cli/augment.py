"""`rehead augment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.options import EstimatorOptions, Opt
from . import options
from .command import Only, command
from .console import say

__all__ = ["augment"]


@command
def augment(
    photos: Annotated[
        Path, typer.Argument(help="A photo, or a folder that is searched at any depth.", show_default=False)
    ],
    out: options.Picture,
    preset: Annotated[
        str, Opt(help="none, light, default or strong.", flag="--augment -a", default="default")
    ],
    show: Annotated[int, Opt(help="Views of each photo.", ge=1, le=100, default=10)],
    rows: Annotated[int, Opt(help="Photos of the folder, drawn at random.", ge=1, le=100, default=4)],
    view_size: Annotated[
        int, Opt(help="Side of each view, pixels.", ge=8, le=1024, flag="--size", default=160)
    ],
    draw: Annotated[EstimatorOptions, Only("random_state")],
) -> None:
    """Show what augmentation does to photos: each as it is, then changed views of it."""
    import random

    from ..data import list_photos
    from ..finetune import require_torch

    require_torch()
    from ..finetune.augment import preview
    from ..images import write_png

    files = list_photos(photos)
    drawn = sorted(random.Random(draw.random_state).sample(files, min(rows, len(files))))
    write_png(out, preview(drawn, preset, count=show, size=view_size, seed=draw.random_state))
    say(f"wrote {out}: {len(drawn)} photo{'s' * (len(drawn) > 1)}, {show} views each, {preset}")
