"""Plain sentences about training photos that are thin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["cautions"]


def cautions(counts: Mapping[str, int], fold: NDArray[np.intp], coverage: float) -> list[str]:
    """What should be known of a head that rests on few photos.

    Parameters
    ----------
    counts : mapping of str to int
        Photos of each class that were trained on.
    fold : int ndarray (n,)
        Of each photo that was checked on, -1 where it could not be.
    coverage : float
        Share of photos that the limits for "unknown" are to let through.

    Returns
    -------
    list of str
    """
    told = []
    if thin := [name for name, count in counts.items() if count < 10]:
        names = ", ".join(repr(name) for name in thin[:5]) + (" and others" if len(thin) > 5 else "")
        told.append(
            f"Fewer than 10 photos to learn from: {names}. The head's strength and its confidence rest "
            "on very little; expect them to change with more photos."
        )
    if (alone := int((fold < 0).sum())) > 0:
        told.append(
            f"{alone} photos are of classes that consist of near-duplicates or of one group; they are "
            "trained on, but could not be used to check."
        )
    if len(fold) * (1 - coverage) < 2:
        told.append(
            f'{len(fold)} photos are too few to set the limits for "unknown" at {coverage:.0%}; '
            "they are those of the oddest photo that was seen."
        )
    return told
