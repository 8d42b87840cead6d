"""The options of a split, declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..core.options import Opt

__all__ = ["SplitOptions"]


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
