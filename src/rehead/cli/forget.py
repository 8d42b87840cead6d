"""`rehead forget`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt
from . import changes, options
from .command import Only, command
from .console import photo_progress, say
from .photos import list_given

__all__ = ["forget"]


@command
def forget(
    model: changes.Learnt,
    class_name: Annotated[
        str | None,
        Opt(
            help="Forget this class. Its photos need not be given where training kept statistics by class, "
            "or the cache has their features.",
            flag="--class",
            default=None,
        ),
    ],
    drop_cache: Annotated[
        bool,
        Opt(help="Take their features out of the cache, too.", flag="--drop-cache", default=False),
    ],
    out: changes.Out,
    check: changes.Check,
    use: Annotated[ClassifierOptions, Only("threads")],
    overwrite: options.Overwrite,
    quiet: options.Quiet,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos that were learnt, and folders of them.", show_default=False),
    ] = None,
) -> None:
    """Take photos, or a class, out of a model again, as if it had never learnt them."""
    from ..workflows.incremental import Updating
    from ..workflows.incremental import forget as run

    given = list(list_given(photos)) if photos else []
    with photo_progress("Looking at photos", quiet=quiet) as progress:
        # the command is not recorded as it is: it has names of what is to be forgotten
        how = Updating(out, check, overwrite, use.threads, ["rehead", "forget", str(model)], progress)
        result = run(model, given, how, class_name=class_name, drop_cache=drop_cache)
    if quiet:
        return
    changes.show_change(result, "forgotten")
    if drop_cache:
        say(f"{result.dropped} rows of features taken out of the cache")
    else:
        say("Their features stay in the cache; --drop-cache takes them out, too.", fold=True)
