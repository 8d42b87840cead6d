from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

import rehead
from rehead import ImageClassifier, load_model
from rehead.backbones.graphs import builder as op
from rehead.backbones.graphs import cam
from rehead.backbones.graphs.cam import activation_maps, sum_maps
from rehead.backbones.graphs.inspect import expose
from rehead.classification.drawing import draw_explanation, overlay_map
from rehead.classification.saliency import Explainer, explain
from rehead.core.model_file import read_model_file, write_model_file
from rehead.core.runtime import open_session
from rehead.errors import DataError, ImageError, ModelFileError, NotAModelFileError, UnknownNameError
from rehead.images import PreprocessSpec, load_image

PhotoFolder = Callable[..., Path]
COUNTS = {"blå": 8, "red fish": 8, "third": 8}


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("made") / "photos", COUNTS)


@pytest.fixture(scope="module")
def tiny_model(tiny_onnx: Path, photos: Path) -> Path:
    path = photos.parent / "tiny model.onnx"
    ImageClassifier(tiny_onnx, n_levels=2, mirror=False).fit(photos).save(path)
    return path


@pytest.fixture(scope="module")
def real_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("real")
    for n, image in enumerate(load_sample_images().images):
        Image.fromarray(image).save(folder / f"{n}.jpg")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("n_levels", [1, 3, 17])
def test_map_and_bias_give_back_the_logit_of_real_photos(
    n_levels: int, photos: Path, real_photos: list[Path], tmp_path: Path
) -> None:
    classifier = ImageClassifier(n_levels=n_levels, mirror=False).fit(photos)
    classifier.save(tmp_path / "model.onnx")
    explainer = Explainer(tmp_path / "model.onnx")
    logits = np.log(classifier.predict_proba(real_photos))
    for photo, expected in zip(real_photos, logits, strict=True):
        found = explainer.explain(photo, classes=list(explainer.labels))
        assert found.method == "cam"
        assert found.maps[0].values.shape == {1: (8, 8), 3: (8, 8), 17: (128, 128)}[n_levels]
        added_up = np.array([one.values.mean(dtype=np.float64) + one.bias for one in found.maps])
        # softmax forgets what all logits share
        np.testing.assert_allclose(added_up - added_up.mean(), expected - expected.mean(), rtol=0, atol=1e-3)


def test_map_and_bias_give_back_the_very_logit(tiny_model: Path, real_photos: list[Path]) -> None:
    graph = onnx.load(tiny_model).graph
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    session = open_session(expose(onnx.load(tiny_model), {softmax.input[0]: "logits"}), threads=1)
    explainer = Explainer(tiny_model)
    for photo in real_photos:
        pixels = load_image(photo, explainer.preprocess)
        (expected,) = session.run(None, {"image": pixels[None]})
        found = explainer.explain(photo, classes=list(explainer.labels))
        values = [one.values.mean(dtype=np.float64) + one.bias for one in found.maps]
        np.testing.assert_allclose(values, expected[0], rtol=0, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    sides=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_added_maps_keep_their_means(sides: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(2, *side)) for side in sides]
    total = sum_maps(parts, 2)
    assert total.shape == (2, max(h for h, _ in sides), max(w for _, w in sides))
    np.testing.assert_allclose(
        total.mean(axis=(1, 2)), sum(part.mean(axis=(1, 2)) for part in parts), atol=1e-9
    )


def test_added_maps_stay_in_their_places() -> None:
    part = np.zeros((1, 4, 4))
    part[0, 0, 3] = 1
    total = sum_maps([part, np.zeros((1, 16, 16))], 1)[0]
    assert np.unravel_index(total.argmax(), total.shape)[0] < 4
    assert np.unravel_index(total.argmax(), total.shape)[1] >= 12


def test_answers_are_those_of_the_model(tiny_model: Path, real_photos: list[Path], photos: Path) -> None:
    asked = [*real_photos, photos / "blå" / "0000.jpg"]
    for method in ("cam", "occlusion"):
        explainer = Explainer(tiny_model, method=method)
        for photo, answer in zip(asked, load_model(tiny_model).predict(asked), strict=True):
            found = explainer.explain(photo, classes=2)
            assert (found.answer, found.reason) == (answer.label, answer.reason)
            assert found.maps[0].label == answer.nearest
            assert found.maps[0].probability == pytest.approx(answer.probability, abs=1e-5)
            assert found.maps[0].probability >= found.maps[1].probability
            assert len(found.maps) == 2


def half_and_half(folder: Path, *, record: bool = True) -> Path:
    """An ONNX classifier of others: class 1 where the left half is brighter than the right one."""
    image = op.argument(np.float32, ("N", 3, 24, 24))
    weight = np.zeros((3 * 24 * 24, 2), np.float32)
    weight.reshape(3, 24, 24, 2)[:, :, :12, 1] = 1e-4
    weight.reshape(3, 24, 24, 2)[:, :, 12:, 0] = 1e-4
    path = folder / "half and half.onnx"
    logits = op.matmul(op.flatten(op.relu(image)), op.const(weight))
    onnx.save(op.build({"input": image}, {"logits": logits}), path)
    if record:
        path.with_suffix(".json").write_text(json.dumps({"size": 24, "mean": [0, 0, 0], "std": [1, 1, 1]}))
    return path


def test_occlusion_finds_what_an_unknown_network_looks_at(tmp_path: Path) -> None:
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[10:20, 6:16] = 250
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    found = explain(half_and_half(tmp_path), tmp_path / "photo.png", classes=2, labels=["right", "left"])
    assert found.method == "occlusion"
    assert [one.label for one in found.maps] == ["left", "right"]
    assert found.answer == "left"
    drop = found.maps[0].values
    row, column = np.unravel_index(drop.argmax(), drop.shape)
    assert 0.3 * 12 <= row + 0.5 <= 0.7 * 12
    assert 0.05 * 12 <= column + 0.5 <= 0.3 * 12
    np.testing.assert_allclose(found.maps[0].values, -found.maps[1].values, atol=1e-6)
    assert abs(drop[:, 8:]).max() < 1e-6


def test_no_spatial_features_names_occlusion(tmp_path: Path, real_photos: list[Path]) -> None:
    path = half_and_half(tmp_path)
    with pytest.raises(DataError, match=r"half and half\.onnx: no class activation map.*--method occlusion"):
        explain(path, real_photos[0], method="cam")
    assert Explainer(path).labels == ("class 0", "class 1")


def test_what_cannot_be_explained_is_said(tiny_model: Path, real_photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"how photos are prepared .* is not known"):
        explain(half_and_half(tmp_path, record=False), real_photos[0])
    with pytest.raises(DataError, match="2 classes, and 3 labels were given"):
        explain(half_and_half(tmp_path), real_photos[0], labels=["a", "b", "c"])
    with pytest.raises(DataError, match="brings its own labels"):
        Explainer(tiny_model, labels=["a"])
    with pytest.raises(UnknownNameError, match="did you mean 'red fish'"):
        explain(tiny_model, real_photos[0], classes=["red fisch"])
    with pytest.raises(UnknownNameError, match="did you mean 'cam'"):
        explain(tiny_model, real_photos[0], method="camm")  # type: ignore[arg-type]
    (tmp_path / "broken.jpg").write_bytes(real_photos[0].read_bytes()[:200])
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        explain(tiny_model, tmp_path / "broken.jpg")
    with pytest.raises(NotAModelFileError, match=r"real|folder"):
        explain(real_photos[0].parent, real_photos[0])


def test_bytes_are_explained_too(tiny_model: Path, real_photos: list[Path]) -> None:
    data = real_photos[0].read_bytes()
    found = rehead.explain(tiny_model, data, classes=1)
    np.testing.assert_array_equal(found.maps[0].values, explain(tiny_model, real_photos[0]).maps[0].values)
    assert draw_explanation(found, data).shape[2] == 3


def test_the_picture_keeps_the_photos_shape_and_shows_the_map_in_its_place(tmp_path: Path) -> None:
    pixels = np.full((40, 120, 3), 128, np.uint8)
    pixels[:, :30] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    found = explain(half_and_half(tmp_path), tmp_path / "wide.png", classes=1, labels=["right", "left"])
    picture = draw_explanation(found, tmp_path / "wide.png")
    assert picture.shape[1] > 2 * 400 > 2 * picture.shape[0], "wide photos side by side, not squares"
    over = overlay_map(pixels, found.maps[0].values, 0.0, float(found.maps[0].values.max()), found.preprocess)
    assert over.shape == pixels.shape
    assert over[20, 15, 0] > over[20, 100, 0], "yellow on the left, dark on the right"


def test_a_crop_is_shown_where_it_was() -> None:
    spec = PreprocessSpec(32, (0, 0, 0), (1, 1, 1), resize="crop", crop_fraction=0.5)
    over = overlay_map(np.zeros((40, 80, 3), np.uint8), np.ones((4, 4), np.float32), 0, 1, spec)
    coloured = np.ptp(over.astype(int), axis=2) > 50
    rows, columns = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (10, 29, 30, 49)


def test_a_model_file_cut_short_is_refused(tiny_model: Path, real_photos: list[Path], tmp_path: Path) -> None:
    shutil.copy(tiny_model, tmp_path / "m.onnx")
    data = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(rehead.ReheadError, match=r"m\.onnx"):
        explain(tmp_path / "m.onnx", real_photos[0])


def test_a_broken_graph_is_reported_as_predict_does(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    def evil(graph: onnx.GraphProto) -> None:
        graph.node[0].op_type, graph.node[0].domain = "Evil", "evil"

    def no_inputs(graph: onnx.GraphProto) -> None:
        del graph.node[-1].input[:]

    def cycle(graph: onnx.GraphProto) -> None:
        graph.node[0].input[0] = graph.node[-1].output[0]

    photo = next(photos.rglob("*.jpg"))
    for spoil in (evil, no_inputs, cycle):
        file = read_model_file(tiny_model)
        model = onnx.load_from_string(file.graph)
        spoil(model.graph)
        del model.metadata_props[:]
        write_model_file(tmp_path / "model.onnx", model.SerializeToString(), file.manifest)
        with pytest.raises(ModelFileError, match=r"model\.onnx: "):
            load_model(tmp_path / "model.onnx")
        with pytest.raises(ModelFileError, match=r"model\.onnx: "):
            explain(tmp_path / "model.onnx", photo)


def test_only_the_maps_that_are_asked_for_are_computed(
    tiny_model: Path, real_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def spied(linear: cam.LinearInMaps, maps: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        found = activation_maps(linear, maps)
        computed.extend(len(one) for one in found)
        return found

    monkeypatch.setattr(cam, "activation_maps", spied)
    explainer = Explainer(tiny_model)
    every = explainer.explain(real_photos[0], classes=list(explainer.labels))
    assert set(computed) == {3}
    computed.clear()
    for label, expected in zip(explainer.labels, every.maps, strict=True):
        (found,) = explainer.explain(real_photos[0], classes=[label]).maps
        assert (found.label, found.probability, found.bias) == (label, expected.probability, expected.bias)
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)
    assert set(computed) == {1}
