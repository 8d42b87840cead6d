"""`rehead train`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["train"]

_NETWORK = "The network itself (pip install 'rehead[torch]')"


def train(
    photos: Annotated[
        Path,
        typer.Argument(
            help="photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg, or a CSV: "
            "path,label[,split][,group]",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run directory to write.", show_default=False)
    ] = None,
    backbone: Annotated[
        str,
        typer.Option(
            help="A name of `rehead weights list` or of timm (needs rehead[torch]), or an ONNX file."
        ),
    ] = "efficientnet_lite0",
    preprocess: Annotated[
        Path | None,
        typer.Option(
            help="JSON record of how photos are prepared, instead of the backbone's own.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weight file of the named backbone; none: train it from random numbers.", show_default=False
        ),
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
    what: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="What is trained besides the head: frozen (nothing), top:N (last blocks), from:LAYER, all.",
            show_default="frozen",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Train this network from random numbers instead, such as small-cnn.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the photos, pixels; the network's own by default.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    head: Annotated[
        str, typer.Option(help="linear, mlp:WIDTH or conv.", rich_help_panel=_NETWORK)
    ] = "linear",
    epochs: Annotated[int, typer.Option(min=1, help="At most.", rich_help_panel=_NETWORK)] = 20,
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            help="Stop after so many epochs without a lower validation loss; 0: never.",
            rich_help_panel=_NETWORK,
        ),
    ] = 5,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of the head; deeper blocks learn more slowly.",
            show_default="3e-4, or 1e-3 from random numbers; ten times as much with sgd",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="adamw, adam, rmsprop or sgd.", rich_help_panel=_NETWORK)
    ] = "adamw",
    batch_size: Annotated[int, typer.Option(min=2, rich_help_panel=_NETWORK)] = 32,
    augment: Annotated[
        str,
        typer.Option(
            help="Random changes of the photos: none, light, default or strong.", rich_help_panel=_NETWORK
        ),
    ] = "default",
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Continue the run of this --out, which was killed; give the same options.",
            show_default=False,
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a classifier on photos, test it, and write model file, metrics and report."""
    from ..classify import ImageClassifier
    from ..run import train as run
    from .progress import photo_progress

    folder = _folder(out, resume)
    work = folder.with_name(folder.name + ".work")
    tuned = _trains_network(backbone, what, network, weights, head)
    _refuse_in_vain(tuned, size=size, resume=resume, preprocess=preprocess)
    with photo_progress("Training" if tuned else "Looking at photos", quiet=quiet) as progress:
        classifier: ImageClassifier
        if tuned:
            from ..finetune import FineTuned
            from ..training.options import TrainingOptions

            _make_way(work, resume=resume, overwrite=overwrite)
            random = network is not None or weights == Path("none")
            classifier = FineTuned(
                network or backbone,
                options=TrainingOptions(
                    train=what or ("all" if random else "frozen"),
                    head=head,
                    epochs=epochs,
                    patience=patience,
                    lr=lr,
                    optimizer=cast(Any, optimizer),
                    batch_size=batch_size,
                    augment=augment,
                ),
                size=size,
                weights="none" if random else weights,
                work=work,
                resume=resume is not None,
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
            )
        else:
            classifier = ImageClassifier(
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
            )
        result = run(
            photos,
            folder,
            classifier=classifier,
            test_share=test_share,
            overwrite=overwrite,
            command=["rehead", *sys.argv[1:]],
        )
    if tuned:
        shutil.rmtree(work, ignore_errors=True)
    if not quiet:
        _show(result)


def _folder(out: Path | None, resume: Path | None) -> Path:
    if out is not None and resume is not None and out != resume:
        raise typer.BadParameter("give --out or --resume, not two folders", param_hint="--resume")
    folder = out or resume
    if folder is None:
        raise typer.BadParameter("give the run directory to write", param_hint="--out")
    return folder


def _trains_network(
    backbone: str, what: str | None, network: str | None, weights: Path | None, head: str
) -> bool:
    """Whether more is asked for than a linear head on a frozen network of the core."""
    from ..weights import registry

    known = backbone in registry.names() or backbone.lower().endswith(".onnx")
    asked = network is not None or what not in (None, "frozen") or head != "linear"
    return asked or not known or weights == Path("none")


def _refuse_in_vain(tuned: bool, **options: object) -> None:
    """Refuse options that would silently do nothing."""
    for name, value in options.items():
        if value is not None and (name == "preprocess") is tuned:
            why = (
                "is for frozen networks of the core"
                if tuned
                else "needs --train, --network or another --head"
            )
            raise typer.BadParameter(why, param_hint=f"--{name}")


def _make_way(work: Path, *, resume: Path | None, overwrite: bool) -> None:
    from ..training.fit import holds_training

    if resume is not None and not holds_training(work):
        raise typer.BadParameter(f"there is no training to continue: no {work}", param_hint="--resume")
    if resume is None and overwrite and holds_training(work):
        shutil.rmtree(work)


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
    if result.classifier.training_:
        console.print(result.classifier.training_["sentence"], highlight=False, markup=False)
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
