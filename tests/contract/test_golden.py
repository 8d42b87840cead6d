"""Every protocol ever released keeps a model file that later versions must still read, with the same answers.

The files in tests/golden were made by `make`, run once and never again:

    REHEAD_GOLDEN=1 python -m pytest tests/contract/test_golden.py -k recipe

which writes the files of the current protocol where there are none yet.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, KeypointRegressor, Predictor, load_keypoints, load_model

GOLDEN = Path(__file__).parents[1] / "golden"
CLASSIFIERS = (1, 3)  # protocols that classifiers were written with
POINTS = (2,)


class PhotoFolder(Protocol):
    def __call__(
        self, folder: Path, counts: dict[str, int], *, seed: int = 0, size: tuple[int, int] = (72, 56)
    ) -> Path: ...


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, each: int = 2, seed: int = 0) -> Path: ...


def answers(model: Predictor, photos: list[Path]) -> list[dict[str, Any]]:
    return [
        {
            "photo": photo.name,
            "label": answer.label,
            "nearest": answer.nearest,
            "outlier_score": answer.outlier_score,
            "probabilities": answer.probabilities.tolist(),
        }
        for photo, answer in zip(photos, model.predict(photos), strict=True)
    ]


def make(folder: Path, tiny_onnx: Path, photo_folder: PhotoFolder, photos: Path) -> None:
    """Train on synthetic photos with the tiny network; write model, two photos and the answers for them."""
    name = f"classifier_protocol{CLASSIFIERS[-1]}"
    counts = {"blå": 12, "red fish": 12, "third": 12}
    classifier = ImageClassifier(tiny_onnx).fit(photo_folder(photos / "train", counts))
    classifier.save(folder / f"{name}.onnx")
    known = Image.open(photo_folder(photos / "new", counts, seed=1, size=(48, 40)) / "red fish" / "0000.jpg")
    known.save(folder / f"{name}_known.png")
    noise = np.random.default_rng(5).integers(0, 2, (24, 24, 3), dtype=np.uint8) * 255
    Image.fromarray(noise).save(folder / f"{name}_unknown.png")
    asked = [folder / f"{name}_known.png", folder / f"{name}_unknown.png"]
    text = json.dumps(answers(load_model(folder / f"{name}.onnx"), asked), indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", "utf-8")


@pytest.mark.parametrize("protocol", CLASSIFIERS)
def test_a_golden_file_gives_the_answers_it_always_gave(protocol: int) -> None:
    name = f"classifier_protocol{protocol}"
    expected = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    model = load_model(GOLDEN / f"{name}.onnx")
    assert model.manifest["protocol"] == protocol
    assert model.labels == ("blå", "red fish", "third")
    found = answers(model, [GOLDEN / answer["photo"] for answer in expected])
    assert [answer["label"] for answer in expected] == ["red fish", "unknown"]
    for ours, golden in zip(found, expected, strict=True):
        assert ours["label"] == golden["label"]
        assert ours["nearest"] == golden["nearest"]
        np.testing.assert_allclose(ours["probabilities"], golden["probabilities"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours["outlier_score"], golden["outlier_score"], rtol=1e-3)


def test_golden_files_are_small() -> None:
    assert max(path.stat().st_size for path in GOLDEN.iterdir()) < 100_000


def test_the_recipe_makes_a_file_of_the_same_form(
    tmp_path: Path, tiny_onnx: Path, photo_folder: PhotoFolder
) -> None:
    name = f"classifier_protocol{CLASSIFIERS[-1]}"
    if os.environ.get("REHEAD_GOLDEN") and not (GOLDEN / f"{name}.onnx").exists():
        make(GOLDEN, tiny_onnx, photo_folder, tmp_path / "golden")
    make(tmp_path, tiny_onnx, photo_folder, tmp_path / "photos")
    today, golden = (load_model(folder / f"{name}.onnx") for folder in (tmp_path, GOLDEN))
    assert today.manifest.keys() >= golden.manifest.keys(), "an entry was taken away: raise PROTOCOL"
    assert today.labels == golden.labels
    assert today.preprocess == golden.preprocess


def make_points(folder: Path, tiny_onnx: Path, drawn_faces: DrawnFaces, photos: Path) -> None:
    """Fit keypoints on drawn faces with the tiny network; write model, a photo and its points."""
    name = f"keypoints_protocol{POINTS[-1]}"
    regressor = KeypointRegressor(tiny_onnx).fit(drawn_faces(photos / "faces", 12, each=1))
    regressor.save(folder / f"{name}.onnx")
    shutil.copy(sorted((photos / "faces").glob("*.png"))[0], folder / f"{name}.png")
    answer = load_keypoints(folder / f"{name}.onnx").predict(folder / f"{name}.png")[0]
    record = {
        "points": answer.points.tolist(),
        "spread": answer.covariance.tolist(),
        "confidence": answer.confidence,
        "outlier_score": answer.outlier_score,
    }
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


@pytest.mark.parametrize("protocol", POINTS)
def test_golden_keypoints_are_placed_where_they_always_were(protocol: int) -> None:
    name = f"keypoints_protocol{protocol}"
    expected = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    model = load_keypoints(GOLDEN / f"{name}.onnx")
    assert model.manifest["protocol"] == protocol
    answer = model.predict(GOLDEN / f"{name}.png")[0]
    np.testing.assert_allclose(answer.points, expected["points"], atol=0.02)
    np.testing.assert_allclose(answer.covariance, expected["spread"], rtol=0.02, atol=1e-3)
    assert answer.confidence == pytest.approx(expected["confidence"], abs=0.01)
    assert answer.outlier_score == pytest.approx(expected["outlier_score"], rel=0.01)


def test_the_keypoint_recipe_makes_a_file_of_the_same_form(
    tmp_path: Path, tiny_onnx: Path, drawn_faces: DrawnFaces
) -> None:
    name = f"keypoints_protocol{POINTS[-1]}"
    if os.environ.get("REHEAD_GOLDEN") and not (GOLDEN / f"{name}.onnx").exists():
        make_points(GOLDEN, tiny_onnx, drawn_faces, tmp_path / "golden")
    make_points(tmp_path, tiny_onnx, drawn_faces, tmp_path / "photos")
    today, golden = (load_keypoints(folder / f"{name}.onnx") for folder in (tmp_path, GOLDEN))
    assert today.manifest.keys() >= golden.manifest.keys(), "an entry was taken away: raise PROTOCOL"
    assert (today.names, today.preprocess) == (golden.names, golden.preprocess)
