"""`rehead check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..core.options import Opt
from . import options
from .command import command
from .console import say

__all__ = ["check"]


@command
def check(
    model: options.ModelFile,
    key: Annotated[
        Path | None,
        Opt(help="Ed25519 public key, PEM: the file must be signed with its private key.", default=None),
    ],
) -> None:
    """Check that a model file is whole, and with --key who signed it."""
    from ..core.model_file import read_model_file
    from ..workflows.loading import open_any_model

    file = read_model_file(model)
    if key is not None:
        from ..core.signing import check_signature

        check_signature(file, key)
    open_any_model(file)
    say(
        f"{model}: a whole {file.manifest['kind']} model{'' if key is None else f', signed with the key of {key}'}"
    )
