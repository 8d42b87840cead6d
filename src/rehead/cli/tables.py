"""Tables that more than one verb prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation import Evaluation

__all__ = ["scores_table"]


def scores_table(evaluation: Evaluation) -> Table:
    """Each score with its 95 % interval."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{evaluation.photos} test photos")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for row in evaluation.table():
        table.add_row(*row)
    return table
