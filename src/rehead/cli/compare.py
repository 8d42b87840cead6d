"""`rehead compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from rich.text import Text

    from ..evaluation import Comparison

__all__ = ["compare"]

_WIDE = 120  # columns of a terminal; a narrower one shows the table without some of them
_ONLY_WIDE = ("Log loss", "File", "Parameters")


def compare(
    context: typer.Context,
    photos: options.Photos,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the runs and the comparison; one that was killed is continued.",
            show_default=False,
        ),
    ],
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            help="Networks, separated by commas: names of `rehead weights list`, of timm, small-cnn and its "
            "like, ONNX files, or faces (their embeddings; faces:FILE.onnx). The others are compared with "
            "the first.",
        ),
    ] = "efficientnet_lite0,mobilenet_v2",
    train: Annotated[
        str,
        typer.Option(
            help="What is trained of each, separated by commas: frozen (the head only), top:N, from:LAYER, "
            "all, scratch (all, from random numbers)."
        ),
    ] = "frozen",
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train all models anew.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train several networks on the same photos, test them on the same others, and say which is better."""
    named = {name: value for name, value in locals().items() if name != "train"}
    plan, given = options.plan_of(named), options.given_in(context)
    from ..workflows.compare import combinations, compare_models
    from .console import photo_progress

    networks, ways = _list(with_, "--with"), _list(train, "--train")
    chosen, _ = combinations(networks, ways, plan)
    if not any(combination.plan.trains_network for combination in chosen):
        options.refuse_in_vain(chosen[0].plan, given)
    result = compare_models(
        photos,
        out,
        networks,
        train=ways,
        plan=plan,
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
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    names, rows = result.table()
    shown = [n for n, name in enumerate(names) if console.width >= _WIDE or name not in _ONLY_WIDE]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for n in shown:
        table.add_column(names[n], justify="right" if n else "left", no_wrap=n > 0)
    for row in rows:
        table.add_row(*(_cell(*row[n]) for n in shown))
    console.print(table)
    console.print(result.sentence, highlight=False, markup=False)
    notes = [*result.notes, *(f"{model.name}: {model.note}" for model in result.models if model.note)]
    for note in notes:
        console.print("[yellow]![/yellow]", Text(note), highlight=False)
    wrote = ", ".join(str(out / name) for name in ("compare.html", "compare.md", "compare.json"))
    console.print(f"wrote {wrote}", highlight=False, markup=False, soft_wrap=True)


def _cell(value: str, more: str) -> Text:
    from rich.text import Text

    text = Text(value)
    return text.append(f"\n{more}", style="dim") if more else text
