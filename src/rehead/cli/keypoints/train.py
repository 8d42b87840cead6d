"""`rehead keypoints train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .runs import GROUP, IMAGES, POINTS, say, show_run

__all__ = ["train"]


def train(
    points: Annotated[Path, typer.Argument(help=POINTS, show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)],
    images: Annotated[Path | None, typer.Option(help=IMAGES, show_default=False)] = None,
    group: Annotated[str, typer.Option(help=GROUP)] = "auto",
    backbone: Annotated[
        str, typer.Option(help="A name of `rehead weights list`, or an ONNX file.")
    ] = "efficientnet_lite0",
    size: Annotated[
        int | None,
        typer.Option(
            min=32, help="Side of the square that photos are brought to, pixels.", show_default="224"
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weight file of the named backbone.", show_default=False)
    ] = None,
    cascade: Annotated[
        str, typer.Option(help="Look again at the square around the points: auto (if it helps), yes or no.")
    ] = "auto",
    mirror: Annotated[
        str,
        typer.Option(
            help="Learn from mirrored photos: auto, no, or the partner of each point from 0, such as 1,0,2."
        ),
    ] = "auto",
    shakes: Annotated[
        int,
        typer.Option(min=0, max=8, help="More views of each photo, turned, scaled and shifted at random."),
    ] = 1,
    cv: Annotated[int, typer.Option("--folds", min=2, help="Folds of the cross-validation.")] = 5,
    coverage: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of training photos that are not called outliers.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and the views.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Learn where points are from annotated photos, on a frozen network, in closed form.

    Every photo is trained on; how good the result is, is measured on folds that had not seen the person.
    """
    from ...keypoints import KeypointRegressor, train_keypoints
    from ..progress import photo_progress

    with photo_progress("Looking at photos", quiet=quiet) as progress:
        regressor = KeypointRegressor(
            backbone,
            size=size,
            weights=weights,
            cascade=_choice("cascade", cascade),
            mirror=_mirror(mirror),
            shakes=shakes,
            cv=cv,
            coverage=coverage,
            random_state=seed,
            threads=threads,
            progress=progress,
        )
        run = train_keypoints(
            points,
            out,
            images=images,
            regressor=regressor,
            group=group,
            strict=strict,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
        )
    if not quiet:
        show_run(run)
        say(f"{sum(run.seconds.values()):.1f} s; wrote {out / 'model.onnx'} and {out / 'report.html'}")


def _choice(name: str, text: str) -> Any:
    choices = {"auto": "auto", "yes": True, "no": False}
    if text not in choices:
        raise typer.BadParameter(f"{text!r}; expected auto, yes or no", param_hint=f"--{name}")
    return choices[text]


def _mirror(text: str) -> Any:
    if text in ("auto", "no"):
        return "auto" if text == "auto" else False
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(
            f"{text!r}; expected auto, no, or numbers such as 1,0,2", param_hint="--mirror"
        )
    return [int(part) for part in parts]
