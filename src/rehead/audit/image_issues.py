"""Photos that are blank, dark, blurred, tiny or of an extreme aspect ratio, by their statistics.

The limits were chosen by benchmarks/audit.py on photos of five collections and on faults planted in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset
from .issues import ISSUE_TYPES, Issue

__all__ = ["image_issues"]

_BLANK = 8.0  # range of the middle 98 % of the grey levels; 79 or more in 2,800 real photos
_DARK = 80.0  # of 255, the 99th percentile; the least of the same is 85, and 76 at 0.3 times the light
_BLURRED = (0.6, 0.83)  # blur effect: sharp collections reach 0.57, one of small face crops 0.83; the limit
# lies between the two, at
_FENCES = 2.2  # interquartile ranges above the collection's third quartile; Hoaglin and Iglewicz 1987
_TINY = 32  # pixels of the shorter side: enlarged eight times for a network that sees 256
_NARROW = 0.35  # shorter by longer side, the default of cleanvision (Apache-2.0)


def image_issues(dataset: Dataset, stats: NDArray[Any]) -> list[Issue]:
    """Faults of single photos; where most have the same one, one issue that says so instead.

    Parameters
    ----------
    dataset : Dataset
    stats : ndarray of `IMAGE_STATS` (n,)
        Photos that cannot be read have a width of 0, and no faults.
    """
    readable = stats["width"] > 0
    short = np.minimum(stats["width"], stats["height"])
    ratio = short / np.maximum(np.maximum(stats["width"], stats["height"]), 1)
    blank = readable & (stats["contrast"] < _BLANK)
    tiny = readable & (short < _TINY)
    dark = readable & ~blank & (stats["light"] < _DARK)
    blurred = readable & ~blank & ~tiny & (stats["blur"] > _limit(stats["blur"][readable]))
    shape = readable & (ratio < _NARROW)
    sizes = [f"{width} x {height} pixels" for width, height in stats[["width", "height"]]]
    contrast = [f"contrast {value:.0f} of 255" for value in stats["contrast"]]
    light = [f"brightest {value:.0f} of 255" for value in stats["light"]]
    cut = ["a JPEG without its end marker"] * len(dataset)
    blur = [f"blur {value:.2f} of 1" for value in stats["blur"]]
    return [
        *_issues_of("blank", dataset, blank, 1 - stats["contrast"] / 255, contrast),
        *_issues_of("dark", dataset, dark, 1 - stats["light"] / 255, light),
        *_issues_of("blurred", dataset, blurred, stats["blur"], blur),
        *_issues_of("tiny", dataset, tiny, 1 - short / _TINY, sizes),
        *_issues_of("shape", dataset, shape, 1 - ratio, sizes),
        *_issues_of("unended", dataset, stats["unended"], np.ones(len(dataset)), cut),
    ]


def _limit(blur: NDArray[np.float32]) -> float:
    """The blur effect above which a photo of this collection counts as blurred."""
    low, high = np.percentile(blur, (25, 75)) if len(blur) else (0.0, 0.0)
    return float(np.clip(high + _FENCES * (high - low), *_BLURRED))


def _issues_of(
    kind: str, dataset: Dataset, found: NDArray[np.bool_], score: NDArray[Any], detail: list[str]
) -> list[Issue]:
    rows = np.flatnonzero(found)
    if len(rows) > len(dataset) / 2 and len(rows) > 1:
        phrase = ISSUE_TYPES[kind].phrase
        return [Issue(kind, (), f"{len(rows)} of {len(dataset)} photos are {phrase}", 1.0)]
    order = rows[np.argsort(-score[rows], kind="stable")]
    labels = dataset.labels.tolist()
    return [Issue(kind, (dataset.ids[n],), detail[n], float(score[n]), (labels[n],)) for n in order]
