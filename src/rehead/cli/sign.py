"""`rehead sign`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..core.options import Opt
from . import options
from .command import command
from .console import say

__all__ = ["sign"]


@command
def sign(
    model: options.ModelFile,
    key: Annotated[Path, Opt(help="Ed25519 private key, PEM: `openssl genpkey -algorithm ed25519`.")],
) -> None:
    """Sign a model file, so that `rehead check --key` tells it from one of somebody else."""
    from ..core.signing import read_private_key, sign_model_file

    sign_model_file(model, read_private_key(key))
    say(f"signed {model}")
