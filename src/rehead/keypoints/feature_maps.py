"""Spatial feature maps of several levels of a network, for views of photos.

A view is a crop of a photo or its mirror image. Keypoints need the place of a feature, so nothing is pooled:
a view of 192 px has 30,000 numbers where a classifier's row has 1,280. They are not cached on disk (the
second stage's depend on the folds, and a view takes 5 ms to compute, not much more than to read), and are
held in memory as float16: after standardisation the rounding error is a thousandth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backbones import graphs
from ..backbones.backbone import Backbone
from ..core.parallel import map_in_order
from ..core.photos import File
from ..core.progress import Progress, tracked
from ..core.runtime import open_session, trim_memory
from ..errors import DataError, WeightsError
from ..images import load_image

__all__ = [
    "ExtractedMaps",
    "FeatureMap",
    "candidate_feature_maps",
    "extract_maps",
    "feature_maps_of",
    "open_crop",
    "open_maps",
]

_SIDES = (4, 20)  # pixels of a map: coarser ones are too imprecise, the features of finer ones too local
# (benchmarks/keypoints.py: of 224 px, maps of up to 40 change nothing)
_FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class FeatureMap:
    """A level of the network that has a spatial map, and the map's shape."""

    name: str
    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Numbers of the map of one view."""
        return self.channels * self.height * self.width


class ExtractedMaps(NamedTuple):
    """Feature maps and their values for V views of n photos, each float16 (V, n, channels, height, width)."""

    feature_maps: tuple[FeatureMap, ...]
    values: tuple[NDArray[np.float16], ...]


def feature_maps_of(backbone: Backbone) -> list[FeatureMap]:
    """Every level of the network that has a map, first to last."""
    found = []
    for output in backbone.model.graph.output:
        shape = [d.dim_value for d in output.type.tensor_type.shape.dim]
        if len(shape) == 4 and min(shape[1:]) > 0:
            found.append(FeatureMap(output.name, *shape[1:]))
    return found


def candidate_feature_maps(backbone: Backbone) -> list[tuple[FeatureMap, ...]]:
    """Sets of feature maps for the cross-validation to choose from, the smallest first.

    Levels of one shape form a stage of the network. Of the two deepest stages that have more than one block
    and maps of a suitable size, the first map and the last of the deeper and the last of the other are the
    candidates.

    Raises
    ------
    WeightsError
        The network has no map of 4 to 20 pixels a side.
    """
    fitting = [m for m in feature_maps_of(backbone) if _SIDES[0] <= min(m.height, m.width) <= _SIDES[1]]
    if not fitting:
        raise WeightsError(
            f"{backbone.name}: none of its outputs is a map of {_SIDES[0]} to {_SIDES[1]} pixels a side, "
            "which keypoints need; give an ONNX file with such an output"
        )
    stages = [list(of) for _, of in groupby(fitting, key=lambda m: (m.channels, m.height, m.width))]
    main = [stage for stage in stages if len(stage) > 1] or stages
    deep, before = main[-1], main[-2] if len(main) > 1 else []
    first, rest = (deep[0],), tuple(deep[-1:]) if len(deep) > 1 else ()
    sets = [first, (*before[-1:], *first), (*before[-1:], *first, *rest)]
    return list(dict.fromkeys(sets))


def open_maps(backbone: Backbone, feature_maps: Sequence[FeatureMap]) -> Any:
    """A session, on one thread, from `image`, uint8 (N, S, S, 3), to these feature maps by their names."""
    model = graphs.truncated(backbone.model, {m.name: m.name for m in feature_maps}, backbone.preprocess.size)
    return open_session(model.SerializeToString(), threads=1, of=backbone.name)


def open_crop(backbone: Backbone) -> Any:
    """A session, on one thread, from `image`, uint8, and `crop_transform`, float32 (N, 2, 3), to the crop."""
    from ..backbones.graphs.keypoints import crop_model

    return open_session(crop_model(backbone.preprocess.size).SerializeToString(), threads=1)


def extract_maps(
    paths: Sequence[File],
    crop_transforms: NDArray[np.float64] | None,
    backbone: Backbone,
    feature_maps: Sequence[FeatureMap],
    *,
    mirror: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ExtractedMaps:
    """Feature maps of crops of photos.

    Parameters
    ----------
    paths : sequence of path or bytes
        n photos.
    crop_transforms : float64 ndarray (C, n, 2, 3) or None
        C crops of each photo, from points of the crop to points of the photo, both in units of the side;
        None for the whole photo.
    backbone : Backbone
    feature_maps : sequence of FeatureMap
    mirror : bool
        Whether each crop is followed by its mirror image: there are 2C views then.
    progress : callable, optional
        Called from this thread with the number of photos that are done, and n.

    Raises
    ------
    ImageError
        A photo is unreadable.
    """
    names = [feature_map.name for feature_map in feature_maps]
    trunk = open_maps(backbone, feature_maps)
    crop = None if crop_transforms is None else open_crop(backbone)
    transforms = None if crop_transforms is None else crop_transforms.astype(np.float32)
    count = (1 if transforms is None else len(transforms)) * (1 + mirror)
    values = tuple(
        np.empty((count, len(paths), m.channels, m.height, m.width), np.float16) for m in feature_maps
    )

    def views_of(n: int) -> Iterator[NDArray[np.uint8]]:
        """The views of a photo, uint8 (1, S, S, 3)."""
        photo = load_image(paths[n], backbone.preprocess)[None]
        crops = [photo]
        if crop is not None and transforms is not None:
            crops = [
                crop.run(None, {"image": photo, "crop_transform": of[n : n + 1]})[0] for of in transforms
            ]
        for pixels in crops:
            yield pixels
            if mirror:
                yield np.ascontiguousarray(pixels[:, :, ::-1])

    def run(n: int) -> None:
        for v, pixels in enumerate(views_of(n)):  # one at a time: its maps stay in the processor's cache
            for array, maps in zip(values, trunk.run(names, {"image": pixels}), strict=True):
                array[v, n] = maps[0].clip(-_FLOAT16_MAX, _FLOAT16_MAX)

    try:
        for _ in tracked(
            map_in_order(run, range(len(paths)), threads=threads), len(paths), progress, "Looking at photos"
        ):
            pass
    finally:
        trim_memory()
    if not all(np.isfinite(array).all() for array in values):
        raise DataError(f"{backbone.name}: the network's maps hold values that are no numbers for some photo")
    return ExtractedMaps(tuple(feature_maps), values)
