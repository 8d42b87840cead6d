"""dlib's files without dlib: the layers as written, and the embedder as dlib computes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rehead.backbones.graphs import dlib_resnet
from rehead.backbones.weights import faces, locate
from rehead.backbones.weights.dlib_dat import Affine, Convolution, Dense, read_layers
from rehead.errors import WeightsError


def number(value: int) -> bytes:
    raw = abs(value).to_bytes(max(1, (abs(value).bit_length() + 7) // 8), "little")
    return bytes([len(raw) | (0x80 if value < 0 else 0)]) + raw


def word(text: str) -> bytes:
    return number(len(text)) + text.encode()


def tensor(values: np.ndarray) -> bytes:
    sides = b"".join(number(n) for n in (len(values), 1, 1, 1))
    return number(2) + sides + values.astype("<f4").tobytes()


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """A file with a convolution, an affine map and a dense layer, between what dlib writes beside them."""

    def write(end: int | None = None, *, padding_x: int = 1) -> Path:
        conv = tensor(np.arange(2 * 3 * 4 + 2, dtype=np.float32))
        steps = b"".join(number(n) for n in (2, 2, 2, 1, 1, 1, padding_x))
        affine = tensor(np.arange(4, dtype=np.float32))
        dense = number(2) + number(3) + tensor(np.arange(6, dtype=np.float32))
        data = (
            word("loss_metric_2") + number(-3) + word("con_4") + conv + steps + number(0)
            + word("affine_") + affine + word("relu_") + word("fc_2") + dense + number(1)
        )  # fmt: skip
        (tmp_path / "net.dat").write_bytes(data[:end])
        return tmp_path / "net.dat"

    return write


def test_layers_as_written(small: Callable[..., Path]) -> None:
    conv, affine, dense = read_layers(small())
    assert isinstance(conv, Convolution)
    assert isinstance(affine, Affine)
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(conv.filters, np.arange(24).reshape(2, 3, 2, 2))
    np.testing.assert_array_equal(conv.biases, [24, 25])
    assert (conv.stride, conv.padding) == (1, 1)
    np.testing.assert_array_equal(affine.factor, [0, 1])
    np.testing.assert_array_equal(affine.summand, [2, 3])
    np.testing.assert_array_equal(dense.weights, [[0, 1], [2, 3], [4, 5]])


@pytest.mark.parametrize("end", [40, 100, 150, -6])
def test_truncated(small: Callable[..., Path], end: int) -> None:
    with pytest.raises(WeightsError, match=r"net\.dat: is damaged or no dlib network .*cut off"):
        read_layers(small(end))


def test_other_files(tmp_path: Path, small: Callable[..., Path]) -> None:
    (tmp_path / "text").write_text("no network at all")
    with pytest.raises(WeightsError, match="holds no dlib network"):
        read_layers(tmp_path / "text")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_layers(tmp_path / "none")
    with pytest.raises(WeightsError, match="differs in y and x"):
        read_layers(small(padding_x=0))
    with pytest.raises(WeightsError, match="another network"):
        dlib_resnet.embedder(read_layers(small()))


def test_the_embedder_is_dlibs() -> None:
    dlib = pytest.importorskip("dlib", reason="the reference is dlib itself")
    data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
    path = locate.locate(faces.get("dlib_resnet"), download=False)
    model = dlib_resnet.embedder(read_layers(path)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    reference = dlib.face_recognition_model_v1(str(path))
    chip = np.ascontiguousarray(data.astronaut()[50:200, 150:300])
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    chips = np.stack([chip, chip[:, ::-1], noise])
    (found,) = session.run(None, {"image": chips})
    expected = [np.array(reference.compute_face_descriptor(np.ascontiguousarray(chip))) for chip in chips]
    np.testing.assert_allclose(found, expected, atol=1e-5)
