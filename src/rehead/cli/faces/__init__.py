"""`rehead faces`: one file a verb."""

from __future__ import annotations

import typer

from . import capture, cluster, detect, enroll, evaluate, gallery, identify, train, verify

__all__ = ["app"]

app = typer.Typer(help="Recognise faces, and say when nobody is known.", no_args_is_help=True)
app.command("detect", short_help="Find faces, and cut them out.")(detect.detect)
app.command("capture", short_help="Collect a person's face from a camera, a video or photos.")(
    capture.capture
)
app.command("train", short_help="Train a classifier of people on their faces, and test it.")(train.train)
app.command("enroll", short_help="Enrol people into a gallery.")(enroll.enroll)
app.command("identify")(identify.identify)
app.command("verify", short_help="Say whether two photos show one person.")(verify.verify)
app.command("cluster")(cluster.cluster)
app.command("evaluate", short_help="Test recognition on pairs or on people.")(evaluate.evaluate)
app.add_typer(gallery.app, name="gallery")
