"""Photos in another style keep their place, and the outlier model learns what a style changes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from rehead.backbones.backbone import Backbone, load_backbone
from rehead.keypoints.alignment import IDENTITY
from rehead.keypoints.feature_maps import candidate_feature_maps
from rehead.keypoints.styles import STYLES, styled_features
from rehead.keypoints.uncertainty import fit_uncertainty


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, each: int = 2) -> Path: ...


@pytest.fixture(scope="module")
def network(tiny_onnx: Path) -> Backbone:
    return load_backbone(tiny_onnx)


def test_a_grey_photo_has_the_features_of_the_grey_style(
    network: Backbone, tmp_path: Path, drawn_faces: DrawnFaces
) -> None:
    photos = sorted(drawn_faces(tmp_path, 2).parent.glob("*.png"))
    feature_map = candidate_feature_maps(network)[-1][-1]
    found = styled_features(photos, None, network, feature_map)
    assert found.shape == (len(STYLES), 4, feature_map.channels)
    for path in photos:
        with Image.open(path) as photo:
            photo.convert("RGB").convert("L").save(path)
    whole = np.broadcast_to(IDENTITY, (4, 2, 3))
    again = styled_features(photos, whole, network, feature_map)
    np.testing.assert_allclose(again[0], found[0], atol=0.02 * found[0].std())
    assert np.abs(again[1] - found[1]).max() > 0.1 * found[0].std()


def test_a_photo_is_no_outlier_for_its_style_alone() -> None:
    rng = np.random.default_rng(0)
    plain, odd, test = (rng.normal(size=(300, 8)).astype(np.float32) for _ in range(3))
    style = np.array([4, 0, 0, 0, 0, 0, 0, 0], np.float32)
    rows = np.arange(0, 300, 5)
    styled = np.stack([plain[rows] + style, plain[rows]])
    errors, fold = rng.normal(size=(300, 3, 2)), np.arange(300) % 5

    def called(features: np.ndarray, styled: tuple[np.ndarray, np.ndarray] | None) -> float:
        model, _ = fit_uncertainty(errors, None, plain, fold, coverage=0.95, styled=styled)
        score = (((features - model.mean) @ model.whitening) ** 2).sum(axis=1)
        return float((score > model.outlier_limit).mean())

    assert called(test + style, None) > 0.7
    assert called(test + style, (rows, styled)) < 0.5
    assert called(test, (rows, styled)) < 0.1
    assert called(odd + 4 * style[::-1], (rows, styled)) == 1
