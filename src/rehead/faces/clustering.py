"""The faces of many photos, looked at and grouped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress
from ..errors import DataError, ImageError
from .pipeline import FacePipeline
from .types import Face
from .verification.calibration import Calibration
from .verification.verify import FALSE_MATCHES, calibration_for

__all__ = ["MOST_FACES", "FaceClusters", "group_faces", "group_photos"]


@dataclass(frozen=True)
class FaceClusters:
    """Faces by person, as far as faces alone can tell.

    Parameters
    ----------
    groups : list of list of (str, Face)
        The photo's path and the face; the largest group first.
    without : list of str
        Photos in which no face was found.
    unreadable : list of (str, str)
        Path and reason.
    threshold : float
        Mean score across two groups from which they were joined.
    """

    groups: list[list[tuple[str, Face]]]
    without: list[str]
    unreadable: list[tuple[str, str]]
    threshold: float


def group_photos(
    photos: Sequence[Path],
    pipeline: FacePipeline,
    *,
    rate: float | None = None,
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> FaceClusters:
    """Group all faces of photos.

    Parameters
    ----------
    photos : sequence of path
    pipeline : FacePipeline
    rate : float, optional
        Of false matches, at which the threshold is; 0.001, or as low as is supported, by default.
    calibration : Calibration, optional
        The embedder's own by default.

    Raises
    ------
    DataError
        No photo can be read, there is no calibration, or the rate is not supported.
    """
    known = calibration_for(pipeline, calibration)
    threshold = known.at(max(FALSE_MATCHES, known.least) if rate is None else rate).threshold
    faces: list[tuple[str, Face]] = []
    vectors, numbers, without, unreadable = [], [], [], []
    for number, (photo, seen) in enumerate(
        zip(photos, pipeline.look_each(photos, "all", progress=progress), strict=True)
    ):
        if isinstance(seen, ImageError):
            unreadable.append((str(photo), seen.reason))
        elif not seen.faces:
            without.append(str(photo))
        else:
            faces += [(str(photo), face) for face in seen.faces]
            numbers += [number] * len(seen.faces)
            vectors.append(seen.vectors)
    if len(unreadable) == len(photos):
        raise DataError(f"none of the {len(photos)} photos can be read; {': '.join(unreadable[0])}")
    if not faces:
        return FaceClusters([], without, unreadable, threshold)
    group = group_faces(np.concatenate(vectors), threshold, np.array(numbers))
    members = [[faces[n] for n in np.flatnonzero(group == g)] for g in range(int(group.max()) + 1)]
    return FaceClusters(members, without, unreadable, threshold)


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
