"""`rehead layers`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from .command import Only, command
from .console import check_suffix, plain_table, print_table, say

__all__ = ["layers"]


@command
def layers(
    photos: Annotated[
        Path | None,
        typer.Argument(help="A photo, or a folder that is searched at any depth.", show_default=False),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        Opt(help="File to write: .png, a picture, or .npz, the numbers.", flag="--out -o", default=None),
    ],
    layer: Annotated[
        str, Opt(help="first or last, the convolution, or a name that --list shows.", default="last")
    ],
    channels: Annotated[int, Opt(help="Of one photo: how many channels, from the first.", ge=1, default=36)],
    channel: Annotated[
        int | None, Opt(help="Only this channel, counted from 0; for a folder.", ge=0, default=None)
    ],
    images: Annotated[int, Opt(help="Of a folder: how many photos, evenly spread.", ge=1, default=36)],
    show: Annotated[bool, Opt(help="List the layers instead.", flag="--list", default=False)],
    use: Annotated[ClassifierOptions, Only("backbone", "preprocess", "weights", "threads")],
) -> None:
    """Show what a layer of a network sees: many channels of one photo, or one channel across photos."""
    from ..backbones.activations import draw_maps, layer_maps, write_maps
    from ..data import list_photos
    from ..errors import DataError
    from ..images import write_png

    if show:
        _list(use)
        return
    if photos is None or out is None:
        raise DataError("give a photo or a folder, and --out; or --list to see the layers")
    suffix = check_suffix(out, ".png", ".npz")
    several = len(list_photos(photos)) > 1
    if several and channel is None:
        raise DataError(f"{photos}: of several photos one channel is shown; say which, such as --channel 7")
    maps = layer_maps(
        photos,
        backbone=use.backbone,
        layer=layer,
        channels=channels if channel is None else [channel],
        images=images,
        preprocess=use.preprocess,
        weights=use.weights,
        threads=use.threads,
    )
    if suffix == ".png":
        write_png(out, draw_maps(maps))
    else:
        write_maps(out, maps)
    for error in maps.unreadable:
        say(f"rehead: left out {error}", err=True)
    photos_, count, height, width = maps.maps.shape
    say(
        f"wrote {out}: {maps.backbone}, layer {maps.layer.name}, {photos_} photo{'s' * (photos_ > 1)}, "
        f"{count} channel{'s' * (count > 1)}, {width} x {height} pixels"
    )


def _list(use: ClassifierOptions) -> None:

    from ..backbones.activations import list_layers

    sides = ("channels", "width", "height")
    table = plain_table("layer", "kind", *sides, right=sides)
    for layer in list_layers(use.backbone, preprocess=use.preprocess, weights=use.weights):
        sizes = (str(n or "?") for n in (layer.shape[0], layer.shape[2], layer.shape[1]))
        table.add_row(layer.name, layer.kind, *sizes)
    print_table(table)
