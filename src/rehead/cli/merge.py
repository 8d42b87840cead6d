"""`rehead merge`."""

from __future__ import annotations

import sys
from typing import Annotated

from ..classification.options import ClassifierOptions
from . import changes, options
from .command import Only, command
from .console import photo_progress

__all__ = ["merge"]


@command
def merge(
    model: changes.Learnt,
    other: changes.Learnt,
    out: options.RunFolder,
    check: changes.Check,
    use: Annotated[ClassifierOptions, Only("threads")],
    overwrite: options.Overwrite,
    quiet: options.Quiet,
) -> None:
    """Join what two models learnt, at two places, without their photos."""
    from ..workflows.incremental import Updating
    from ..workflows.incremental import merge as run

    with photo_progress("Looking at photos", quiet=quiet) as progress:
        how = Updating(out, check, overwrite, use.threads, ["rehead", *sys.argv[1:]], progress)
        result = run(model, other, out, how)
    if not quiet:
        changes.show_change(result, "merged")
