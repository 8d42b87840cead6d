"""`rehead keypoints evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from ...classification.options import ClassifierOptions
from ...core.options import Opt
from .. import options
from ..command import Only, command
from ..console import photo_progress, print_json, say
from .runs import Detect, DetectorAsTrained, Group, Images, Points, finder, finder_name, show_run

__all__ = ["evaluate"]


@command
def evaluate(
    model: options.ModelFile,
    points: Points,
    images: Images,
    group: Group,
    out: Annotated[
        Path | None,
        Opt(help="Folder for metrics.json, predictions.csv and report.html.", flag="--out -o", default=None),
    ],
    detect: Detect,
    detector: DetectorAsTrained,
    use: Annotated[ClassifierOptions, Only("strict", "threads")],
    as_json: options.Json,
) -> None:
    """Test a model file on photos whose points are known."""
    from ...keypoints import load_keypoints
    from ...workflows.keypoint_evaluation import evaluate_keypoint_model

    loaded = load_keypoints(model, threads=use.threads)
    with photo_progress("Looking at photos") as progress:
        run = evaluate_keypoint_model(
            loaded,
            points,
            images=images,
            group=group,
            out=out,
            strict=use.strict,
            detector=finder(finder_name(detector, loaded), use.threads) if detect else None,
            progress=progress,
            command=["rehead", *sys.argv[1:]],
        )
    if as_json:
        print_json(run.to_dict())
        return
    show_run(run)
    if out is not None:
        say(f"wrote {out / 'metrics.json'} and {out / 'report.html'}")
