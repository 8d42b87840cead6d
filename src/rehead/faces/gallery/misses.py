"""How often an index misses the nearest template, by the gallery's own templates with jitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...evaluation.intervals import Interval, wilson
from .records import Templates
from .store import GalleryStore

__all__ = ["Misses", "measure_misses"]

_SAME = 1e-5  # scores that differ by less are of one template: sums of float32 in another order


@dataclass(frozen=True)
class Misses:
    """How many probes found another template than the nearest.

    Parameters
    ----------
    probes, missed : int
    share : Interval
        That is missed, 0..1.
    cosine : float
        Of each probe with the template that it was made from.
    templates : int
    """

    probes: int
    missed: int
    share: Interval
    cosine: float
    templates: int


def measure_misses(
    store: GalleryStore, *, probes: int = 1000, cosine: float | None = None, seed: int = 0
) -> Misses:
    """Compare the search that the gallery uses with an exact one.

    A probe is a template turned in a random direction to a given cosine with it; it is missed where the best
    score among what the index proposes is lower than the best of all templates.

    Parameters
    ----------
    store : GalleryStore
    probes : int
        Templates are drawn with replacement.
    cosine : float, optional
        -1..1; by default that of the median photo with the nearest other one of its person.
    seed : int

    Raises
    ------
    DataError
        The gallery is empty, or has nobody with two photos and no `cosine` is given.
    """
    held = store.templates()
    if not len(held):
        raise DataError(f"{store.place}: {held.why_nobody}; there is nothing to look for")
    if cosine is None:
        cosine = _usual_cosine(held, str(store.place))
    rng = np.random.default_rng(seed)
    missed = 0
    for row in rng.integers(0, len(held), probes):
        probe = _turned(held.vectors[row], cosine, rng)
        found = store.candidates(probe[None]).best_scores(probe[None])
        missed += float(found.max(initial=-np.inf)) < float((held.vectors @ probe).max()) - _SAME
    return Misses(probes, missed, wilson(missed, probes), cosine, len(held))


def _usual_cosine(held: Templates, place: str) -> float:
    """Of the median photo with the nearest other one of its person."""
    best: list[NDArray[np.float32]] = []
    ends = np.append(held.starts[1:], len(held.vectors))
    for start, end in zip(held.starts, ends, strict=True):
        scores = held.vectors[start:end] @ held.vectors[start:end].T
        np.fill_diagonal(scores, -np.inf)
        if end - start > 1:
            best.append(scores.max(axis=1))
    if not best:
        raise DataError(f"{place}: nobody has two photos; give --cosine, such as 0.9")
    return float(np.median(np.concatenate(best)))


def _turned(vector: NDArray[np.float32], cosine: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A vector (D,) of length one that has this cosine with the given one."""
    aside = rng.normal(size=vector.shape)
    aside -= (aside @ vector) * vector
    turned = cosine * vector + np.sqrt(max(1 - cosine**2, 0)) * aside / np.linalg.norm(aside)
    return np.asarray(turned, dtype=np.float32)
