"""`rehead keypoints evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..faces.detect import DetectorChoice
from .runs import GROUP, IMAGES, POINTS, finder, finder_name, say, show_run

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    points: Annotated[Path, typer.Argument(help=POINTS, show_default=False)],
    images: Annotated[Path | None, typer.Option(help=IMAGES, show_default=False)] = None,
    group: Annotated[str, typer.Option(help=GROUP)] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for metrics.json, predictions.csv and report.html.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
    ] = False,
    detect: Annotated[
        bool, typer.Option("--detect", help="Find faces first, and place points on the annotated one.")
    ] = False,
    detector: Annotated[
        DetectorChoice | None,
        typer.Option(help="How faces are found.", show_default="as in training, or mtcnn"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
) -> None:
    """Test a model file on photos whose points are known."""
    from ...keypoints import load_keypoints
    from ...workflows.keypoints import assess_keypoints
    from ..console import photo_progress

    loaded = load_keypoints(model, threads=threads)
    with photo_progress("Looking at photos") as progress:
        run = assess_keypoints(
            loaded,
            points,
            images=images,
            group=group,
            out=out,
            strict=strict,
            detector=finder(finder_name(detector, loaded), threads) if detect else None,
            progress=progress,
            command=["rehead", *sys.argv[1:]],
        )
    if as_json:
        import json

        typer.echo(json.dumps(run.to_dict(), indent=2, ensure_ascii=False))
        return
    show_run(run)
    if out is not None:
        say(f"wrote {out / 'metrics.json'} and {out / 'report.html'}")
