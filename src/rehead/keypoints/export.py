"""The model file of keypoints: the container of a classifier's, of another kind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backbones.graphs.keypoints import keypoint_model
from ..core.model_file import write_model_file
from .cascade import Cascade

__all__ = ["KIND", "model_graph", "write_keypoints"]

KIND = "keypoints"


def model_graph(trunks: Sequence[bytes], cascade: Cascade) -> bytes:
    """Serialised ONNX: `image` to `keypoints`, `spread` (covariances), `confidence` and
    `outlier_score`.

    `trunks` are serialised ONNX, one for each of the cascade's stages.
    """
    import onnx

    model = keypoint_model(
        [onnx.load_from_string(trunk) for trunk in trunks],
        cascade.stages,
        aligner=cascade.alignment.matrix.astype(np.float32),
        offset=cascade.alignment.offset.astype(np.float32),
        uncertainty=cascade.uncertainty,
    )
    model.producer_name = "rehead"
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def write_keypoints(path: str | os.PathLike[str], graph: bytes, manifest: Mapping[str, Any]) -> None:
    """Write the model file, whole or not at all (OutputError)."""
    write_model_file(path, graph, {"kind": KIND, **manifest})
