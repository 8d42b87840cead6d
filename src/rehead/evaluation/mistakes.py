"""Misclassified photos that a report shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..core.values import AnswerList
from . import metrics

__all__ = ["MOST_MISTAKES", "Mistake", "Mistakes", "NearPhoto", "confident_mistakes"]

MOST_MISTAKES = 24
"""Mistakes in a report: six rows, some 0.7 MB of pictures with their maps and neighbours."""


@dataclass(frozen=True)
class NearPhoto:
    """A training photo near a misclassified one.

    Parameters
    ----------
    path : path
    label : str
    distance : float
        0 is the same picture.
    """

    path: str | os.PathLike[str]
    label: str
    distance: float


@dataclass(frozen=True)
class Mistake:
    """A misclassified test photo.

    Parameters
    ----------
    path : path
        Where the photo is now; a thumbnail is taken from it.
    name : str
        How the report names it.
    true, predicted : str
        Classes.
    probability : float, 0 to 1
        Of the predicted class.
    accepted : bool
        False where the operating point would have answered "unknown".
    row : int
        Which of the test photos it is.
    heat : bytes or None
        A JPEG of the predicted class's map over the photo.
    nearest : sequence of NearPhoto
        Nearest training photos, nearest first.
    """

    path: str | os.PathLike[str]
    name: str
    true: str
    predicted: str
    probability: float
    accepted: bool = True
    row: int = 0
    heat: bytes | None = field(default=None, repr=False)
    nearest: Sequence[NearPhoto] = ()


class Mistakes(AnswerList[Mistake]):
    """Misclassified photos, which a notebook shows as the report does."""

    def _repr_html_(self) -> str:
        from .notebook import mistakes_html

        return mistakes_html(self)


def confident_mistakes(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    photos: Sequence[tuple[str | os.PathLike[str], str]],
    *,
    accepted: ArrayLike | None = None,
    most: int = MOST_MISTAKES,
) -> list[Mistake]:
    """Return the misclassified photos, most confident first.

    `y_true` int (n,), `probabilities` float (n, K) and `accepted` bool (n,) as in `evaluate`; `photos` holds
    n pairs of path and name.
    """
    y, p = metrics.check(y_true, probabilities)
    y_pred, confidence = p.argmax(axis=1), p.max(axis=1)
    taken = np.ones(len(y), dtype=bool) if accepted is None else np.asarray(accepted, dtype=bool)
    wrong = np.flatnonzero(y_pred != y)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return [
        Mistake(path, name, classes[y[i]], classes[y_pred[i]], float(confidence[i]), bool(taken[i]), i)
        for i, (path, name) in ((i, photos[i]) for i in order.tolist())
    ]
