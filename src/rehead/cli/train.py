"""`rehead train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from ..classification.options import ClassifierOptions
from ..core.options import options_of
from ..data.options import SplitOptions, TableOptions
from ..finetune.config import FineTuneConfig
from . import options
from .command import command, given_in
from .console import photo_progress, scores_table

if TYPE_CHECKING:
    from ..workflows.config import TrainConfig
    from ..workflows.train import Run

__all__ = ["show_run", "show_warnings", "train"]

_MOST_WARNINGS = 3  # printed; a longer list is not read


@command
def train(
    context: typer.Context,
    photos: options.Photos,
    out: options.NewRunFolder,
    classifier: ClassifierOptions,
    split: SplitOptions,
    table: TableOptions,
    finetune: FineTuneConfig,
    recipe: options.Recipe,
    resume: options.Resume,
    overwrite: options.Overwrite,
    quiet: options.Quiet,
) -> None:
    """Train a classifier on photos, test it, and write model file, metrics and report."""
    from ..workflows.config import TrainConfig, run_training

    given = given_in(context)
    folder = options.folder_of(out, resume)
    config = TrainConfig(classifier=classifier, finetune=finetune, split=split, table=table)
    if recipe is not None:
        config = _with_recipe(recipe, config, given)
    config = config.with_backbone(str(config.classifier.backbone))
    options.refuse_in_vain(config, given)
    doing = "Training" if config.trains_network else "Looking at photos"
    with photo_progress(doing, quiet=quiet) as progress:
        result = run_training(
            config,
            photos,
            folder,
            resume=resume is not None,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
            progress=progress,
        )
    if not quiet:
        show_run(result)


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


def show_warnings(warnings: Sequence[str], where: str) -> None:
    """Print the first warnings, which are the gravest, and where the others stand."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for warning in warnings[:_MOST_WARNINGS]:
        console.print("[yellow]![/yellow]", Text(warning), highlight=False)
    if (more := len(warnings) - _MOST_WARNINGS) > 0:
        console.print(f"  and {more} more {where}", highlight=False, markup=False, soft_wrap=True)


def show_run(result: Run) -> None:
    """Print how good the trained model is, what was left out, and what was written."""
    from rich.console import Console

    from ..core.text import count

    console = Console()
    for sentence in result.audit.dataset.summary():
        typer.echo(sentence)
    if result.evaluation:
        console.print(scores_table(result.evaluation))
        console.print(result.evaluation.sentence, highlight=False, markup=False)
    if result.classifier.training_:
        console.print(result.classifier.training_["sentence"], highlight=False, markup=False)
    report = result.folder / ("report.html" if result.evaluation else "run.json")
    show_warnings(result.warnings, f"in {report}")
    if result.unreadable:
        console.print(
            f"[yellow]![/yellow] {count(len(result.unreadable), 'unreadable photo')} "
            f"{'was' if len(result.unreadable) == 1 else 'were'} left out:",
            highlight=False,
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
