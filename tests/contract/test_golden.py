"""Every protocol ever released keeps a model file that later versions must still read, with the same answers.

The files in tests/golden were made by `make`, run once and never again:

    REHEAD_GOLDEN=1 python -m pytest tests/contract/test_golden.py -k recipe

which writes the files of the current protocol where there are none yet.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, Predictor, load_model
from rehead.modelfile import PROTOCOL

GOLDEN = Path(__file__).parents[1] / "golden"
PROTOCOLS = range(1, PROTOCOL + 1)


class PhotoFolder(Protocol):
    def __call__(
        self, folder: Path, counts: dict[str, int], *, seed: int = 0, size: tuple[int, int] = (72, 56)
    ) -> Path: ...


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
    name = f"classifier_protocol{PROTOCOL}"
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
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
    name = f"classifier_protocol{PROTOCOL}"
    if os.environ.get("REHEAD_GOLDEN") and not (GOLDEN / f"{name}.onnx").exists():
        make(GOLDEN, tiny_onnx, photo_folder, tmp_path / "golden")
    make(tmp_path, tiny_onnx, photo_folder, tmp_path / "photos")
    today, golden = (load_model(folder / f"{name}.onnx") for folder in (tmp_path, GOLDEN))
    assert today.manifest.keys() >= golden.manifest.keys(), "an entry was taken away: raise PROTOCOL"
    assert today.labels == golden.labels
    assert today.preprocess == golden.preprocess
