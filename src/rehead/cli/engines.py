"""`rehead engines`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from . import options
from .command import command
from .console import print_json, print_table, say

if TYPE_CHECKING:
    from ..backbones.engines import MeasuredEngine

__all__ = ["engines"]

_BACKBONE = "efficientnet_lite0"


@command
def engines(as_json: options.Json) -> None:
    """List what can take features here, and measure how fast each is, on the default backbone.

    What is measured is remembered on this machine: the engine called auto is the fastest of it.
    """
    from ..backbones.backbone import load_backbone
    from ..backbones.engines import measure_engines
    from ..core.engines import fastest_engine
    from ..core.runtime import cpu_count

    backbone = load_backbone(_BACKBONE)
    found = measure_engines(backbone)
    fastest = fastest_engine().name
    if as_json:
        about = {"backbone": backbone.name, "size": backbone.preprocess.size, "threads": cpu_count()}
        print_json({**about, "auto": fastest, "engines": [asdict(one) for one in found]})
        return
    _print_table(found)
    say(
        f"photos/s: of {backbone.name} at {backbone.preprocess.size} px on {cpu_count()} threads, decoding "
        "not counted. parity: of features with ONNX Runtime's, 1 where they are the same.",
        fold=True,
    )
    for one in found:
        if one.reason:
            say(f"{one.name}: {one.reason}", fold=True)
    say(f"--engine auto takes {fastest}, until this command is run again.", fold=True)


def _print_table(found: list[MeasuredEngine]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("engine", "version", "device", "precision", "photos/s", "parity"):
        right = heading in ("photos/s", "parity")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "device")
    for one in found:
        table.add_row(
            one.name,
            one.version or "-",
            one.device or "-",
            one.precision or "-",
            "-" if one.photos_per_second is None else f"{one.photos_per_second:.0f}",
            "-" if one.parity is None else f"{one.parity:.5f}",
        )
    print_table(table)
