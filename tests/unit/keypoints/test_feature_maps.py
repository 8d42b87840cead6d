"""Maps of crops: the crop of the whole photo is the photo, a mirrored crop that of the mirrored photo."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image, ImageOps

from rehead.backbones.backbone import Backbone, load_backbone
from rehead.keypoints.alignment import IDENTITY, flip_crops
from rehead.keypoints.feature_maps import candidate_feature_maps, extract_maps


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, each: int = 2) -> Path: ...


@pytest.fixture(scope="module")
def network(tiny_onnx: Path) -> Backbone:
    return load_backbone(tiny_onnx)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, drawn_faces: DrawnFaces) -> list[Path]:
    source = drawn_faces(tmp_path_factory.mktemp("faces"), 2)
    paths = sorted(source.parent.rglob("*.png")) or sorted(source.parent.rglob("*.jpg"))
    assert len(paths) == 4
    return paths


def test_the_crop_of_the_whole_photo_is_the_photo(network: Backbone, photos: list[Path]) -> None:
    feature_maps = candidate_feature_maps(network)[-1]
    whole = np.broadcast_to(IDENTITY, (1, len(photos), 2, 3))
    plain, cropped = (extract_maps(photos, crops, network, feature_maps) for crops in (None, whole))
    for one, other in zip(plain.values, cropped.values, strict=True):
        assert one.shape[:2] == (1, len(photos))
        assert one.std() > 0
        np.testing.assert_array_equal(one, other)


def test_mirrored_crops_follow_each_crop(network: Backbone, photos: list[Path], tmp_path: Path) -> None:
    feature_maps = candidate_feature_maps(network)[-1]
    turned = np.array([[0.7, -0.2, 0.25], [0.2, 0.7, 0.05]])
    crops = np.broadcast_to(turned, (1, len(photos), 2, 3))
    both = extract_maps(photos, crops, network, feature_maps, mirror=True)
    apart = extract_maps(photos, np.concatenate([crops, flip_crops(crops[0])[None]]), network, feature_maps)
    for one, other in zip(both.values, apart.values, strict=True):
        assert one.shape[0] == 2
        assert np.abs(one[0] - one[1]).max() > 0
        np.testing.assert_allclose(one.astype(float), other.astype(float), atol=0.02 * np.abs(other).max())
    (tmp_path / "mirrored").mkdir()
    flipped = []
    for path in photos:
        flipped.append(tmp_path / "mirrored" / f"{path.stem}.png")
        with Image.open(path) as photo:
            ImageOps.mirror(photo).save(flipped[-1])
    twice = extract_maps(photos, None, network, feature_maps, mirror=True)
    other_way = extract_maps(flipped, None, network, feature_maps)
    for one, other in zip(twice.values, other_way.values, strict=True):
        np.testing.assert_allclose(
            one[1].astype(float), other[0].astype(float), atol=0.02 * np.abs(other).max()
        )
