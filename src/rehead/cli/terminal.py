"""The terminal as rich writes to it: all text goes through `printable`, none is read as markup."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from ..core.text import printable
from .console import drop_output

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["terminal"]

_LEAST = 20  # columns, in which a table of five still shows a letter of each
_ENDLESS = 10_000  # columns of a pipe or a file: nothing is folded


def terminal(*, stderr: bool = False) -> Console:
    """Where tables and sentences are printed: the standard output, or the error output with `stderr`.

    A width that makes no sense, such as COLUMNS=0, is that of 80 columns; a pipe has no width at all.
    A reader that has gone is no error here: the work that is reported on goes on.
    """
    made: Console = _terminal_class()(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not os.environ.get("COLUMNS", "").isdigit() and not made.is_terminal:
        made.width = _ENDLESS
    elif made.width < _LEAST:
        made.width = 80
    return made


@cache
def _terminal_class() -> Any:
    """Made when it is needed: to import rich draws random numbers."""
    from rich.console import Console
    from rich.text import Text

    class Terminal(Console):
        def render_str(self, text: str, *, style: Any = "", justify: Any = None, **_: Any) -> Text:
            """What rich makes of each string, in a table too."""
            return Text(printable(text), style, justify=justify)

        def on_broken_pipe(self) -> None:
            """Go on without an output, instead of ending."""
            drop_output(self.file)

    return Terminal
