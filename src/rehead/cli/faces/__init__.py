"""`rehead faces`: one file a verb."""

from __future__ import annotations

import typer

from . import capture, detect

__all__ = ["app"]

app = typer.Typer(help="Recognise faces, and say when nobody is known.", no_args_is_help=True)
app.command("detect", short_help="Find faces, and cut them out.")(detect.detect)
app.command("capture", short_help="Collect a person's face from a camera, a video or photos.")(
    capture.capture
)
