"""The faces of many photos, looked at and grouped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, ImageError
from ..features import Progress
from .cluster import group_faces
from .face import Face
from .pipeline import FacePipeline
from .thresholds import Calibration
from .verify import FALSE_MATCHES, calibration_for

__all__ = ["Groups", "group_photos"]


@dataclass(frozen=True)
class Groups:
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
) -> Groups:
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
        return Groups([], without, unreadable, threshold)
    group = group_faces(np.concatenate(vectors), threshold, np.array(numbers))
    members = [[faces[n] for n in np.flatnonzero(group == g)] for g in range(int(group.max()) + 1)]
    return Groups(members, without, unreadable, threshold)
