"""Faces of people whom nobody has named, put into groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["MOST_FACES", "group_faces"]

MOST_FACES = 20_000
"""Faces that can be grouped at once: their distances take 1.6 GB."""

_NEVER = 4.0  # twice the largest distance of two faces


def group_faces(
    vectors: NDArray[np.float32], threshold: float, photos: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Group faces by average linkage, until no two groups are as alike as `threshold`.

    Parameters
    ----------
    vectors : float32 ndarray (n, D)
        Embeddings of length one.
    threshold : float
        Mean score of the pairs across two groups from which they are joined.
    photos : int ndarray (n,), optional
        Photo of each face: two faces of one photo are two people.

    Returns
    -------
    int ndarray (n,)
        Group of each face, the largest group 0, of equals the one whose first face comes first.
    """
    n = len(vectors)
    if n > MOST_FACES:
        raise DataError(f"{n:,} faces are too many to group at once; give at most {MOST_FACES:,}")
    if n < 2:
        return np.zeros(n, dtype=np.intp)
    from sklearn.cluster import AgglomerativeClustering

    distance = 1 - vectors @ vectors.T
    if photos is not None:
        distance[photos[:, None] == photos[None, :]] = _NEVER
    np.fill_diagonal(distance, 0.0)
    grouping = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    labels = grouping.fit_predict(distance.clip(0))
    _, first, label, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), dtype=np.intp)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    ranked: NDArray[np.intp] = rank[label]
    return ranked
