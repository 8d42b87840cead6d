"""What a classifier is fitted on: the features of photos, their classes, and which belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone

__all__ = ["TrainingFeatures"]


@dataclass(frozen=True)
class TrainingFeatures:
    """What is known of the photos before anything is fitted, a row for each that is readable.

    Parameters
    ----------
    network : Backbone
    plain, mirrored : float32 ndarray (n, D)
        Features of the photos and of their mirror images; None where those were not asked for.
    target : int ndarray (n,)
        Class of each, 0..K-1.
    group : int ndarray (n,)
        Copies and near-copies, and photos of one given group, share a number.
    readable : bool ndarray
        Which of the photos that were given these are.
    """

    network: Backbone
    plain: NDArray[np.float32]
    mirrored: NDArray[np.float32] | None
    target: NDArray[np.intp]
    group: NDArray[np.intp]
    readable: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_]) -> TrainingFeatures:
        """What is known of some of them."""
        return replace(
            self,
            plain=self.plain[rows],
            mirrored=None if self.mirrored is None else self.mirrored[rows],
            target=self.target[rows],
            group=self.group[rows],
        )
