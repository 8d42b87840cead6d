"""`rehead keypoints`."""

from __future__ import annotations

import typer

from ..help import GroupedCommand
from . import evaluate, predict, train

__all__ = ["app"]

app = typer.Typer(help="Place points on photos: train, evaluate, predict.", no_args_is_help=True)
app.command("train", cls=GroupedCommand, short_help="Learn points from annotated photos.")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict", short_help="Place points on photos.")(predict.predict)
