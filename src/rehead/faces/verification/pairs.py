"""Pairs of faces and their similarity scores.

Embeddings have length one, and the score of a pair is their scalar product: the cosine of the angle between
them, 1 for equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

__all__ = ["Pairs", "all_pairs"]

_MOST_PAIRS = 4_000_000  # scored at once: 64 MB of scores and people


@dataclass(frozen=True)
class Pairs:
    """Pairs of photos that were compared.

    Parameters
    ----------
    score : float64 ndarray (m,)
        Higher for more alike; NaN where a face could not be found in one of the photos.
    first, second : int ndarray (m,)
        Person on each photo, as a code; the same where the pair is genuine.
    """

    score: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    def __post_init__(self) -> None:
        if not self.score.shape == self.first.shape == self.second.shape:
            raise DataError(
                f"scores {self.score.shape} and people {self.first.shape}, {self.second.shape}; "
                "expected one of each for every pair"
            )

    def __len__(self) -> int:
        return len(self.score)

    @property
    def same(self) -> NDArray[np.bool_]:
        """Which pairs are of one person, bool (m,)."""
        return np.asarray(self.first == self.second)

    def take(self, rows: NDArray[np.bool_]) -> Pairs:
        """The pairs of some rows, bool (m,)."""
        return Pairs(self.score[rows], self.first[rows], self.second[rows])


def all_pairs(embeddings: NDArray[np.float32], people: NDArray[np.intp], *, seed: int = 0) -> Pairs:
    """Every photo paired with every other.

    Parameters
    ----------
    embeddings : float32 ndarray (n, D)
    people : int ndarray (n,)
        Person on each photo, as a code.
    seed : int
        Beyond 4 million pairs, as many photos as make that many are drawn at random with this seed, two
        of each person before any third.
    """
    rows = np.arange(len(people))
    most = int((1 + (1 + 8 * _MOST_PAIRS) ** 0.5) / 2)
    if len(rows) > most:
        order = np.random.default_rng(seed).permutation(len(people))
        rank = np.empty(len(people), dtype=np.intp)
        by_person = order[np.argsort(people[order], kind="stable")]
        starts = np.searchsorted(people[by_person], people[by_person])
        rank[by_person] = np.arange(len(people)) - starts
        rows = np.sort(order[np.argsort(np.maximum(rank[order], 1), kind="stable")][:most])
    upper = np.triu_indices(len(rows), 1)
    values = (embeddings[rows] @ embeddings[rows].T)[upper].astype(np.float64)
    return Pairs(values, people[rows][upper[0]], people[rows][upper[1]])
