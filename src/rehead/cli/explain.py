"""`rehead explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from . import options
from .command import Only, command
from .console import check_suffix, plain_table, print_table, read_lines, say

if TYPE_CHECKING:
    from ..classification.saliency import Explanation

__all__ = ["explain"]


@command
def explain(
    model: Annotated[
        Path,
        typer.Argument(
            help="Model file; or any ONNX classifier with its preprocessing record beside it.",
            show_default=False,
        ),
    ],
    photo: Annotated[Path, typer.Argument(help="Photo.", show_default=False)],
    out: options.Picture,
    classes: Annotated[int, Opt(help="How many of the most probable classes.", ge=1, le=100, default=3)],
    method: Annotated[
        Literal["auto", "cam", "occlusion"],
        Opt(
            help="cam: class activation maps; occlusion: cover the photo piece by piece, for any network; "
            "auto: cam where the network has them.",
            default="auto",
        ),
    ],
    labels: Annotated[
        Path | None,
        Opt(
            help="Text file with the classes of an ONNX classifier that is no model file, a line each.",
            default=None,
        ),
    ],
    use: Annotated[ClassifierOptions, Only("preprocess", "threads")],
) -> None:
    """Show where in a photo a model's answer comes from, for its most probable classes."""
    from ..classification.drawing import draw_explanation
    from ..classification.saliency import Explainer
    from ..images import write_png

    check_suffix(out, ".png")
    names = read_lines(labels) if labels else None
    explainer = Explainer(model, method=method, preprocess=use.preprocess, labels=names, threads=use.threads)
    explanation = explainer.explain(photo, classes=classes)
    write_png(out, draw_explanation(explanation, photo))
    _print(explanation)
    say(f"wrote {out}")


def _print(explanation: Explanation) -> None:

    cam = explanation.method == "cam"
    measured = ("probability", "logit" if cam else "largest drop")
    table = plain_table("class", *measured, right=measured)
    for one in explanation.maps:
        number = one.values.mean() + one.bias if cam else one.values.max()
        table.add_row(one.label, f"{one.probability:.3f}", f"{number:.3f}")
    print_table(table)
    if explanation.reason:
        say(f"answered {explanation.answer!r}: {explanation.reason}")
