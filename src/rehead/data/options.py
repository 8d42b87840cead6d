"""The options of a split, and of a CSV of photos, declared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..core.options import Opt

__all__ = ["SplitOptions", "TableOptions"]

_CSV = "A CSV of photos"


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How test photos are held out, where none are given.

    Parameters
    ----------
    test_share : float
        Share of the photos.
    keep_bursts : bool
        Whether photos of one burst stay on one side, as near-duplicates do.
    """

    test_share: Annotated[
        float, Opt(help="Share of photos held out, where none are given for testing.", ge=0.01, le=0.9)
    ] = 0.2
    keep_bursts: Annotated[
        bool,
        Opt(
            help="Keep photos of one burst on one side of the split, as copies of one picture are.",
            flag="--bursts/--no-bursts",
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a CSV of photos is read.

    Parameters
    ----------
    path_column, label_column, split_column, group_column : str
        Names in the header, matched without regard to case.
    root : path or None
        The folder that paths are relative to; None: the CSV's own.
    suffix : str
        What is added to each path that does not end in it.
    """

    path_column: Annotated[str, Opt(help="Of a CSV: column of the paths.", panel=_CSV)] = "path"
    label_column: Annotated[str, Opt(help="Of a CSV: column of the classes.", panel=_CSV)] = "label"
    split_column: Annotated[str, Opt(help="Of a CSV: column of train, val or test.", panel=_CSV)] = "split"
    group_column: Annotated[
        str, Opt(help="Of a CSV: column of what stays on one side of a split.", panel=_CSV)
    ] = "group"
    root: Annotated[
        Path | None,
        Opt(help="Of a CSV: folder that the paths are relative to.", panel=_CSV, shown="the CSV's own"),
    ] = None
    suffix: Annotated[
        str, Opt(help="Of a CSV: ending that the paths lack, such as .jpg.", panel=_CSV, shown="")
    ] = ""
