"""`rehead keypoints train`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ...classification.options import ClassifierOptions
from ...core.options import NETWORK, Opt, options_of
from ...faces.options import FaceOptions
from ...finetune.config import KeypointFineTuneConfig
from ...keypoints.options import KeypointOptions
from .. import options
from ..command import Only, Without, command, given_in
from ..console import photo_progress, say
from ..train import overridden
from .runs import Detect, Group, Images, Points, finder, show_run

if TYPE_CHECKING:
    from ...workflows.config import KeypointTrainConfig

__all__ = ["train"]


@command
def train(
    context: typer.Context,
    points: Points,
    out: options.NewRunFolder,
    images: Images,
    group: Group,
    regressor: KeypointOptions,
    detect: Detect,
    faces: Annotated[FaceOptions, Only("detector")],
    reading: Annotated[ClassifierOptions, Only("strict")],
    head: Annotated[
        Literal["ridge", "conv", "heatmap"],
        Opt(
            help="ridge: closed form; conv: convolution and two dense layers; heatmap: a map for each point.",
            panel=NETWORK,
            default="ridge",
        ),
    ],
    finetune: Annotated[KeypointFineTuneConfig, Without("head")],
    recipe: options.Recipe,
    resume: options.Resume,
    overwrite: options.Overwrite,
    quiet: options.Quiet,
) -> None:
    """Learn where points are from annotated photos, in closed form or by training a network.

    In closed form, on a frozen network, every photo is trained on; how good the result is, is measured on
    folds that had not seen the person. A network that is trained is measured on a fold that it is not
    trained on, beside the closed form.
    """
    from ...workflows.config import KeypointTrainConfig, run_keypoint_training

    given = given_in(context)
    folder = options.folder_of(out, resume)
    network = None if head == "ridge" else replace(finetune, head=head)
    config = KeypointTrainConfig(regressor=regressor, finetune=network)
    if recipe is not None:
        config = _with_recipe(recipe, config, finetune, given)
    _refuse_in_vain(config, given)
    doing = "Training" if config.trains_network else "Looking at photos"
    with photo_progress(doing, quiet=quiet) as progress:
        run = run_keypoint_training(
            config,
            points,
            folder,
            images=images,
            group=group,
            strict=reading.strict,
            detector=finder(str(faces.detector), regressor.threads) if detect else None,
            resume=resume is not None,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
            progress=progress,
        )
    if not quiet:
        show_run(run)
        say(f"{sum(run.seconds.values()):.1f} s; wrote {folder / 'model.onnx'} and {folder / 'report.html'}")


def _with_recipe(
    recipe: str, config: KeypointTrainConfig, finetune: KeypointFineTuneConfig, given: set[str]
) -> KeypointTrainConfig:
    """The recipe's configuration, with the options that were given besides."""
    from ...workflows.recipes import get

    settings = get(recipe, type(config)).config
    network = settings.finetune and overridden(settings.finetune, finetune, given - {"head"})
    if "head" in given:
        network = config.finetune and overridden(network or finetune, config.finetune, given)
    return replace(
        settings, regressor=overridden(settings.regressor, config.regressor, given), finetune=network
    )


def _refuse_in_vain(config: KeypointTrainConfig, given: set[str]) -> None:
    """Refuse options that would silently do nothing."""
    if config.trains_network:
        return
    of_the_network = {option.flag: name for name, option in options_of(KeypointFineTuneConfig).items()}
    for flag, name in {**of_the_network, "--resume": "resume"}.items():
        if name in given and name != "head":
            raise typer.BadParameter("needs --head conv or --head heatmap", param_hint=flag)
