"""A classifier's model file: its graph, and the check that it answers as fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones import graphs
from ..backbones.backbone import Backbone
from ..core.photos import File
from ..errors import ModelFileError
from ..heads import FittedHead
from ..heads.mahalanobis import RelativeMahalanobis
from ..images import PreprocessSpec

__all__ = ["check_parity", "classifier_graph"]

_PARITY = 1e-4  # largest difference between the fitted head and the file that is written, in probability
_CHECKED = 4  # photos


def classifier_graph(
    backbone: Backbone,
    head: FittedHead,
    temperature: float,
    outlier_model: RelativeMahalanobis,
    resize: PreprocessSpec | None,
) -> bytes:
    """Serialised ONNX: `image` to `probabilities`, `features`, `outlier_score`; see `graphs.linear_model`."""
    model = graphs.linear_model(
        backbone.model,
        [level.name for level in backbone.levels],
        first=backbone.blocks[-head.chosen.n_levels].start,
        weight=(head.weight / temperature).astype(np.float32),
        bias=(head.bias / temperature).astype(np.float32),
        outlier=outlier_model,
        resize=resize,
    )
    model.producer_name = "rehead"
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def check_parity(
    session: Any,
    pixels: Callable[[Sequence[File]], NDArray[np.uint8]],
    probabilities: Callable[[Sequence[File]], NDArray[np.float64]],
    photos: Sequence[File],
) -> None:
    """Run an opened graph on a few photos; ModelFileError where its answers are not those expected, to 1e-4.

    Parameters
    ----------
    session : InferenceSession
    pixels, probabilities : callable
        What the network gets of photos, and the answers that are expected, (n, K).
    photos : sequence of path or bytes
    """
    some = photos[:: max(1, len(photos) // _CHECKED)][:_CHECKED]
    found, _, _ = session.run(None, {"image": pixels(some)})
    difference = float(np.abs(found - probabilities(some)).max())
    if not difference <= _PARITY:
        raise ModelFileError(
            f"the file to be written differs from the fitted head by {difference:.1e} in probability, "
            f"more than {_PARITY}; this is a defect of rehead or of the backbone's graph; please tell us"
        )
