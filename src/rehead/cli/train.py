"""`rehead train`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from ..workflows.config import TrainConfig
    from ..workflows.train import Run

__all__ = ["show_run", "train"]


def train(
    context: typer.Context,
    photos: options.Photos,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)
    ] = None,
    backbone: options.Backbone = "efficientnet_lite0",
    preprocess: options.Preprocess = None,
    weights: options.Weights = None,
    n_levels: options.Depths = "auto",
    mirror: options.Mirror = "auto",
    balanced: options.Balanced = False,
    folds: options.Folds = 5,
    test_share: options.TestShare = 0.2,
    bursts: options.Bursts = True,
    coverage: options.Coverage = 0.95,
    seed: options.Seed = 0,
    strict: options.Strict = False,
    cache: options.Cache = True,
    threads: options.Threads = None,
    train: options.Train = None,
    network: options.Network = None,
    size: options.Size = None,
    keep: options.Keep = "better",
    refit: options.Refit = True,
    head: options.Head = "linear",
    dropout: options.Dropout = 0.0,
    epochs: options.Epochs = 20,
    patience: options.Patience = 5,
    lr: options.Lr = None,
    optimizer: options.Optimizer = "adamw",
    schedule: options.Schedule = "cosine",
    warmup: options.WarmUp = 0.1,
    weight_decay: options.WeightDecay = 0.01,
    layer_decay: options.LayerDecay = 0.8,
    batch_size: options.BatchSize = 32,
    augment: options.Augment = "auto",
    cached_views: options.Views = 4,
    label_smoothing: options.LabelSmoothing = 0.0,
    mixup: options.Mixup = 0.0,
    grad_clip: options.Clip = 1.0,
    ema: options.Average = 0.98,
    interpolate: options.Interpolate = True,
    bn_stats: options.BatchNorm = "auto",
    precision: options.Precision = "auto",
    accelerator: options.Accelerator = "auto",
    devices: options.Devices = 1,
    recipe: options.Recipe = None,
    resume: options.Resume = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a classifier on photos, test it, and write model file, metrics and report."""
    plan, given = options.plan_of(locals()), options.given_in(context)
    from ..workflows.config import run_training
    from .console import photo_progress

    folder = options.folder_of(out, resume)
    if {"backbone", "network"} <= given:
        raise typer.BadParameter("give --backbone or --network, not both", param_hint="--network")
    if recipe is not None:
        plan = _with_recipe(recipe, plan, given)
    options.refuse_in_vain(plan, given)
    doing = "Training" if plan.trains_network else "Looking at photos"
    with photo_progress(doing, quiet=quiet) as progress:
        result = run_training(
            plan,
            photos,
            folder,
            resume=resume is not None,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
            progress=progress,
        )
    if not quiet:
        show_run(result)


def _with_recipe(recipe: str, plan: TrainConfig, given: set[str]) -> TrainConfig:
    """The recipe's plan, with the options that were given besides."""
    from ..workflows import recipes

    settings = recipes.get(recipe).plan
    if given & {"backbone", "network"}:  # the same with another network
        settings = replace(settings, backbone=plan.backbone, network=plan.network)
    if "network" in given:
        settings = replace(settings, train=None)
    return replace(settings, **{name: getattr(plan, name) for name in given if hasattr(plan, name)})


def show_run(result: Run) -> None:
    """Print how good the trained model is, what was left out, and what was written."""
    from rich.console import Console
    from rich.text import Text

    from .console import scores_table

    console = Console()
    if result.evaluation:
        console.print(scores_table(result.evaluation))
        console.print(result.evaluation.sentence, highlight=False, markup=False)
    if result.classifier.training_:
        console.print(result.classifier.training_["sentence"], highlight=False, markup=False)
    for warning in result.warnings:
        console.print("[yellow]![/yellow]", Text(warning), highlight=False)
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
