from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rehead import ImageClassifier, similar
from rehead.backbones.neighbours import draw_neighbours, nearest
from rehead.errors import DatasetError, ImageError

PhotoFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("made") / "photos", {"blå": 6, "red fish": 6})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 5), st.integers(0, 99))
def test_nearest_agrees_with_the_plain_formula(count: int, asked: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 9)).astype(np.float32)
    queries = np.concatenate([rows[:1], rng.normal(size=(asked, 9)).astype(np.float32)])
    blocks = [slice(0, 2), slice(2, 5), slice(5, 9)]
    order, distance = nearest(queries, rows, blocks, 4)
    expected = np.ones((len(queries), count))
    for block in blocks[1:]:
        q, r = queries[:, block].astype(np.float64), rows[:, block].astype(np.float64)
        cosine = (q @ r.T) / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(r, axis=1)[None]
        expected -= cosine / 2
    np.testing.assert_allclose(distance, np.sort(expected, axis=1)[:, :4], atol=1e-5)
    assert order.shape == (len(queries), min(4, count))
    assert order[0, 0] == 0
    assert distance[0, 0] == pytest.approx(0, abs=1e-6)


def test_features_of_nothing_are_far_from_everything() -> None:
    blocks = [slice(0, 2)]
    _, distance = nearest(np.zeros((1, 2), np.float32), np.ones((3, 2), np.float32), blocks, 3)
    np.testing.assert_array_equal(distance, np.ones((1, 3)))


def test_copies_are_nearest_and_the_photo_itself_is_not_listed(
    tiny_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    asked = folder / "red fish" / "0001.jpg"
    shutil.copy(asked, folder / "blå" / "a copy.jpg")
    Image.open(asked).save(folder / "blå" / "saved again.jpg", quality=60)
    found = similar(folder, asked, count=3, backbone=tiny_onnx)
    assert found.compared == 13
    assert [one.photo.name for one in found.nearest[:2]] == ["a copy.jpg", "saved again.jpg"]
    assert [one.same_file for one in found.nearest] == [True, False, False]
    assert found.nearest[0].distance == pytest.approx(0, abs=1e-5)
    assert found.nearest[1].distance < found.nearest[2].distance
    assert draw_neighbours(found).shape[2] == 3
    assert similar(folder, tmp_path / "photos" / "blå" / "a copy.jpg", backbone=tiny_onnx).compared == 13


def test_a_model_files_own_features(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    ImageClassifier(tiny_onnx, mirror=False).fit(photos).save(tmp_path / "model.onnx")
    asked = photos / "blå" / "0000.jpg"
    own = similar(photos, asked, backbone=tmp_path / "model.onnx")
    plain = similar(photos, asked, backbone=tiny_onnx)
    assert [one.photo for one in own.nearest] == [one.photo for one in plain.nearest]
    assert own.features == "tiny.onnx, middle and last"


def test_bad_input_is_said(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(photos / "blå" / "0000.jpg", only / "0000.jpg")
    with pytest.raises(DatasetError, match="holds no other photo to compare with"):
        similar(only, only / "0000.jpg", backbone=tiny_onnx)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        similar(photos, tmp_path / "broken.jpg", backbone=tiny_onnx)
    with pytest.raises(DatasetError, match=r"none of 1 photos can be read; .*broken\.jpg"):
        (only / "0000.jpg").unlink()
        shutil.copy(tmp_path / "broken.jpg", only)
        similar(only, photos / "blå" / "0000.jpg", backbone=tiny_onnx)
    shutil.copy(photos / "blå" / "0001.jpg", only)
    found = similar(only, photos / "blå" / "0000.jpg", backbone=tiny_onnx)
    assert (found.compared, len(found.unreadable)) == (1, 1)
