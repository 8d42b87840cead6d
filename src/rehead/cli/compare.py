"""`rehead compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from ..data.options import SplitOptions, TableOptions
from ..finetune.config import FineTuneConfig
from . import options
from .command import Without, command, given_in
from .console import photo_progress, plain_table, print_table, say, styled, terminal_width, warn

if TYPE_CHECKING:
    from rich.text import Text

    from ..evaluation import Comparison

__all__ = ["compare"]

_WIDE = 120  # columns of a terminal; a narrower one shows the table without some of them
_ONLY_WIDE = ("Log loss", "File", "Parameters")


@command
def compare(
    context: typer.Context,
    photos: options.Photos,
    out: Annotated[
        Path,
        Opt(
            help="Folder for the runs and the comparison; one that was killed is continued.", flag="--out -o"
        ),
    ],
    with_: Annotated[
        str,
        Opt(
            help="Networks, separated by commas: names of `rehead weights list`, of timm, small-cnn and its "
            "like, ONNX files, or faces (their embeddings; faces:FILE.onnx). The others are compared with "
            "the first.",
            flag="--with",
            default="efficientnet_lite0,mobilenet_v2",
        ),
    ],
    ways: Annotated[
        str,
        Opt(
            help="What is trained of each, separated by commas: frozen (the head only), top:N, from:LAYER, "
            "all, scratch (all, from random weights).",
            flag="--train",
            default="frozen",
        ),
    ],
    classifier: Annotated[ClassifierOptions, Without("backbone", "weights", "preprocess")],
    split: SplitOptions,
    table: TableOptions,
    finetune: Annotated[FineTuneConfig, Without("train")],
    overwrite: Annotated[bool, Opt(help="Train all models anew.", flag="--overwrite", default=False)],
    quiet: options.Quiet,
) -> None:
    """Train several networks on the same photos, test them on the same others, and say which is better."""
    from ..workflows.compare import candidates, compare_models
    from ..workflows.config import TrainConfig

    config = TrainConfig(classifier=classifier, finetune=finetune, split=split, table=table)
    networks, trained = _list(with_, "--with"), _list(ways, "--train")
    chosen, _ = candidates(networks, trained, config)
    if not any(candidate.config.trains_network for candidate in chosen):
        options.refuse_in_vain(chosen[0].config, given_in(context))
    result = compare_models(
        photos,
        out,
        networks,
        train=trained,
        config=config,
        overwrite=overwrite,
        command=["rehead", *sys.argv[1:]],
        watch=lambda doing: photo_progress(doing, quiet=quiet),
    )
    if not quiet:
        _show(result, out)


def _list(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise typer.BadParameter(f"{text!r}; expected names separated by commas", param_hint=option)
    return names


def _show(result: Comparison, out: Path) -> None:

    names, rows = result.table()
    width = terminal_width()
    shown = [n for n, name in enumerate(names) if width >= _WIDE or name not in _ONLY_WIDE]
    table = plain_table(*(names[n] for n in shown), right=names[1:])
    for column in table.columns[1:]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(_cell(*row[n]) for n in shown))
    print_table(table)
    say(result.sentence, fold=True)
    notes = [*result.notes, *(f"{model.name}: {model.note}" for model in result.models if model.note)]
    for note in notes:
        warn(note)
    wrote = ", ".join(str(out / name) for name in ("compare.html", "compare.md", "compare.json"))
    say(f"wrote {wrote}")


def _cell(value: str, more: str) -> Text:
    return styled(value).append("\n").append(styled(more, "dim")) if more else styled(value)
