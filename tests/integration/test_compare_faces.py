"""Face embeddings among the networks that are compared: the same split, and a face not found is a mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehead.classification.options import ClassifierOptions
from rehead.errors import DataError, WeightsError
from rehead.finetune.config import FineTuneConfig
from rehead.workflows.compare import candidates, compare_models
from rehead.workflows.config import TrainConfig
from rehead.workflows.loading import open_model

FacePhoto = Callable[..., Path]


@pytest.fixture
def people(tmp_path: Path, face_photo: FacePhoto, face_parts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("rehead.faces.encoder.FaceDetector", lambda name, threads: face_parts[0])
    monkeypatch.setattr("rehead.faces.encoder.FaceEmbedder", lambda name, **_: face_parts[1])
    monkeypatch.setattr("rehead.faces.predictor.FaceDetector", lambda name, threads: face_parts[0])
    for side, count in (("train", 12), ("val", 6)):
        for place, name in enumerate(("Rani", "blå")):
            for number in range(count):
                variant = 11 * (7 * number % 15) + (5 if side == "val" else 0)
                face_photo(
                    tmp_path / "people" / side / name / f"{number}.png", 10 + 50 * place, variant=variant
                )
    return tmp_path / "people"


def test_faces_are_compared_with_other_networks_on_the_same_photos(
    people: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    config = TrainConfig(classifier=ClassifierOptions(mirror=False))
    told = compare_models(people, tmp_path / "out", [str(tiny_onnx), "faces"], config=config)
    assert [c.folder for c in told.models] == ["tiny-frozen", "faces-frozen"]
    runs = [tmp_path / "out" / c.folder for c in told.models]
    assert (runs[0] / "splits.csv").read_text("utf-8") == (runs[1] / "splits.csv").read_text("utf-8")
    assert open_model(runs[1] / "model.onnx").kind == "face-classifier"
    assert told.models[1].accuracy.value == 1
    assert any("times include finding the face" in note for note in told.notes)
    again = compare_models(people, tmp_path / "out", [str(tiny_onnx), "faces"], config=config)
    assert again.models[1].accuracy == told.models[1].accuracy


def test_a_face_that_is_not_found_counts_as_wrong(
    people: Path, face_photo: FacePhoto, tiny_onnx: Path, tmp_path: Path
) -> None:
    face_photo(people / "val" / "Rani" / "scene.png")
    face_photo(people / "train" / "Rani" / "other scene.png")
    told = compare_models(
        people,
        tmp_path / "out",
        [str(tiny_onnx), "faces"],
        config=TrainConfig(classifier=ClassifierOptions(mirror=False)),
    )
    tested = sum(1 for _ in (people / "val").rglob("*.png"))
    assert told.models[1].accuracy.value == pytest.approx((tested - 1) / tested)
    assert told.models[1].note == "1 test photo without a face that was found counts as wrong."
    metrics = json.loads((tmp_path / "out" / "faces-frozen" / "metrics.json").read_text("utf-8"))
    assert metrics["test"]["accuracy"] == told.models[1].accuracy.to_dict()
    assert "scene.png" in (tmp_path / "out" / "faces-frozen" / "report.html").read_text("utf-8")


def test_faces_are_used_as_they_are() -> None:
    _, notes = candidates(["faces", "efficientnet_lite0"], ["frozen", "all"], TrainConfig())
    assert notes == ["'faces' with all is left out: a face embedder can only be used frozen."]
    for classifier in ({"size": 96}, {"n_levels": 2}, {"weights": Path("w")}):
        with pytest.raises(DataError, match="faces: a face embedder is used frozen"):
            TrainConfig(classifier=ClassifierOptions(**classifier)).with_backbone("faces").estimator()
    for finetune in (FineTuneConfig(train="all"), FineTuneConfig(head="mlp:8")):
        with pytest.raises(DataError, match="faces: a face embedder is used frozen"):
            TrainConfig(finetune=finetune).with_backbone("faces").estimator()
    with pytest.raises(WeightsError, match="cannot be read"):
        TrainConfig().with_backbone("faces:none.onnx").estimator().make_encoder().backbone  # noqa: B018
