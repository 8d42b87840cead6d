"""`rehead faces train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import Bursts
from .detect import DetectorChoice
from .options import CommercialSafe, DetectorName, EmbedderName, Meant, SeveralFaces, Threads

if TYPE_CHECKING:
    pass

__all__ = ["train"]


def train(
    photos: Annotated[
        Path,
        typer.Argument(
            help="photos/PERSON/*.jpg, photos/{train,val,test}/PERSON/*.jpg, or a CSV: "
            "path,label[,split][,group]",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)],
    several: SeveralFaces = Meant.centre,
    folds: Annotated[
        int, typer.Option("--folds", min=2, help="Folds of the cross-validation that chooses the head.")
    ] = 5,
    test_share: Annotated[
        float,
        typer.Option(
            "--test-share",
            min=0.01,
            max=0.9,
            help="Share of photos held out, where none are given for testing.",
        ),
    ] = 0.2,
    bursts: Bursts = True,
    coverage: Annotated[
        float,
        typer.Option(
            "--coverage",
            min=0.01,
            max=1.0,
            help='Share of known photos to answer rather than call "unknown".',
        ),
    ] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the split and the folds.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse photos without a face instead of leaving them out.")
    ] = False,
    detector: DetectorName = DetectorChoice.mtcnn,
    embedder: EmbedderName = "dlib",
    commercial_safe: CommercialSafe = False,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a classifier of a closed circle of people on their faces, test it, and write a run directory."""
    from ...faces.classifier import FaceClassifier
    from ...workflows.train import train as run
    from ..console import photo_progress
    from ..train import show_run

    with photo_progress("Looking at photos", quiet=quiet) as progress:
        classifier = FaceClassifier(
            detector.value,
            embedder,
            rule=several.value,
            cv=folds,
            coverage=coverage,
            random_state=seed,
            strict=strict,
            commercial_safe=commercial_safe,
            threads=threads,
            progress=progress,
        )
        result = run(
            photos,
            out,
            classifier=classifier,
            test_share=test_share,
            keep_bursts=bursts,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
        )
    if not quiet:
        show_run(result)
        for path, count in classifier.several_faces_:
            typer.echo(f"  several faces: {path}: {count}", err=True)
