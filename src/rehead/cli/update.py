"""`rehead update`."""

from __future__ import annotations

import sys
from typing import Annotated

from ..classification.options import ClassifierOptions
from . import changes, options
from .command import Only, command
from .console import photo_progress

__all__ = ["update"]


@command
def update(
    model: changes.Learnt,
    photos: options.Photos,
    out: changes.Out,
    check: changes.Check,
    use: Annotated[ClassifierOptions, Only("strict", "threads")],
    overwrite: options.Overwrite,
    quiet: options.Quiet,
) -> None:
    """Add photos to a model, also of new classes, without the photos that it learnt before."""
    from ..workflows.incremental import Updating
    from ..workflows.incremental import update as run

    with photo_progress("Looking at photos", quiet=quiet) as progress:
        how = Updating(out, check, overwrite, use.threads, ["rehead", *sys.argv[1:]], progress)
        result = run(model, photos, how, strict=use.strict)
    if not quiet:
        changes.show_change(result, "added")
