"""What several commands take that no estimator owns: each an argument or a flag, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.options import NETWORK, Opt, options_of

if TYPE_CHECKING:
    from ..workflows.config import TrainConfig

__all__ = ["folder_of", "refuse_in_vain"]

Photos = Annotated[
    Path,
    typer.Argument(
        help="photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg, or a CSV: path,label[,split][,group]",
        show_default=False,
    ),
]
Source = Annotated[
    Path,
    typer.Argument(
        help="photos/CLASS/*.jpg, photos/{train,val,test}/CLASS/*.jpg, or a CSV: path,label[,split][,group]; "
        "read as a stream: shards-{000..009}.tar, *.parquet, s3://bucket/photos.",
        show_default=False,
    ),
]
PhotoList = Annotated[
    list[Path], typer.Argument(help="Photos, and folders that are searched at any depth.", show_default=False)
]
ModelFile = Annotated[Path, typer.Argument(help="Model file.", show_default=False)]
RunFolder = Annotated[Path, Opt(help="Run directory to write.", flag="--out -o")]
NewRunFolder = Annotated[Path | None, Opt(help="Run directory to write.", flag="--out -o", default=None)]
Picture = Annotated[Path, Opt(help="PNG file to write.", flag="--out -o")]
Overwrite = Annotated[bool, Opt(help="Replace an earlier run at --out.", flag="--overwrite", default=False)]
Quiet = Annotated[bool, Opt(help="Print nothing but errors.", flag="--quiet -q", default=False)]
ProgressForm = Annotated[
    Literal["bar", "json"],
    Opt(
        help="How to say how far it is, on the error output: a bar where that is a terminal, or lines of "
        'JSON, {"done": 20, "total": 50} in photos and {"step": "features"} where a step has ended.',
        flag="--progress",
        default="bar",
    ),
]
AnswerForm = Literal["table", "json", "jsonl", "csv"]
AnswerFormat = Annotated[
    AnswerForm,
    Opt(help="How to print the answers.", flag="--format -f", default="table"),
]
Json = Annotated[bool, Opt(help="Print JSON.", flag="--json", default=False)]
Recipe = Annotated[
    str | None,
    Opt(
        help="Settings of a tutorial, see `rehead recipes`; options given besides it override.", default=None
    ),
]
Sign = Annotated[
    Path | None,
    Opt(help="Sign the model file with this Ed25519 private key, PEM, as `rehead sign` does.", default=None),
]
On = Annotated[
    str | None,
    Opt(
        help="Take features of a stream of photos on Ray: ray, on this machine, or ray:ADDRESS of a cluster.",
        default=None,
    ),
]
Resume = Annotated[
    Path | None,
    Opt(
        help="Continue the run of this --out, which was killed; give the same options.",
        panel=NETWORK,
        default=None,
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


def refuse_in_vain(config: TrainConfig, given: set[str]) -> None:
    """Refuse options that would silently do nothing."""
    from ..finetune.config import FineTuneConfig

    if config.trains_network:
        return
    of_the_network = {option.flag: name for name, option in options_of(FineTuneConfig).items()}
    for flag, name in {**of_the_network, "--resume": "resume"}.items():
        if name in given and name not in ("train", "head", "keep"):
            raise typer.BadParameter("needs --train or another --head", param_hint=flag)
