"""`rehead explain`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..classification.saliency import Explanation

__all__ = ["explain"]


class Method(StrEnum):
    """How places are weighed."""

    auto = "auto"
    cam = "cam"
    occlusion = "occlusion"


def explain(
    model: Annotated[
        Path,
        typer.Argument(
            help="Model file; or any ONNX classifier with its preprocessing record beside it.",
            show_default=False,
        ),
    ],
    photo: Annotated[Path, typer.Argument(help="Photo.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file to write.", show_default=False)],
    classes: Annotated[int, typer.Option(min=1, max=100, help="How many of the most probable classes.")] = 3,
    method: Annotated[
        Method,
        typer.Option(
            help="cam: class activation maps; occlusion: cover the photo piece by piece, for any network; "
            "auto: cam where the network has them."
        ),
    ] = Method.auto,
    preprocess: Annotated[
        Path | None,
        typer.Option(
            help="JSON record of how photos are prepared, for an ONNX classifier that is not a model file.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Text file with the classes of such a one, a line each.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
) -> None:
    """Show where in a photo a model's answer comes from, for its most probable classes."""
    from ..classification.drawing import draw_explanation
    from ..classification.saliency import Explainer
    from ..images import write_png
    from .console import check_suffix, read_lines

    check_suffix(out, ".png")
    names = read_lines(labels) if labels else None
    explainer = Explainer(model, method=method.value, preprocess=preprocess, labels=names, threads=threads)
    explanation = explainer.explain(photo, classes=classes)
    write_png(out, draw_explanation(explanation, photo))
    _print(explanation)
    typer.echo(f"wrote {out}")


def _print(explanation: Explanation) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cam = explanation.method == "cam"
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    table.add_column("probability", justify="right")
    table.add_column("logit" if cam else "largest drop", justify="right")
    for one in explanation.maps:
        number = one.values.mean() + one.bias if cam else one.values.max()
        table.add_row(Text(one.label), f"{one.probability:.3f}", f"{number:.3f}")
    console = Console()
    console.print(table)
    if explanation.reason:
        console.print(Text(f"answered {explanation.answer!r}: {explanation.reason}"))
