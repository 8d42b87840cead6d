"""What `rehead update`, `forget` and `merge` take, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.options import Opt
from .console import print_table, say, scores_table, show_warnings, warn

if TYPE_CHECKING:
    from ..workflows.incremental import ChangedRun

__all__ = ["Check", "Learnt", "Out", "show_change"]

Out = Annotated[
    Path | None,
    Opt(
        help="Run directory to write; by default the one that the model is in is replaced, with its report.",
        flag="--out -o",
        default=None,
    ),
]
Check = Annotated[
    Path | None,
    Opt(
        help="Photos with classes, not learnt: temperature, limits and test results are measured on them; "
        "100 or more choose levels and strength again.",
        default=None,
    ),
]
Learnt = Annotated[
    Path,
    typer.Argument(
        help="Model file, or its run directory, of a training that kept its statistics.", show_default=False
    ),
]


def show_change(result: ChangedRun, done: str) -> None:
    """Print what was "added", "forgotten" or "merged", and how good it is now, where that was measured."""
    from ..core.text import count

    change, fitted = result.change, result.classifier.fitted_
    known = f", {count(change.known, 'photo')} known before" if change.known else ""
    total = sum(fitted.trained_on.class_counts.values())
    say(
        f"{count(change.photos, 'photo')} {done}{known}; it knows {count(total, 'photo')} of "
        f"{count(len(fitted.classes), 'class', 'classes')}"
    )
    if change.classes:
        gone = "forgotten" if done == "forgotten" else "new"
        say(f"{gone}: {', '.join(change.classes)}", fold=True)
    if result.evaluation:
        print_table(scores_table(result.evaluation))
        say(result.evaluation.sentence, fold=True)
    if result.reselection:
        say(result.reselection.sentence, fold=True)
    show_warnings(result.warnings, f"in {result.folder / 'run.json'}")
    if change.unreadable:
        verb = "was" if len(change.unreadable) == 1 else "were"
        warn(f"{count(len(change.unreadable), 'unreadable photo')} {verb} left out:")
        for name, reason in change.unreadable[:10]:
            say(f"    {name}: {reason}")
    names = " and ".join(str(result.folder / name) for name in ("model.onnx", "statistics.npz"))
    say(f"{sum(result.seconds.values()):.1f} s; wrote {names}")
