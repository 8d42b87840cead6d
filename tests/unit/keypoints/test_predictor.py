"""A model whose numbers are not finite is refused: it would call everything, or nothing, reliable."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rehead.core.model_file import ModelFile, read_model_file
from rehead.errors import NotAModelFileError
from rehead.keypoints import KeypointPredictor

GOLDEN = Path(__file__).parents[2] / "golden" / "keypoints_protocol2.onnx"


def changed(**parts: Any) -> ModelFile:
    file = read_model_file(GOLDEN)
    return replace(file, manifest={**copy.deepcopy(dict(file.manifest)), **parts})


@pytest.mark.parametrize(
    "limit", [float("nan"), float("inf"), None, "high", 10**400], ids=lambda v: str(v)[:4]
)
def test_a_limit_that_is_no_number(limit: object) -> None:
    with pytest.raises(NotAModelFileError, match=r"keypoints_protocol2\.onnx: its manifest does not say"):
        KeypointPredictor(changed(operating_point={"outlier_score": limit}))


@pytest.mark.parametrize(
    "points", [None, {}, {"count": "many"}, {"count": 3, "names": ["a"]}, {"count": [3]}]
)
def test_points_that_the_manifest_does_not_say(points: object) -> None:
    with pytest.raises(NotAModelFileError, match="train the model again"):
        KeypointPredictor(changed(points=points))


def test_a_graph_that_gives_no_numbers() -> None:
    file = read_model_file(GOLDEN)
    model = onnx.load_from_string(file.graph)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), tensor.name))
    spoilt = KeypointPredictor(replace(file, graph=model.SerializeToString()))
    with pytest.raises(NotAModelFileError, match="not finite"):
        spoilt.predict(GOLDEN.with_suffix(".png"))
