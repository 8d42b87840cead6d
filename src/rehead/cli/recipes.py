"""`rehead recipes`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from .console import plain_table, print_table, say

__all__ = ["recipes"]


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show this one's options in full.", show_default=False)
    ] = None,
) -> None:
    """List the recipes, the settings of well-known tutorials, or show one in full."""
    from ..workflows.recipes import EVERY, find

    if name is not None:
        recipe = find(name)
        say(f"{recipe.name}: {recipe.summary}")
        say(f"data: {recipe.data}")
        say(f"the tutorial reports: {recipe.reported or 'not known here'}")
        if recipe.differs:
            say(f"differs from the tutorial: {recipe.differs}")
        say("")
        say(f"{recipe.command} {shlex.join(recipe.config.arguments())}")
        return

    table = plain_table("recipe", "what", "reported")
    table.columns[0].no_wrap, table.columns[2].max_width = True, 10
    for recipe in EVERY:
        table.add_row(recipe.name, recipe.summary, recipe.reported or "–")
    print_table(table)
    say(
        "rehead recipes NAME shows one in full; rehead train --recipe NAME runs it, and rehead keypoints "
        "train --recipe NAME one of keypoints.",
        fold=True,
    )
