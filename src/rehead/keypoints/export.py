"""The graph of a model file of keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backbones import graphs
from ..backbones.graphs.keypoints import keypoint_model
from .cascade import Cascade

__all__ = ["model_graph"]


def model_graph(trunks: Sequence[bytes], cascade: Cascade) -> bytes:
    """Serialised ONNX: `image` to `keypoints`, `spread` (covariances), `confidence` and
    `outlier_score`.

    `trunks` are serialised ONNX, one for each of the cascade's stages.
    """
    model = keypoint_model(
        [graphs.load(trunk) for trunk in trunks],
        cascade.stages,
        aligner=cascade.alignment.matrix.astype(np.float32),
        offset=cascade.alignment.offset.astype(np.float32),
        uncertainty=cascade.uncertainty,
    )
    model.producer_name = "rehead"
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph
