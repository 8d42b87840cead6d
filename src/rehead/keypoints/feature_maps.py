"""Spatial maps of several depths, for views of photos.

Keypoints need to know where in the photo something is, so nothing is pooled: a view of 192 px has 30,000
numbers where a classifier's row has 1,280. They are not kept on disk (the second stage's depend on
folds, and a view takes 5 ms to compute again, not much more than to read), and in memory as half
floats: after standardisation their rounding error is a thousandth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..core.progress import Progress
from ..core.runtime import cpu_count, open_session, trim_memory
from ..errors import DataError, WeightsError
from ..images import load_image

__all__ = [
    "FeatureMap",
    "Maps",
    "candidate_sites",
    "extract_maps",
    "sites_of",
]


_SIDES = (4, 20)  # pixels of a map: coarser ones cannot say where, finer ones see too little of what
# (benchmarks/keypoints.py: of 224 px, maps of up to 40 change nothing)
_LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class FeatureMap:
    """A depth whose map is used, and the map's shape."""

    name: str
    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Numbers of the map of one view."""
        return self.channels * self.height * self.width


class Maps(NamedTuple):
    """Maps of views: for each site float16 (V, n, channels, height, width)."""

    sites: tuple[FeatureMap, ...]
    rows: tuple[NDArray[np.float16], ...]


def sites_of(backbone: Backbone) -> list[FeatureMap]:
    """Every depth of the network that has a map, first to last."""
    import onnx

    sites = []
    for output in onnx.load_from_string(backbone.trunk).graph.output:
        shape = [d.dim_value for d in output.type.tensor_type.shape.dim]
        if len(shape) == 4 and min(shape[1:]) > 0:
            sites.append(FeatureMap(output.name, *shape[1:]))
    return sites


def candidate_sites(backbone: Backbone) -> list[tuple[FeatureMap, ...]]:
    """Sets of depths for the folds to choose from, the smallest first.

    Depths of one shape form a stage. Of the two deepest stages that have more than one block and maps of a
    suitable size, the first map and the last of the deeper and the last of the other are the candidates;
    the folds choose among their sets.

    Raises
    ------
    WeightsError
        The network has no map of 4 to 20 pixels a side.
    """
    fitting = [s for s in sites_of(backbone) if _SIDES[0] <= min(s.height, s.width) <= _SIDES[1]]
    if not fitting:
        raise WeightsError(
            f"{backbone.name}: none of its outputs is a map of {_SIDES[0]} to {_SIDES[1]} pixels a side, "
            "which keypoints need; give an ONNX file with such an output"
        )
    stages: list[list[FeatureMap]] = []
    for site in fitting:
        shape = (site.channels, site.height, site.width)
        if stages and (stages[-1][0].channels, stages[-1][0].height, stages[-1][0].width) == shape:
            stages[-1].append(site)
        else:
            stages.append([site])
    main = [stage for stage in stages if len(stage) > 1] or stages
    deep, before = main[-1], main[-2] if len(main) > 1 else []
    first, rest = (deep[0],), tuple(deep[-1:]) if len(deep) > 1 else ()
    sets = [first, (*before[-1:], *first), (*before[-1:], *first, *rest)]
    return list(dict.fromkeys(sets))


def extract_maps(
    paths: Sequence[Path],
    views: NDArray[np.float64] | None,
    backbone: Backbone,
    sites: Sequence[FeatureMap],
    *,
    mirror: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Maps:
    """Maps of views of photos.

    Parameters
    ----------
    paths : sequence of Path
        n photos.
    views : float64 ndarray (V, n, 2, 3) or None
        What each view of each photo looks at, from points of the square that is seen to points of the photo,
        both in units of the side; None for the whole photo.
    backbone : Backbone
    sites : sequence of FeatureMap
    mirror : bool
        Whether each view is followed by its mirror image: the maps are then those of 2V views.
    progress : callable, optional
        Called from this thread with the number of photos that are done, and n.

    Raises
    ------
    ImageError
        A photo is unreadable.
    """
    import onnx

    from ..backbones.graphs.keypoints import maps_of, sampler

    names = [site.name for site in sites]
    trunk = _session(maps_of(onnx.load_from_string(backbone.trunk), names))
    sample = None if views is None else _session(sampler(backbone.preprocess.size))
    looks = None if views is None else views.astype(np.float32)
    count = (1 if views is None else len(views)) * (1 + mirror)
    rows = tuple(np.empty((count, len(paths), s.channels, s.height, s.width), np.float16) for s in sites)

    def seen(n: int) -> Iterator[NDArray[np.uint8]]:
        """The views of a photo, uint8 (1, S, S, 3)."""
        pixels = load_image(paths[n], backbone.preprocess)[None]
        shown = [pixels]
        if sample is not None and looks is not None:
            shown = [sample.run(None, {"image": pixels, "view": view[n : n + 1]})[0] for view in looks]
        for view in shown:
            yield view
            if mirror:
                yield np.ascontiguousarray(view[:, :, ::-1])

    def look(n: int) -> None:
        for v, pixels in enumerate(seen(n)):  # one at a time: its maps then stay in the processor's cache
            for row, values in zip(rows, trunk.run(names, {"image": pixels}), strict=True):
                row[v, n] = values[0].clip(-_LARGEST_HALF, _LARGEST_HALF)

    pool = ThreadPoolExecutor(threads or cpu_count())
    try:
        for done, _ in enumerate(pool.map(look, range(len(paths))), 1):
            if progress:
                progress(done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
        trim_memory()
    if not all(np.isfinite(row).all() for row in rows):
        raise DataError(f"{backbone.name}: the network's maps hold values that are no numbers for some photo")
    return Maps(tuple(sites), rows)


def _session(model: Any) -> Any:
    return open_session(model.SerializeToString(), threads=1)
