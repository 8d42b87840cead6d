"""`rehead train`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..classification.options import ClassifierOptions
from ..core.options import options_of
from ..data.options import SplitOptions, TableOptions
from ..finetune.config import FineTuneConfig
from . import options
from .command import command, given_in
from .console import photo_progress, print_table, say, scores_table, show_warnings, warn

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..workflows.config import TrainConfig
    from ..workflows.run import Run
    from ..workflows.train_features import FeatureRun

__all__ = ["show_run", "train"]


@command
def train(
    context: typer.Context,
    photos: options.Source,
    out: options.NewRunFolder,
    classifier: ClassifierOptions,
    split: SplitOptions,
    table: TableOptions,
    finetune: FineTuneConfig,
    recipe: options.Recipe,
    resume: options.Resume,
    sign: options.Sign,
    on: options.On,
    overwrite: options.Overwrite,
    quiet: options.Quiet,
    progress_form: options.ProgressForm,
) -> None:
    """Train a classifier on photos, test it, and write model file, metrics and report."""
    from ..core.signing import read_private_key, sign_model_file
    from ..workflows.config import TrainConfig, run_training
    from ..workflows.extract import is_stream

    given = given_in(context)
    folder = options.folder_of(out, resume)
    key = None if sign is None else read_private_key(sign)
    config = TrainConfig(classifier=classifier, finetune=finetune, split=split, table=table)
    if recipe is not None:
        config = _with_recipe(recipe, config, given)
    config = config.with_backbone(str(config.classifier.backbone))
    options.refuse_in_vain(config, given)
    result: Run | FeatureRun
    if on is not None or is_stream(photos, table):
        with photo_progress("Taking features", quiet=quiet, form=progress_form) as progress:
            result = _streamed(photos, folder, config, given, on=on, overwrite=overwrite, progress=progress)
    else:
        doing = "Training" if config.trains_network else "Looking at photos"
        with photo_progress(doing, quiet=quiet, form=progress_form) as progress:
            result = run_training(
                config,
                photos,
                folder,
                resume=resume is not None,
                overwrite=overwrite,
                command=["rehead", *sys.argv[1:]],
                progress=progress,
            )
    if key is not None:
        sign_model_file(result.folder / "model.onnx", key)
    if not quiet:
        show_run(result)


def _streamed(
    photos: Path,
    folder: Path,
    config: TrainConfig,
    given: set[str],
    *,
    on: str | None,
    overwrite: bool,
    progress: Progress | None,
) -> FeatureRun:
    from ..workflows.train_features import train_features

    if config.trains_network or config.faces or "resume" in given:
        raise typer.BadParameter(
            "photos that are read as a stream are trained on with a frozen network of the core",
            param_hint=str(photos),
        )
    return train_features(
        photos,
        folder,
        classifier=config.classifier,
        split=config.split,
        table=config.table,
        on=on,
        overwrite=overwrite,
        command=["rehead", *sys.argv[1:]],
        progress=progress,
    )


def _with_recipe(recipe: str, config: TrainConfig, given: set[str]) -> TrainConfig:
    """The recipe's configuration, with the options that were given besides."""
    from ..workflows import recipes

    settings = recipes.get(recipe, type(config)).config
    return replace(
        settings,
        classifier=overridden(settings.classifier, config.classifier, given),
        finetune=overridden(settings.finetune, config.finetune, given),
        split=config.split,
        table=config.table,
    )


def overridden(settings: Any, config: Any, given: set[str]) -> Any:
    """Options of a recipe, with those of `config` that were given on the command line."""
    own = given & set(options_of(type(settings)))
    return replace(settings, **{name: getattr(config, name) for name in own})


def show_run(result: Run | FeatureRun) -> None:
    """Print how good the trained model is, what was left out, and what was written."""
    from ..core.text import count

    for sentence in result.summary:
        say(sentence)
    if result.evaluation:
        print_table(scores_table(result.evaluation))
        say(result.evaluation.sentence, fold=True)
    engine = result.classifier.fitted_.trained_on.engine
    if engine["name"] != "onnxruntime":
        say(
            f"Features of training photos by {engine['name']} {engine['version']} in {engine['precision']}; "
            "what was tested are the model file's own answers, by ONNX Runtime.",
            fold=True,
        )
    if result.classifier.training_:
        say(result.classifier.training_["sentence"], fold=True)
    report = result.folder / ("report.html" if result.evaluation else "run.json")
    show_warnings(result.warnings, f"in {report}")
    if result.unreadable:
        verb = "was" if len(result.unreadable) == 1 else "were"
        warn(f"{count(len(result.unreadable), 'unreadable photo')} {verb} left out:")
        for name, reason in result.unreadable[:10]:
            say(f"    {name}: {reason}")
        if len(result.unreadable) > 10:
            more = f"    and {len(result.unreadable) - 10} more, in {result.folder / 'run.json'}"
            say(more)
    names = ["model.onnx", *(["report.html"] if result.evaluation else [])]
    say(f"{sum(result.seconds.values()):.1f} s; wrote " + " and ".join(str(result.folder / n) for n in names))
