"""`rehead check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.options import Opt
from . import options
from .command import command
from .console import say

__all__ = ["check"]


@command
def check(
    model: options.ModelFile,
    runtime: Annotated[
        str,
        Opt(
            help="What runs the file: onnxruntime, openvino, web (onnxruntime-web in Node.js), or the "
            "address of a server's model, http://HOST:PORT/v2/models/NAME.",
            default="onnxruntime",
        ),
    ],
    key: Annotated[
        Path | None,
        Opt(help="Ed25519 public key, PEM: the file must be signed with its private key.", default=None),
    ],
) -> None:
    """Check that a model file is whole, who signed it, and that a runtime gives the answers that it says.

    Exits with 1 where the runtime gives other answers to the file's golden pictures.
    """
    from ..core.model_file import read_model_file
    from ..workflows.loading import open_any_model

    file = read_model_file(model)
    if key is not None:
        from ..core.signing import check_signature

        check_signature(file, key)
    open_any_model(file)
    signed = "" if key is None else f", signed with the key of {key}"
    say(f"{model}: a whole {file.manifest['kind']} model{signed}")
    if unmeasured := file.manifest.get("unmeasured"):
        say(unmeasured, fold=True)
    if file.manifest["kind"] != "classifier":
        say("golden pictures: only classifiers of whole photos have them")
        return
    from ..workflows.check import check_runtime

    found = check_runtime(file, runtime)
    say(f"{runtime}: {found.sentence}", fold=True)
    if not found.same:
        raise typer.Exit(1)
