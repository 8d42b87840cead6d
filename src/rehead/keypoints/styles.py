"""Training photos as another camera takes them: grey, of a fifth of the size, and bright.

The outlier model learns from them, so that a photo is not called unlike the training photos for its style
alone. Features of 64 photos are enough. On 120 photos of others, the share that is called unlike is 2.5 %
where they are grey (20 % before), 0 % of a fifth of the size, 6.7 % bright (17.5 % without them), 1.7 %
dark; of 185 photos without a face 100 % (benchmarks/keypoints.py). What it costs is 2 of 34 seconds of
processor time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..core.parallel import map_in_order
from ..core.photos import File
from ..images import camera_view, load_image
from .feature_maps import FeatureMap, open_crop, open_maps

__all__ = ["SAMPLE", "STYLES", "styled_features"]

SAMPLE = 64
"""Photos that are enough."""

STYLES = ("grey", "blurred or small", "bright")
"""Of `images.CAMERA_VIEWS`."""


def styled_features(
    paths: Sequence[File],
    crop_transforms: NDArray[np.float64] | None,
    backbone: Backbone,
    feature_map: FeatureMap,
    *,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Means of a feature map of n photos in each style, float32 (V, n, channels).

    `crop_transforms` (n, 2, 3) are from points of the crop to points of the photo, in units of the side; None
    for the whole photo.
    """
    trunk = open_maps(backbone, [feature_map])
    crop = None if crop_transforms is None else open_crop(backbone)

    def run(n: int) -> list[NDArray[np.float32]]:
        photo, rows = load_image(paths[n], backbone.preprocess), []
        for style in STYLES:
            pixels = camera_view(photo, style)[None]
            if crop is not None and crop_transforms is not None:
                transform = crop_transforms[n : n + 1].astype(np.float32)
                (pixels,) = crop.run(None, {"image": pixels, "crop_transform": transform})
            (maps,) = trunk.run([feature_map.name], {"image": pixels})
            rows.append(maps[0].mean(axis=(1, 2), dtype=np.float32))
        return rows

    found = list(map_in_order(run, range(len(paths)), threads=threads))
    return np.asarray(found, dtype=np.float32).swapaxes(0, 1)
