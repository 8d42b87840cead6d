"""Nearest neighbours of photos in feature space.

The distance of two photos is one minus the cosine of their features, averaged over the last two feature
levels.
It depends on these two photos alone: 0 is the same picture, 1 nothing in common. Of one level, two,
three, six and all, centred, scaled or as they are, none was better on every kind of photo, and two as they
are never far behind: the nearest photo was of the same class for 94.8, 83.2 and 72.0 % of three folders,
with one level for 94.5, 83.1 and 66.1 %.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.engines import find_engine
from ..core.parallel import one_blas_thread
from ..core.progress import Progress
from ..data import list_photos
from ..data.duplicates import l2_normalize
from ..errors import DatasetError, ImageError
from ..images import PreprocessSpec, read_image
from ..images.contact_sheet import Tile, draw_sheet, fitted
from ..images.picture import PictureMixin
from .backbone import load_backbone
from .encoder import PhotoEncoder

__all__ = ["Neighbour", "Neighbours", "draw_neighbours", "nearest", "similar"]

_N_LEVELS = 2  # see above
_TILE = 1024  # rows compared at a time, so that memory stays flat
_COLUMNS = 6
_SIDE = 150  # px


@dataclass(frozen=True)
class Neighbour:
    """A photo and its distance from the query.

    Parameters
    ----------
    photo : Path
    distance : float
        0, the same picture, to 2.
    same_file : bool
        Whether it is a copy, byte for byte.
    """

    photo: Path
    distance: float
    same_file: bool = False


@dataclass(frozen=True)
class Neighbours(PictureMixin):
    """The nearest photos, which a notebook shows as a picture.

    Parameters
    ----------
    photo : Path
        The query.
    nearest : tuple of Neighbour
        Nearest first.
    compared : int
        Photos that were compared.
    features : str
        Name of the backbone and of the levels.
    unreadable : tuple of ImageError
        Photos that could not be compared.
    """

    photo: Path
    nearest: tuple[Neighbour, ...]
    compared: int
    features: str
    unreadable: tuple[ImageError, ...]

    def draw(self) -> NDArray[np.uint8]:
        """A picture of them, see `draw_neighbours`."""
        return draw_neighbours(self)


def unit_features(features: NDArray[np.float32], blocks: Sequence[slice]) -> NDArray[np.float32]:
    """Features (n, D) of the last levels, scaled such that inner products are mean cosines."""
    used = list(blocks[-_N_LEVELS:])
    parts = [l2_normalize(features[:, block]) for block in used]
    scaled: NDArray[np.float32] = np.concatenate(parts, axis=1) * np.float32(len(used) ** -0.5)
    return scaled


@one_blas_thread
def nearest(
    queries: NDArray[np.float32], rows: NDArray[np.float32], blocks: Sequence[slice], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The nearest rows to each query.

    Parameters
    ----------
    queries, rows : float32 ndarray (m, D), (n, D)
        Features of all levels.
    blocks : sequence of slice
        Columns of each feature level.
    count : int

    Returns
    -------
    indices : int ndarray (m, min(count, n))
        Nearest first; of equally near ones the first.
    distances : float32 ndarray of that shape
        0 to 2.
    """
    unit_queries = unit_features(queries, blocks)
    distance = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), _TILE):
        part = slice(start, start + _TILE)
        distance[:, part] = 1 - unit_queries @ unit_features(rows[part], blocks).T
    order = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(distance, order, axis=1).clip(0, 2)


def similar(
    photos: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    count: int = 12,
    backbone: str | os.PathLike[str] = "efficientnet_lite0",
    preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    engine: str = "onnxruntime",
    cache: bool | str | os.PathLike[str] = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Neighbours:
    """Find the photos of a folder that look most like one photo.

    Parameters
    ----------
    photos : path
        A folder, searched at any depth. Where `to` lies in it, it is not compared with itself.
    to : path
        The photo.
    count : int
        How many to find.
    backbone : str or path
        A name of `rehead weights list`, an ONNX file, or a model file, whose own features then decide.
    preprocess, weights, engine, cache, threads, progress
        As in `ImageClassifier`.

    Returns
    -------
    Neighbours

    Raises
    ------
    ImageError
        `to` cannot be read.
    DatasetError
        There is no other photo, or none that can be read.
    """
    query = Path(to)
    listed = list_photos(photos)
    files = [file for file in listed if file.resolve() != query.resolve()]
    if not files:
        raise DatasetError(
            f"{os.fspath(photos)}: holds no other photo to compare with; give a folder with more photos"
        )
    network = load_backbone(backbone, preprocess=preprocess, weights=weights)
    network = network.with_engine(find_engine(engine)).for_photos([query, *files], threads=threads)
    encoder = PhotoEncoder(network, cache if isinstance(cache, bool) else Path(cache))
    found = encoder.extract([query, *files], threads=threads, progress=progress)
    failed = dict(found.errors)
    if 0 in failed:
        raise failed[0]
    rows = np.flatnonzero(found.readable)[1:]
    if not len(rows):
        raise DatasetError(f"{os.fspath(photos)}: none of {len(files)} photos can be read; {failed[1]}")
    order, distance = nearest(found.plain[:1], found.plain[rows], network.blocks, count)
    return Neighbours(
        query,
        tuple(
            Neighbour(files[rows[n] - 1], float(d), found.digests[rows[n]] == found.digests[0])
            for n, d in zip(order[0].tolist(), distance[0].tolist(), strict=True)
        ),
        len(rows),
        f"{network.name}, {' and '.join(level.name for level in network.levels[-_N_LEVELS:])}",
        tuple(failed.values()),
    )


def draw_neighbours(found: Neighbours) -> NDArray[np.uint8]:
    """A picture of the photo and its nearest ones with their distances, uint8 (height, width, 3)."""
    tiles = [
        Tile(_small(one.photo, _SIDE), (f"{one.distance:.3f}", f"{one.photo.parent.name}/{one.photo.name}"))
        for one in found.nearest
    ]
    return draw_sheet(
        tiles,
        columns=_COLUMNS,
        lead=Tile(_small(found.photo, 2 * _SIDE), (found.photo.name,)),
        title=f"The {len(tiles)} nearest of {found.compared:,} photos",
        note=f"Distance: one minus the mean cosine of features ({found.features}); 0 is the same picture.",
    )


def _small(photo: Path, side: int) -> NDArray[np.uint8]:
    return fitted(read_image(photo, at_least=(side, side)), side)
