"""Resizing inside the graph is Pillow's, to 1 of 255."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rehead.backbones.graphs import builder as op
from rehead.backbones.graphs.resize import photo_input, squared
from rehead.core.preprocess import PreprocessSpec
from rehead.core.runtime import open_session

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIDE = 24


def graph(interpolation: Literal["bilinear", "bicubic"]) -> onnx.ModelProto:
    image = photo_input()
    spec = PreprocessSpec(SIDE, (0, 0, 0), (1, 1, 1), interpolation=interpolation)
    model: onnx.ModelProto = op.build({"image": image}, {"square": squared(image, spec)})
    return model


SESSIONS = {
    "bilinear": open_session(graph("bilinear").SerializeToString(), threads=1),
    "bicubic": open_session(graph("bicubic").SerializeToString(), threads=1),
}


@pytest.mark.parametrize(("interpolation", "most"), [("bilinear", 1), ("bicubic", 2)])
@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), photos=st.integers(1, 3), seed=st.integers(0, 99))
def test_photos_of_any_size_become_pillows_squares(
    interpolation: str, most: int, height: int, width: int, photos: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (photos, 5, 5, 3), dtype=np.uint8)
    sizes = (width, height)
    pixels = np.stack(
        [np.asarray(Image.fromarray(c).resize(sizes, Image.Resampling.BICUBIC)) for c in coarse]
    )
    (found,) = SESSIONS[interpolation].run(None, {"image": pixels})
    expected = [
        np.asarray(Image.fromarray(one).resize((SIDE, SIDE), FILTERS[interpolation])) for one in pixels
    ]
    assert (found.shape, found.dtype) == ((photos, SIDE, SIDE, 3), np.uint8)
    assert np.abs(found.astype(int) - np.stack(expected)).max() <= most


@pytest.mark.parametrize("interpolation", FILTERS)
def test_squares_of_the_side_pass_unchanged(interpolation: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    (found,) = SESSIONS[interpolation].run(None, {"image": pixels})
    np.testing.assert_array_equal(found, pixels)


def test_the_graph_loads_in_old_runtimes() -> None:
    """IR version 8 and opset 18 are those of ONNX Runtime 1.14 and later."""
    model = graph("bilinear")
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
