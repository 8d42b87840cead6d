from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, layer_maps
from rehead.backbones.activations import draw_maps, list_layers, write_maps
from rehead.backbones.backbone import load_backbone
from rehead.core.runtime import open_session
from rehead.errors import DataError, ImageError, UnknownNameError
from rehead.images import load_image

PhotoFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def photos(photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("made") / "photos", {"blå": 6, "red fish": 6})


def test_maps_are_those_of_the_graph(tiny_onnx: Path, photos: Path) -> None:
    photo = photos / "blå" / "0002.jpg"
    network = load_backbone(tiny_onnx)
    pixels = load_image(photo, network.preprocess)
    (expected,) = open_session(network.trunk, threads=1).run(["middle"], {"image": pixels[None]})
    found = layer_maps(photo, backbone=tiny_onnx, layer="middle")
    np.testing.assert_allclose(found.maps, expected, atol=1e-6)
    assert found.channels == tuple(range(8))
    first = layer_maps(photo, backbone=tiny_onnx, layer="first", channels=[3, 1])
    np.testing.assert_allclose(first.maps[0].clip(0), expected[0, [3, 1]], atol=1e-5)
    assert layer_maps(photo, backbone=tiny_onnx).layer.shape == (24, 4, 4), "the last convolution"


def test_one_channel_across_photos_is_evenly_spread(tiny_onnx: Path, photos: Path) -> None:
    found = layer_maps(photos, backbone=tiny_onnx, layer="first", channels=[7], images=4)
    assert found.maps.shape == (4, 1, 8, 8)
    assert [f"{p.parent.name}/{p.name}" for p in found.photos] == [
        "blå/0000.jpg",
        "blå/0004.jpg",
        "red fish/0001.jpg",
        "red fish/0005.jpg",
    ]
    picture = draw_maps(found)
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 4 * 130


def test_a_model_file_has_the_layers_of_its_network(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    ImageClassifier(tiny_onnx, mirror=False).fit(photos).save(tmp_path / "model.onnx")
    own = list_layers(tmp_path / "model.onnx")
    assert [(layer.kind, layer.shape) for layer in own] == [
        (layer.kind, layer.shape) for layer in list_layers(tiny_onnx)
    ]
    photo = photos / "blå" / "0002.jpg"
    np.testing.assert_allclose(
        layer_maps(photo, backbone=tmp_path / "model.onnx", layer="middle").maps,
        layer_maps(photo, backbone=tiny_onnx, layer="middle").maps,
        atol=1e-6,
    )


def test_numbers_are_written_as_they_are(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    found = layer_maps(photos, backbone=tiny_onnx, channels=[0, 5], images=3)
    write_maps(tmp_path / "maps.npz", found)
    with np.load(tmp_path / "maps.npz") as written:
        np.testing.assert_array_equal(written["maps"], found.maps)
        assert written["channels"].tolist() == [0, 5]
        assert [Path(name).name for name in written["photos"]] == [photo.name for photo in found.photos]
        assert str(written["layer"]) == found.layer.name


def test_registered_networks_name_their_blocks() -> None:
    names = [layer.name for layer in list_layers("efficientnet_lite0")]
    assert {"Conv_0", "blocks.0", "blocks.15", "head"} <= set(names)
    assert len(set(names)) == len(names)


def test_bad_input_is_said(tiny_onnx: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown layer of tiny 'midle'; did you mean 'middle'"):
        layer_maps(photos, backbone=tiny_onnx, layer="midle")
    with pytest.raises(DataError, match=r"layer middle has channels 0 to 7; there is no channel 8"):
        layer_maps(photos, backbone=tiny_onnx, layer="middle", channels=[8])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"broken\.png"):
        layer_maps(tmp_path / "broken.png", backbone=tiny_onnx)
    Image.new("RGB", (20, 20)).save(tmp_path / "fine.png")
    found = layer_maps(tmp_path, backbone=tiny_onnx, channels=[0])
    assert [photo.name for photo in found.photos] == ["fine.png"]
    assert [Path(str(error.path)).name for error in found.unreadable] == ["broken.png"]
    assert draw_maps(found).size, "maps that are all alike have a picture too"
