"""`rehead train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["train"]


def train(
    photos: Annotated[
        Path,
        typer.Argument(
            help="photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg, or a CSV: "
            "path,label[,split][,group]",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)],
    backbone: Annotated[
        str, typer.Option(help="A name of `rehead weights list`, or an ONNX file.")
    ] = "efficientnet_lite0",
    preprocess: Annotated[
        Path | None,
        typer.Option(
            help="JSON record of how photos are prepared, instead of the backbone's own.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weight file of the named backbone.", show_default=False)
    ] = None,
    depths: Annotated[
        str, typer.Option(help="Depths to take features from: auto, or how many of the last.")
    ] = "auto",
    mirror: Annotated[
        str, typer.Option(help="Train on mirrored photos too, if it helps: auto (few photos), yes or no.")
    ] = "auto",
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Weigh every class the same, however many photos it has.")
    ] = False,
    folds: Annotated[
        int, typer.Option(min=2, help="Folds of the cross-validation that chooses the head.")
    ] = 5,
    test_share: Annotated[
        float,
        typer.Option(min=0.01, max=0.9, help="Share of photos held out, where none are given for testing."),
    ] = 0.2,
    coverage: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help='Share of known photos to answer rather than call "unknown".'),
    ] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and the folds.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
    ] = False,
    cache: Annotated[bool, typer.Option(help="Keep features, so that the next run is faster.")] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a classifier on photos, test it, and write model file, metrics and report."""
    from ..classify import ImageClassifier
    from ..run import train as run
    from .progress import photo_progress

    with photo_progress("Looking at photos", quiet=quiet) as progress:
        result = run(
            photos,
            out,
            classifier=ImageClassifier(
                backbone,
                preprocess=preprocess,
                weights=weights,
                depths=_depths(depths),
                mirror=_mirror(mirror),
                class_weight="balanced" if balanced else None,
                cv=folds,
                coverage=coverage,
                random_state=seed,
                strict=strict,
                cache=cache,
                threads=threads,
                progress=progress,
            ),
            test_share=test_share,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
        )
    if not quiet:
        _show(result)


def _depths(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise typer.BadParameter(f"{text!r}; expected auto or a whole number from 1", param_hint="--depths")


def _mirror(text: str) -> bool | Literal["auto"]:
    choices: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}
    if text not in choices:
        raise typer.BadParameter(f"{text!r}; expected auto, yes or no", param_hint="--mirror")
    return choices[text]


def _show(result: Run) -> None:
    from rich.console import Console
    from rich.text import Text

    from .tables import scores_table

    console = Console()
    if result.evaluation:
        console.print(scores_table(result.evaluation))
        console.print(result.evaluation.sentence, highlight=False, markup=False)
    for caution in result.cautions:
        console.print("[yellow]![/yellow]", Text(caution), highlight=False)
    if result.unreadable:
        console.print(
            f"[yellow]![/yellow] {len(result.unreadable)} unreadable photos were left out:", highlight=False
        )
        for name, reason in result.unreadable[:10]:
            console.print(f"    {name}: {reason}", highlight=False, markup=False)
        if len(result.unreadable) > 10:
            more = f"    and {len(result.unreadable) - 10} more, in {result.folder / 'run.json'}"
            console.print(more, highlight=False, markup=False, soft_wrap=True)
    names = ["model.onnx", *(["report.html"] if result.evaluation else [])]
    console.print(
        f"{sum(result.seconds.values()):.1f} s; wrote " + " and ".join(str(result.folder / n) for n in names),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
