"""`rehead keypoints train`."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..faces.detect import DetectorChoice
from .runs import GROUP, IMAGES, POINTS, finder, say, show_run

if TYPE_CHECKING:
    from ...workflows.config import KeypointTrainConfig

__all__ = ["train"]


class HeadChoice(StrEnum):
    """What places the points."""

    ridge = "ridge"
    conv = "conv"
    heatmap = "heatmap"


class LossChoice(StrEnum):
    """What training makes small."""

    l1 = "l1"
    l2 = "l2"


def train(
    context: typer.Context,
    points: Annotated[Path, typer.Argument(help=POINTS, show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)
    ] = None,
    images: Annotated[Path | None, typer.Option(help=IMAGES, show_default=False)] = None,
    group: Annotated[str, typer.Option(help=GROUP)] = "auto",
    backbone: Annotated[
        str,
        typer.Option(
            help="A name of `rehead weights list` or an ONNX file; with another --head also one of timm."
        ),
    ] = "efficientnet_lite0",
    size: Annotated[
        int | None,
        typer.Option(
            min=32, help="Side of the square that photos are brought to, pixels.", show_default="192"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weight file of the named backbone; none: train it from random numbers.", show_default=False
        ),
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
    n_jitter: Annotated[
        int,
        typer.Option(min=0, max=8, help="More views of each photo, turned, scaled and shifted at random."),
    ] = 1,
    detect: Annotated[
        bool, typer.Option("--detect", help="Find faces first, and learn points in squares around them.")
    ] = False,
    detector: Annotated[DetectorChoice, typer.Option(help="How faces are found.")] = DetectorChoice.mtcnn,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
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
    head: Annotated[
        HeadChoice,
        typer.Option(
            help="ridge: closed form; conv: convolution and two dense layers; heatmap: a map for each point.",
            rich_help_panel=options.NETWORK,
        ),
    ] = HeadChoice.ridge,
    train: Annotated[
        str | None,
        typer.Option(
            help="What is trained besides the head: frozen (nothing), top:N (last blocks), from:LAYER, all.",
            show_default="all",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    loss: Annotated[
        LossChoice,
        typer.Option(help="Absolute or squared error of coordinates.", rich_help_panel=options.NETWORK),
    ] = LossChoice.l1,
    side: Annotated[
        int,
        typer.Option(
            min=32, help="Of the squares that the network sees, pixels.", rich_help_panel=options.NETWORK
        ),
    ] = 128,
    keep: Annotated[
        str,
        typer.Option(
            help="Keep the trained network where it is better than the closed form on validation photos, or "
            "always.",
            rich_help_panel=options.NETWORK,
        ),
    ] = "better",
    dropout: Annotated[
        float, typer.Option(min=0, help="One more before the last layer.", rich_help_panel=options.NETWORK)
    ] = 0.0,
    epochs: options.Epochs = 20,
    patience: options.Patience = 5,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate after warm-up.", rich_help_panel=options.NETWORK)
    ] = 1e-3,
    optimizer: options.Optimizer = "adamw",
    schedule: options.Schedule = "cosine",
    warmup: options.WarmUp = 0.1,
    weight_decay: options.WeightDecay = 0.01,
    layer_decay: options.LayerDecay = 1.0,
    batch_size: options.BatchSize = 16,
    augment: Annotated[
        str,
        typer.Option(
            help="Random views: none, light (moved and mirrored), default (brightness too) or strong.",
            rich_help_panel=options.NETWORK,
        ),
    ] = "default",
    cached_views: options.Views = 4,
    grad_clip: options.Clip = 1.0,
    ema: options.Average = 0.98,
    bn_stats: options.BatchNorm = "auto",
    precision: options.Precision = "auto",
    accelerator: options.Accelerator = "auto",
    devices: options.Devices = 1,
    recipe: options.Recipe = None,
    resume: options.Resume = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Learn where points are from annotated photos, in closed form or by training a network.

    In closed form, on a frozen network, every photo is trained on; how good the result is, is measured on
    folds that had not seen the person. A network that is trained is measured on a fold that it is not
    trained on, beside the closed form.
    """
    given = options.given_in(context)
    folder = options.folder_of(out, resume)
    plan = _plan_of(locals())
    if recipe is not None:
        plan = _with_recipe(recipe, plan, given)
    _refuse_in_vain(plan, given)
    from ...workflows.config import run_keypoint_training
    from ..console import photo_progress

    doing = "Training" if plan.trains_network else "Looking at photos"
    with photo_progress(doing, quiet=quiet) as progress:
        run = run_keypoint_training(
            plan,
            points,
            folder,
            images=images,
            group=group,
            strict=strict,
            detector=finder(detector.value, threads) if detect else None,
            resume=resume is not None,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
            progress=progress,
        )
    if not quiet:
        show_run(run)
        say(f"{sum(run.seconds.values()):.1f} s; wrote {folder / 'model.onnx'} and {folder / 'report.html'}")


def _plan_of(values: dict[str, Any]) -> KeypointTrainConfig:
    """The plan of options by their names."""
    from ...workflows.config import KeypointTrainConfig

    named = {field.name: values[field.name] for field in fields(KeypointTrainConfig)}
    named = {name: value.value if isinstance(value, StrEnum) else value for name, value in named.items()}
    made = {"cascade": _choice("cascade", named["cascade"]), "mirror": _mirror(named["mirror"])}
    return KeypointTrainConfig(**{**named, **made})


def _with_recipe(recipe: str, plan: KeypointTrainConfig, given: set[str]) -> KeypointTrainConfig:
    """The recipe's plan, with the options that were given besides."""
    from ...workflows.recipes import get_points

    own = {name: getattr(plan, name) for name in given if hasattr(plan, name)}
    return replace(get_points(recipe).plan, **own)


def _refuse_in_vain(plan: KeypointTrainConfig, given: set[str]) -> None:
    """Refuse options that would silently do nothing."""
    from ...workflows.config import OF_THE_NETWORK

    if plan.trains_network:
        return
    for name in ("train", "loss", "side", "keep", *OF_THE_NETWORK, "resume"):
        if name in given:
            flag = "--" + name.replace("_", "-")
            raise typer.BadParameter("needs --head conv or --head heatmap", param_hint=flag)
    if plan.weights == Path("none"):
        raise typer.BadParameter("random numbers need --head conv or --head heatmap", param_hint="--weights")


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
    return tuple(int(part) for part in parts)
