"""Embedders: specs, records, licences; and that aligned faces of one person are near each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from rehead.backbones.graphs import builder as op
from rehead.errors import DataError, UnknownNameError, WeightsError
from rehead.faces import EmbedderSpec, FaceDetector, FaceEmbedder, spec_fingerprint
from rehead.faces.embedding.alignment import ARCFACE

data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
SPEC = {"size": 32, "channels": "BGR", "mean": 127.5, "scale": 1 / 127.5, "template": "arcface"}


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(threads=1)


@pytest.fixture
def averages(tmp_path: Path) -> Path:
    """A network whose embedding is the mean of every colour of the upper and of the lower half."""
    x = op.argument(np.float32, ("N", 3, 32, 32))
    pooled = op.average_pool(x, kernel_shape=[16, 32], strides=[16, 32])
    onnx.save(op.build({"x": x}, {"y": op.flatten(pooled)}), tmp_path / "averages.onnx")
    (tmp_path / "averages.json").write_text(json.dumps(SPEC))
    return tmp_path / "averages.onnx"


def squares() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def halves(photos: np.ndarray) -> np.ndarray:
    """The network's answer by numpy: (N, 6), blue first."""
    maps = photos[..., ::-1].transpose(0, 3, 1, 2).reshape(len(photos), 3, 2, 16 * 32)
    return np.asarray(maps.mean(axis=3).reshape(len(photos), 6))


def test_any_onnx_network_with_its_record(averages: Path) -> None:
    found = FaceEmbedder(averages).embed_aligned(squares())
    np.testing.assert_allclose(found, unit(halves((squares() - 127.5) / 127.5)), atol=1e-4)
    assert found.dtype == np.float32


@pytest.mark.parametrize("dims", [None, ("N", "D"), ("a", "b", "c", "d")])
def test_a_network_that_does_not_say_how_many_numbers_it_gives(
    averages: Path, dims: tuple[str, ...] | None
) -> None:
    model = onnx.load(averages)
    (node,) = [node for node in model.graph.node if node.op_type == "Flatten"]
    shape = [1, 6] if dims is None or len(dims) == 2 else [1, 6, 1, 1]
    shape[0] = -1
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "shape_"))
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["shape_"], ["shape"]))
    node.CopyFrom(onnx.helper.make_node("Reshape", [node.input[0], "shape"], node.output))
    output = onnx.helper.make_tensor_value_info(model.graph.output[0].name, onnx.TensorProto.FLOAT, dims)
    model.graph.output[0].CopyFrom(output)
    onnx.save(model, averages)
    embedder = FaceEmbedder(averages)
    assert embedder.embedding_spec["dimensions"] == 6
    found = embedder.embed_aligned(squares())
    np.testing.assert_allclose(found, unit(halves((squares() - 127.5) / 127.5)), atol=1e-4)


def test_mirrored_adds_the_mirror_image(averages: Path) -> None:
    lopsided = squares()
    lopsided[:, :, :16] //= 3
    spec = EmbedderSpec.from_dict({**SPEC, "mirrored": True})
    mirrored = FaceEmbedder(averages, spec=spec)
    plain = FaceEmbedder(averages)
    np.testing.assert_allclose(mirrored.embed_aligned(lopsided), plain.embed_aligned(lopsided), atol=1e-5)
    assert spec_fingerprint(mirrored.embedding_spec) != spec_fingerprint(plain.embedding_spec)


def test_the_weights_stand_in_the_graph_once_though_the_network_does_twice(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    x = op.argument(np.float32, ("N", 3, 32, 32))
    onnx.save(op.build({"x": x}, {"y": op.flatten(op.conv(x, op.const(weights)))}), tmp_path / "one.onnx")
    (tmp_path / "one.json").write_text(json.dumps({**SPEC, "mirrored": True}))
    embedder = FaceEmbedder(tmp_path / "one.onnx")
    assert weights.nbytes < len(embedder.graph) < 1.5 * weights.nbytes
    normalised = (squares()[..., ::-1].transpose(0, 3, 1, 2) - 127.5) / 127.5
    sums = np.einsum("nchw,dchw->nd", normalised + normalised[..., ::-1], weights)
    np.testing.assert_allclose(embedder.embed_aligned(squares()), unit(sums), atol=1e-4)


def test_prewhitened_by_its_own_pixels(averages: Path) -> None:
    spec = EmbedderSpec.from_dict({"size": 32, "channels": "BGR", "template": "arcface", "prewhitened": True})
    photos = np.concatenate([squares(), np.full((1, 32, 32, 3), 7, np.uint8)])
    deviation = np.maximum(photos.std(axis=(1, 2, 3), keepdims=True), 1 / np.sqrt(32 * 32 * 3))
    white = (photos - photos.mean(axis=(1, 2, 3), keepdims=True)) / deviation
    found = FaceEmbedder(averages, spec=spec).embed_aligned(photos)
    np.testing.assert_allclose(found[:3], unit(halves(white[:3])), atol=1e-4)
    assert np.isfinite(found).all()


def test_the_embedding_spec_is_json_and_says_what_matters(averages: Path) -> None:
    spec = FaceEmbedder(averages).embedding_spec
    assert json.loads(json.dumps(spec)) == spec
    assert spec["dimensions"] == 6
    assert spec["size"] == 32
    np.testing.assert_allclose(spec["template"], ARCFACE * 32 / 112)
    assert spec["distance"] == "cosine"
    assert spec["licences"] == {"code": "not stated", "weights": "not stated", "data": "not stated"}
    moved = FaceEmbedder(averages, spec=EmbedderSpec.from_dict({**SPEC, "mean": 128}))
    assert spec_fingerprint(spec) != spec_fingerprint(moved.embedding_spec)


def test_aligned_faces_have_their_points_at_the_template(averages: Path, detector: FaceDetector) -> None:
    photo = data.astronaut()
    turned = np.asarray(Image.fromarray(photo).rotate(25, Image.Resampling.BICUBIC))
    embedder = FaceEmbedder(threads=1)
    for pixels in (photo, turned):
        square = embedder.aligned(pixels, detector.detect(pixels))[0]
        assert square.shape == (150, 150, 3)
        (again,) = detector.detect(np.pad(square, ((75, 75), (75, 75), (0, 0))))
        assert np.abs(again.points - 75 - embedder.embedding_spec["template"]).max() < 12


def test_the_same_face_stays_near_itself(detector: FaceDetector) -> None:
    photo = data.astronaut()
    changed = Image.fromarray(photo).rotate(10, Image.Resampling.BICUBIC).resize((400, 400)).convert("L")
    embedder = FaceEmbedder(threads=1)
    other = np.asarray(changed.convert("RGB"))
    one, two = (embedder.embed(p, detector.detect(p)[:1])[0] for p in (photo, other))
    noise = embedder.embed_aligned(np.random.default_rng(0).integers(0, 256, (1, 150, 150, 3), np.uint8))[0]
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ two > 0.95
    assert one @ noise < 0.9


def test_no_faces_give_no_rows(averages: Path) -> None:
    assert FaceEmbedder(averages).embed(np.zeros((9, 9, 3), np.uint8), []).shape == (0, 6)


def test_commercial_safe_refuses_what_is_not_stated(averages: Path) -> None:
    FaceEmbedder(commercial_safe=True, threads=1)
    with pytest.raises(DataError, match="licence of its code is 'not stated'"):
        FaceEmbedder(averages, commercial_safe=True)
    given = {**SPEC, "licences": {"code": "MIT", "weights": "CC-BY-NC-4.0"}}
    with pytest.raises(DataError, match=r"licence of its weights is 'CC-BY-NC-4\.0'"):
        FaceEmbedder(averages, spec=EmbedderSpec.from_dict(given), commercial_safe=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"template": "arcfaces"}, "did you mean 'arcface'"),
        ({"template": [[1, 2], [3, 4]]}, "five points"),
        ({"template": None}, "five points"),
        ({"mirrored": "yes"}, "mirrored must be true or false"),
        ({"distance": "manhattan"}, "unknown embedder spec distance"),
        ({"scale": -1}, "scale must be a positive number"),
        ({"sizes": 3}, "did you mean 'size'"),
        ({"licences": {"code": 3}}, "licences must be"),
        ({"licences": {"cod": "MIT"}}, "did you mean 'code'"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_wrong_spec_is_named(averages: Path, change: dict[str, object], words: str) -> None:
    averages.with_suffix(".json").write_text(json.dumps({**SPEC, **change}))
    with pytest.raises(DataError, match=rf"averages\.json: .*{words}"):
        FaceEmbedder(averages)


def test_what_else_is_refused(averages: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dlib'"):
        FaceEmbedder("dlibb")
    averages.with_suffix(".json").unlink()
    with pytest.raises(DataError, match=r"write averages\.json beside it, such as"):
        FaceEmbedder(averages)
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    (tmp_path / "bad.json").write_text(json.dumps(SPEC))
    with pytest.raises(WeightsError, match=r"bad\.onnx: not a valid ONNX file"):
        FaceEmbedder(tmp_path / "bad.onnx")
    with pytest.raises(WeightsError, match="cannot be read"):
        FaceEmbedder(tmp_path / "none.onnx", spec=EmbedderSpec.from_dict(SPEC))
