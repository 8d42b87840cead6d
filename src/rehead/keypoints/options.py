"""The options of a keypoint regressor, declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from ..core.options import BackboneOptions, EstimatorOptions, Opt

__all__ = ["KeypointOptions"]


def _partners(word: str) -> str | bool | tuple[int, ...]:
    if word in ("auto", "no"):
        return "auto" if word == "auto" else False
    parts = word.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError("expected auto, no, or numbers such as 1,0,2")
    return tuple(int(part) for part in parts)


@dataclass(kw_only=True, repr=False, eq=False)
class KeypointOptions(EstimatorOptions, BackboneOptions):
    """The options of `KeypointRegressor`, whose docstring says more of each."""

    size: Annotated[
        int | None,
        Opt(help="Side of the square that photos are brought to, pixels.", ge=32, shown="192"),
    ] = None
    cascade: Annotated[
        Literal["auto"] | bool,
        Opt(
            help="Look again at the square around the points: auto (if it helps), yes or no.",
            choices={"auto": "auto", "yes": True, "no": False},
        ),
    ] = "auto"
    mirror: Annotated[
        Literal["auto", False] | Sequence[int],
        Opt(
            help="Learn from mirrored photos: auto, no, or the partner of each point from 0, such as 1,0,2.",
            parse=_partners,
        ),
    ] = "auto"
    n_jitter: Annotated[
        int,
        Opt(
            help="More views of each photo, turned, scaled and shifted at random.",
            ge=0,
            le=8,
            flag="--jitter",
        ),
    ] = 1
