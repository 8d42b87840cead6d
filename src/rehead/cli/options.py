"""Options that more than one verb takes, and the plan that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from ..workflows.config import TrainConfig

__all__ = ["NETWORK", "folder_of", "given_in", "plan_of", "refuse_in_vain"]

NETWORK = "The network itself (pip install 'rehead[torch]')"

Photos = Annotated[
    Path,
    typer.Argument(
        help="photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg, or a CSV: path,label[,split][,group]",
        show_default=False,
    ),
]
Backbone = Annotated[
    str,
    typer.Option(help="A name of `rehead weights list` or of timm (needs rehead[torch]), or an ONNX file."),
]
Preprocess = Annotated[
    Path | None,
    typer.Option(
        help="JSON record of how photos are prepared, instead of the backbone's own.", show_default=False
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Weight file of the named backbone; none: train it from random numbers.", show_default=False
    ),
]
Depths = Annotated[str, typer.Option(help="Depths to take features from: auto, or how many of the last.")]
Mirror = Annotated[
    str, typer.Option(help="Train on mirrored photos too, if it helps: auto (few photos), yes or no.")
]
Balanced = Annotated[
    bool, typer.Option("--balanced", help="Weigh every class the same, however many photos it has.")
]
Folds = Annotated[int, typer.Option(min=2, help="Folds of the cross-validation that chooses the head.")]
TestShare = Annotated[
    float,
    typer.Option(min=0.01, max=0.9, help="Share of photos held out, where none are given for testing."),
]
Bursts = Annotated[
    bool,
    typer.Option(help="Keep photos of one burst on one side of the split, as copies of one picture are."),
]
Coverage = Annotated[
    float,
    typer.Option(min=0.01, max=1.0, help='Share of known photos to answer rather than call "unknown".'),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the split and the folds.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse unreadable photos instead of leaving them out.")
]
Cache = Annotated[bool, typer.Option(help="Keep features, so that the next run is faster.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Processors to use; all by default.", show_default=False)
]
Train = Annotated[
    str | None,
    typer.Option(
        help="What is trained besides the head: frozen (nothing), top:N (last blocks), from:LAYER, all.",
        show_default="frozen",
        rich_help_panel=NETWORK,
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        help="Train this network from random numbers instead, such as small-cnn.",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Side of the photos, pixels; the network's own by default.",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        help="Keep the trained network where it is better than the frozen one on validation photos, or "
        "always.",
        rich_help_panel=NETWORK,
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit/--no-refit",
        help="Train a network that is kept once more, on the validation photos too.",
        rich_help_panel=NETWORK,
    ),
]
Head = Annotated[str, typer.Option(help="linear, mlp:WIDTH or conv.", rich_help_panel=NETWORK)]
Dropout = Annotated[
    float, typer.Option(min=0, help="Before the last layer of a linear head.", rich_help_panel=NETWORK)
]
Epochs = Annotated[int, typer.Option(min=1, help="At most.", rich_help_panel=NETWORK)]
Patience = Annotated[
    int,
    typer.Option(
        min=0,
        help="Stop after so many epochs without a lower validation loss; 0: never.",
        rich_help_panel=NETWORK,
    ),
]
Lr = Annotated[
    float | None,
    typer.Option(
        help="Learning rate of what is trained last; deeper blocks learn more slowly.",
        show_default="3e-4, 1e-3 from random numbers; tenfold with sgd",
        rich_help_panel=NETWORK,
    ),
]
Optimizer = Annotated[str, typer.Option(help="adamw, adam, rmsprop or sgd.", rich_help_panel=NETWORK)]
Schedule = Annotated[
    str,
    typer.Option(help="What the rate does after warm-up: cosine or constant.", rich_help_panel=NETWORK),
]
WarmUp = Annotated[
    float,
    typer.Option(min=0, help="Share of all steps in which the rate grows.", rich_help_panel=NETWORK),
]
WeightDecay = Annotated[
    float,
    typer.Option(min=0, help="How strongly weights are drawn to 0.", rich_help_panel=NETWORK),
]
LayerDecay = Annotated[
    float,
    typer.Option(
        help="Each block learns at so many times the rate of the one after it.", rich_help_panel=NETWORK
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=2, help="Photos of one step, on each device.", rich_help_panel=NETWORK)
]
Augment = Annotated[
    str,
    typer.Option(
        help="Random changes of the photos: none, flip-rotate, light, default or strong; auto is strong "
        "where blocks of a pretrained network are trained.",
        rich_help_panel=NETWORK,
    ),
]
Views = Annotated[
    int,
    typer.Option(
        min=0,
        help="Changed views of each photo that are kept where the network is frozen.",
        rich_help_panel=NETWORK,
    ),
]
LabelSmoothing = Annotated[
    float,
    typer.Option(min=0, help="Share of the label that is spread over all classes.", rich_help_panel=NETWORK),
]
Mixup = Annotated[
    float,
    typer.Option(
        min=0, help="Blend photos: parameter of the beta distribution; 0: not.", rich_help_panel=NETWORK
    ),
]
Clip = Annotated[
    float,
    typer.Option(min=0, help="Largest norm of the gradient; 0: no limit.", rich_help_panel=NETWORK),
]
Average = Annotated[
    float,
    typer.Option(
        help="Keep a running average of the weights, to which each step adds 1 - so much; 0: the last ones.",
        rich_help_panel=NETWORK,
    ),
]
Interpolate = Annotated[
    bool,
    typer.Option(
        "--interpolate/--no-interpolate",
        help="Try weights between the fitted start and the best epoch too (WiSE-FT).",
        rich_help_panel=NETWORK,
    ),
]
BatchNorm = Annotated[
    str,
    typer.Option(
        help="Statistics in trained blocks: kept or counted anew; auto keeps those of a pretrained network.",
        rich_help_panel=NETWORK,
    ),
]
Precision = Annotated[str, typer.Option(help="auto, 32, bf16-mixed or 16-mixed.", rich_help_panel=NETWORK)]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=NETWORK)]
Devices = Annotated[int, typer.Option(min=1, help="Accelerators to train on.", rich_help_panel=NETWORK)]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Settings of a tutorial, see `rehead recipes`; options given besides it override.",
        show_default=False,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Continue the run of this --out, which was killed; give the same options.",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
]


def folder_of(out: Path | None, resume: Path | None) -> Path:
    """The run directory, named by --out or by --resume."""
    if out is not None and resume is not None and out != resume:
        raise typer.BadParameter("give --out or --resume, not two folders", param_hint="--resume")
    folder = out or resume
    if folder is None:
        raise typer.BadParameter("give the run directory to write", param_hint="--out")
    return folder


def plan_of(values: Mapping[str, Any]) -> TrainConfig:
    """The plan of options by their names; what is no option of a plan is not looked at."""
    from ..workflows.config import TrainConfig

    named = {field.name: values[field.name] for field in fields(TrainConfig) if field.name in values}
    return TrainConfig(
        **{**named, "n_levels": _n_levels(named["n_levels"]), "mirror": _mirror(named["mirror"])}
    )


def given_in(context: typer.Context) -> set[str]:
    """Names of the options that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


def refuse_in_vain(plan: TrainConfig, given: set[str]) -> None:
    """Refuse options that would silently do nothing."""
    from ..workflows.config import OF_THE_NETWORK

    if plan.trains_network:
        return
    for name in (*OF_THE_NETWORK, "resume"):
        if name in given:
            flag = "--" + name.replace("_", "-")
            raise typer.BadParameter("needs --train, --network or another --head", param_hint=flag)


def _n_levels(text: str) -> int | Literal["auto"]:
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
