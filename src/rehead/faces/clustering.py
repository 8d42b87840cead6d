"""Clustering: the faces of many photos, grouped by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress
from ..errors import DataError, ImageError
from .gallery.threshold import TARGET_FPIR
from .pipeline import FacePipeline
from .types import Face
from .verification.calibration import Calibration
from .verification.verify import calibration_for

__all__ = ["MAX_FACES", "FaceClusters", "cluster_faces", "cluster_photos"]


@dataclass(frozen=True)
class FaceClusters:
    """Faces of photos, clustered by person.

    Parameters
    ----------
    groups : list of list of (str, Face)
        The photo's path and the face; the largest group first.
    without : list of str
        Photos in which no face was found.
    unreadable : list of (str, str)
        Path and reason.
    threshold : float
        Mean score across two groups from which they were merged.
    fmr : float
        False-match rate of a pair at that score.
    """

    groups: list[list[tuple[str, Face]]]
    without: list[str]
    unreadable: list[tuple[str, str]]
    threshold: float
    fmr: float


def cluster_photos(
    photos: Sequence[Path],
    pipeline: FacePipeline,
    *,
    target_fmr: float | None = None,
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> FaceClusters:
    """Cluster all faces of photos by person.

    Parameters
    ----------
    photos : sequence of path
    pipeline : FacePipeline
    target_fmr : float, optional
        False-match rate of a pair that sets the threshold. By default `TARGET_FPIR` divided by the number
        of faces, as in a gallery of so many templates, or the lowest supported. At ten times that two people
        are merged among 300 photos of 75 (benchmarks/calibration.py).
    calibration : Calibration, optional
        The one shipped for the embedder by default.

    Raises
    ------
    DataError
        No photo can be read, there is no calibration, or the target is not supported.
    """
    calibration = calibration_for(pipeline, calibration)
    given = None if target_fmr is None else calibration.at(target_fmr)
    faces: list[tuple[str, Face]] = []
    vectors, photo_of, without, unreadable = [], [], [], []
    for number, (photo, result) in enumerate(
        zip(photos, pipeline.analyze_each(photos, "all", progress=progress), strict=True)
    ):
        if isinstance(result, ImageError):
            unreadable.append((str(photo), result.reason))
        elif not result.faces:
            without.append(str(photo))
        else:
            faces += [(str(photo), face) for face in result.faces]
            photo_of += [number] * len(result.faces)
            vectors.append(result.vectors)
    if len(unreadable) == len(photos):
        raise DataError(f"none of the {len(photos)} photos can be read; {': '.join(unreadable[0])}")
    threshold = given or calibration.for_gallery(TARGET_FPIR, len(faces))[0]
    groups: list[list[tuple[str, Face]]] = []
    if faces:
        cluster = cluster_faces(np.concatenate(vectors), threshold.value, np.array(photo_of))
        groups = [[faces[n] for n in np.flatnonzero(cluster == c)] for c in range(int(cluster.max()) + 1)]
    return FaceClusters(groups, without, unreadable, threshold.value, threshold.target_fmr)


MAX_FACES = 20_000
"""Faces that can be clustered at once: their distances take 1.6 GB."""


def cluster_faces(
    vectors: NDArray[np.float32], threshold: float, photos: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Cluster faces by average linkage, until no two clusters are as similar as `threshold`.

    Parameters
    ----------
    vectors : float32 ndarray (n, D)
        Embeddings of length one.
    threshold : float
        Mean score of the pairs across two clusters from which they are merged.
    photos : int ndarray (n,), optional
        Photo of each face; faces of one photo are different people, whatever their scores.

    Returns
    -------
    int ndarray (n,)
        Cluster of each face: 0 is the largest, of equals the one whose first face comes first.
    """
    n = len(vectors)
    if n > MAX_FACES:
        raise DataError(f"{n:,} faces are too many to group at once; give at most {MAX_FACES:,}")
    if n < 2:
        return np.zeros(n, dtype=np.intp)
    from sklearn.cluster import AgglomerativeClustering

    distance = 1 - vectors @ vectors.T
    if photos is not None:
        # one of the at most n²/4 pairs of two clusters brings their mean to 4, beyond all distances
        distance[photos[:, None] == photos[None, :]] = n**2
    np.fill_diagonal(distance, 0.0)
    clustering = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    labels = clustering.fit_predict(distance.clip(0))
    _, first, label, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), dtype=np.intp)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    return np.asarray(rank[label])
