"""A model whose numbers are not finite is refused: it would call everything, or nothing, reliable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rehead.core.model_file import read_model_file, write_model_file
from rehead.errors import ModelFileError, NotAModelFileError
from rehead.keypoints import KeypointPredictor, load_keypoints

GOLDEN = Path(__file__).parents[2] / "golden" / "keypoints_protocol2.onnx"


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """The golden file with other parts of its manifest."""

    def write(**parts: Any) -> Path:
        file = read_model_file(GOLDEN)
        path = tmp_path / "changed.onnx"
        write_model_file(
            path, onnx.load_from_string(file.graph).SerializeToString(), {**file.manifest, **parts}
        )
        return path

    return write


@pytest.mark.parametrize(
    "limit", [float("nan"), float("inf"), None, "high", 10**400], ids=lambda v: str(v)[:4]
)
def test_a_limit_that_is_no_number(limit: object, changed: Callable[..., Path]) -> None:
    with pytest.raises(ModelFileError, match=r"changed\.onnx: its manifest cannot be used: operating_point"):
        load_keypoints(changed(operating_point={"outlier_score": limit}))


@pytest.mark.parametrize(
    "points", [None, {}, {"count": "many"}, {"count": 3, "names": ["a"]}, {"count": [3]}]
)
def test_points_that_the_manifest_does_not_say(points: object, changed: Callable[..., Path]) -> None:
    with pytest.raises(ModelFileError, match=r"changed\.onnx: its manifest cannot be used: points"):
        load_keypoints(changed(points=points))


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
