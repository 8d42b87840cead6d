"""`rehead export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from ..core.options import Opt
from ..core.text import count, file_size
from . import options
from .command import command
from .console import say, warn

__all__ = ["export"]


@command
def export(
    model: options.ModelFile,
    to: Annotated[Path, Opt(help="Folder to write.", flag="--to")],
    target: Annotated[
        Literal["python", "web", "html", "triton", "kserve", "ovms"],
        Opt(
            help="python: a script that needs no rehead; web: a page for any static server; html: the same "
            "in one file; triton, kserve, ovms: a folder for an inference server.",
            flag="--for",
        ),
    ],
    name: Annotated[str, Opt(help="What a server calls the model.", default="model")],
    runtime_files: Annotated[
        Path | None,
        Opt(
            help="The npm package onnxruntime-web, a .tgz or unpacked, for web and html; fetched where none "
            "is given.",
            default=None,
        ),
    ],
    overwrite: Annotated[bool, Opt(help="Replace an earlier export.", flag="--overwrite", default=False)],
) -> None:
    """Write a model file as what another program takes: a script, a web page, a server's folder."""
    from ..exporting import export_model

    done = export_model(model, to, target, name=name, runtime_files=runtime_files, overwrite=overwrite)
    say(f"wrote {done.folder}: {count(len(done.files), 'file')}, {file_size(done.size)}")
    for path in done.files:
        say(f"  {path}")
    if done.unmeasured:
        warn(done.unmeasured)
