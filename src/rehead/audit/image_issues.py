"""Photos that are blank, dark, blurred, tiny or of an odd shape, by how they look.

The limits were chosen by benchmarks/audit.py on photos of five collections and on faults made of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset
from .issues import Issue

__all__ = ["fault_findings"]

_BLANK = 8.0  # grey levels that the middle 98 % span; the least of 2,800 real photos spans 79
_DARK = 80.0  # of 255, the 99th percentile; the least of the same is 85, and 76 at 0.3 times the light
_BLURRED = (0.6, 0.83)  # blur effect: sharp collections reach 0.57, one of small face crops 0.83; the limit
# lies between the two, at
_FENCES = 2.2  # interquartile ranges above the collection's third quartile; Hoaglin and Iglewicz 1987
_TINY = 32  # pixels of the shorter side: enlarged eight times for a network that sees 256
_NARROW = 0.35  # shorter by longer side, the default of cleanvision (Apache-2.0)


def fault_findings(dataset: Dataset, looks: NDArray[Any]) -> list[Issue]:
    """Faults of single photos; where most have the same one, a finding that says so instead.

    Parameters
    ----------
    dataset : Dataset
    looks : ndarray of `IMAGE_STATS` (n,)
        Photos that cannot be read have a width of 0, and no faults.
    """
    seen = looks["width"] > 0
    short = np.minimum(looks["width"], looks["height"])
    ratio = short / np.maximum(np.maximum(looks["width"], looks["height"]), 1)
    blank = seen & (looks["contrast"] < _BLANK)
    tiny = seen & (short < _TINY)
    dark = seen & ~blank & (looks["light"] < _DARK)
    blurred = seen & ~blank & ~tiny & (looks["blur"] > _limit(looks["blur"][seen]))
    shape = seen & (ratio < _NARROW)
    sizes = [
        f"{width} x {height} pixels" for width, height in zip(looks["width"], looks["height"], strict=True)
    ]
    contrast = [f"contrast {value:.0f} of 255" for value in looks["contrast"]]
    light = [f"brightest {value:.0f} of 255" for value in looks["light"]]
    blur = [f"blur {value:.2f} of 1" for value in looks["blur"]]
    return [
        *_of_kind("blank", "blank", dataset, blank, 1 - looks["contrast"] / 255, contrast),
        *_of_kind("dark", "very dark", dataset, dark, 1 - looks["light"] / 255, light),
        *_of_kind("blurred", "blurred", dataset, blurred, looks["blur"], blur),
        *_of_kind("tiny", "tiny", dataset, tiny, 1 - short / _TINY, sizes),
        *_of_kind("shape", "very long or very tall", dataset, shape, 1 - ratio, sizes),
    ]


def _limit(blur: NDArray[np.float32]) -> float:
    """The blur effect above which a photo of this collection counts as blurred."""
    low, high = np.percentile(blur, (25, 75)) if len(blur) else (0.0, 0.0)
    return float(np.clip(high + _FENCES * (high - low), *_BLURRED))


def _of_kind(
    kind: str,
    what: str,
    dataset: Dataset,
    found: NDArray[np.bool_],
    score: NDArray[Any],
    detail: list[str],
) -> list[Issue]:
    rows = np.flatnonzero(found)
    if len(rows) > len(dataset) / 2 and len(rows) > 1:
        return [Issue(kind, (), f"{len(rows)} of {len(dataset)} photos are {what}", 1.0)]
    order = rows[np.argsort(-score[rows], kind="stable")]
    labels = dataset.labels.tolist()
    return [Issue(kind, (dataset.ids[n],), detail[n], float(score[n]), (labels[n],)) for n in order]
