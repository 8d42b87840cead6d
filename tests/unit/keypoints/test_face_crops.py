"""A face that is turned is cropped upright, and what is found in the crop is turned back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rehead import PreprocessSpec
from rehead.keypoints import KeypointPrediction, predict_on_faces

COLOURS = (255, 0, 0), (0, 0, 255), (0, 255, 0)  # eyes and chin
FACES = {"detector": "drawn", "x": 0.0, "y": 0.0, "side": 2.0}
FRAME = {"points": {"frame": {"box": [0.3, 0.3, 0.7, 0.7], "aspect": 1.0}}}


class ColourModel:
    """Finds the three dots of a crop; x has a tenth of the standard deviation of y."""

    names = ()

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        self.preprocess = PreprocessSpec(size=128, mean=(0, 0, 0), std=(1, 1, 1))
        self.crops: list[NDArray[np.uint8]] = []

    def predict_crop(
        self, pixels: NDArray[np.uint8], size: tuple[int, int], box: NDArray[np.float64]
    ) -> KeypointPrediction:
        self.crops.append(pixels)
        near = [np.abs(pixels.astype(int) - colour).sum(axis=2) < 120 for colour in COLOURS]
        dots = np.array([np.argwhere(of).mean(axis=0)[::-1] + 0.5 for of in near]) / len(pixels)
        points = box[:2] + dots * (box[2:] - box[:2]) - 0.5
        covariance = np.broadcast_to(np.diag([1.0, 100.0]), (3, 2, 2))
        return KeypointPrediction("", size, points, covariance, 1.0, 0.0, "")


@dataclass
class DrawnFace:
    box: NDArray[np.float64]
    points: NDArray[np.float64]


class Finder:
    name = "drawn"

    def __init__(self, face: DrawnFace) -> None:
        self.face = face

    def detect(self, photo: NDArray[np.uint8]) -> Sequence[DrawnFace]:
        return [self.face]


@pytest.mark.parametrize("manifest", [{"faces": FACES}, FRAME], ids=["face crops", "photos"])
@pytest.mark.parametrize("degrees", [0, 3, 30, -40, 90])
def test_a_turned_face_is_cropped_upright(tmp_path: Path, manifest: dict[str, Any], degrees: int) -> None:
    angle, middle = np.radians(degrees), np.array([150.0, 110.0])
    along = np.array([np.cos(angle), np.sin(angle)])
    chin = middle + 20 * np.array([-along[1], along[0]])
    truth = np.stack([middle - 20 * along, middle + 20 * along, chin])
    photo = Image.new("RGB", (300, 240), (90, 90, 90))
    for (x, y), colour in zip(truth, COLOURS, strict=True):
        ImageDraw.Draw(photo).ellipse((x - 6, y - 6, x + 5, y + 5), fill=colour)
    photo.save(tmp_path / "a.png")
    model = ColourModel(manifest)
    face = DrawnFace(np.concatenate([middle - 30, middle + 30]), truth)
    ((answer,),) = predict_on_faces(model, Finder(face), [tmp_path / "a.png"])  # type: ignore[arg-type,misc]
    np.testing.assert_allclose(answer.points + 0.5, truth, atol=1)
    assert answer.size == (300, 240)
    spread = np.linalg.eigh(answer.covariance[0])[1][:, 0]  # the direction of the smaller variance
    turned = abs(degrees) >= 5
    assert abs(float(spread @ (along if turned else [1, 0]))) == pytest.approx(1)
    dots = ColourModel({}).predict_crop(model.crops[-1], (128, 128), np.array([0.0, 0, 128, 128])).points
    assert abs(dots[1, 1] - dots[0, 1]) < (2 if turned or not degrees else 8), "the eyes are level"
    assert dots[1, 0] - dots[0, 0] > 20
