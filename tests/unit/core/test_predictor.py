"""What the predictors of all kinds of model files share, on a graph of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.model_file import ModelFile
from rehead.core.photos import File
from rehead.core.predictor import BasePredictor
from rehead.core.preprocess import PreprocessSpec
from rehead.errors import ImageError, NotAModelFileError

onnx = pytest.importorskip("onnx")
SIDE = 4


class Brightness(BasePredictor[float]):
    """The mean of a photo that is filled with its own first byte; no photo where that is 0."""

    kind = "brightness"

    def _outputs(self) -> Mapping[str, int | None]:
        return {"mean": 1}

    def _answer(self, photo: File, session: Any) -> float | ImageError:
        assert isinstance(photo, bytes)
        if not photo[0]:
            return ImageError(None, "dark")
        pixels = np.full((1, SIDE, SIDE, 3), photo[0], np.uint8)
        return float(session.run(["mean"], {"image": pixels})[0][0, 0])


def model(kind: str = "brightness", output: str = "mean", graph: bytes | None = None) -> ModelFile:
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=kinds.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axis"], [output], keepdims=1),
    ]
    made = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", kinds.UINT8, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(output, kinds.FLOAT, ["N", 1])],
        [helper.make_tensor("axis", kinds.INT64, [1], [1])],
    )
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    spec = PreprocessSpec(size=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return ModelFile(
        Path("x.onnx"), {"kind": kind, "preprocess": spec.to_dict()}, graph or whole.SerializeToString()
    )


@pytest.fixture(scope="module")
def predictor() -> Brightness:
    return Brightness(model(), threads=2)


@given(st.lists(st.integers(0, 255), max_size=12))
@settings(deadline=None, max_examples=25)
def test_answers_come_in_the_order_of_the_photos(predictor: Brightness, values: list[int]) -> None:
    found = list(predictor.predict_each(bytes([value]) for value in values))
    assert len(found) == len(values)
    for value, answer in zip(values, found, strict=True):
        assert isinstance(answer, ImageError) if not value else answer == pytest.approx(value)


def test_predict_raises_for_a_photo_without_an_answer(predictor: Brightness) -> None:
    assert predictor.predict(b"\x07") == [7.0]
    with pytest.raises(ImageError, match=r"dark"):
        predictor.predict([b"\x07", b"\x00", b"\x08"])


def test_a_file_that_is_something_else_is_refused() -> None:
    with pytest.raises(NotAModelFileError, match=r"x.onnx: a keypoints model; expected a brightness model;"):
        Brightness(model(kind="keypoints"))
    with pytest.raises(NotAModelFileError, match=r"x.onnx: its graph takes .* gives .*median.* and 1 mean"):
        Brightness(model(output="median"))
    with pytest.raises(NotAModelFileError, match=r"x.onnx: ONNX Runtime cannot run its graph"):
        Brightness(model(graph=b"no graph"))


def test_a_graph_without_inputs_or_with_outputs_of_other_ranks_is_refused() -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    constant = helper.make_node(
        "Constant", [], ["mean"], value=helper.make_tensor("t", kinds.FLOAT, [3], [1] * 3)
    )
    output = helper.make_tensor_value_info("mean", kinds.FLOAT, [3])
    image = helper.make_tensor_value_info("image", kinds.UINT8, ["N", SIDE, SIDE, 3])
    for inputs in ([], [image]):
        graph = helper.make_graph([constant], "flat", inputs, [output])
        whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        with pytest.raises(NotAModelFileError, match=r"x\.onnx: its graph takes .* and gives"):
            Brightness(model(graph=whole.SerializeToString()))


def test_a_score_is_one_number_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Brightness, "_outputs", lambda _: {"outlier_score": None})
    with pytest.raises(NotAModelFileError, match="its graph takes"):
        Brightness(model(output="outlier_score"))
