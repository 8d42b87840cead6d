from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from rehead.classification.estimator import ImageClassifier
from rehead.classification.predictor import load_model
from rehead.core.cache import cache_root
from rehead.core.model_file import read_model_file, write_model_file
from rehead.errors import DataError, DatasetError, ImageError, NotAModelFileError
from rehead.faces.encoder import FaceEncoder
from rehead.faces.predictor import FacePredictor, load_face_model
from rehead.workflows.train import train

FacePhoto = Callable[..., Path]
PEOPLE = {"Rani": 10, "blå": 60, "Örn's": 120}


@pytest.fixture(scope="module")
def photos(face_photo: FacePhoto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("celebrities")
    for name, person in PEOPLE.items():
        for variant in range(12):
            side = "train" if variant < 8 else "val"
            face_photo(root / side / name / f"{variant}.png", person, variant=11 * variant)
    face_photo(root / "train/Rani/scene.png")
    face_photo(root / "train/blå/two.png", 60, 200, variant=101)
    (root / "train/blå/torn.jpg").write_bytes(b"torn")
    return root


def test_a_run_from_folder_to_model_file(photos: Path, face_parts: Any, tmp_path: Path) -> None:
    before = set(cache_root().rglob("*"))
    detector, embedder = face_parts
    run = train(photos, tmp_path / "run", classifier=ImageClassifier(encoder=FaceEncoder(detector, embedder)))
    assert run.evaluation is not None
    assert run.evaluation.scores.accuracy.value == 1
    assert dict(run.unreadable).keys() == {"train/Rani/scene.png", "train/blå/torn.jpg"}
    assert dict(run.unreadable)["train/Rani/scene.png"] == "no face was found"
    assert any("1 photos that were trained on show several faces" in words for words in run.warnings)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"model.onnx", "metrics.json", "predictions.csv", "splits.csv", "report.html", "run.json"}
    manifest = read_model_file(tmp_path / "run/model.onnx").manifest
    assert manifest["kind"] == "face-classifier"
    assert manifest["faces"]["embedder"]["sha256"] == "ef" * 32
    assert manifest["labels"] == sorted(PEOPLE)
    options = json.loads((tmp_path / "run/run.json").read_text())["options"]
    assert options["selection"] == "centre"
    # who somebody is must not lie about in a cache
    assert set(cache_root().rglob("*")) == before


def test_it_keeps_scikit_learns_grammar(photos: Path, face_parts: Any) -> None:
    detector, embedder = face_parts
    asked = ImageClassifier(encoder=FaceEncoder(selection="largest"), cv=3)
    assert clone(asked).get_params()["encoder__selection"] == "largest"
    with pytest.raises(DataError, match="size cannot be given beside encoder"):
        ImageClassifier(encoder=FaceEncoder(detector, embedder), size=64).fit(photos / "train")
    model = ImageClassifier(encoder=FaceEncoder(detector, embedder), cv=3, mirror=False)
    model.fit(photos / "train")
    encoder = model.fitted_.encoder
    assert isinstance(encoder, FaceEncoder)
    several = encoder.several_faces(model.fitted_.trained_on.paths)
    assert several == [(str(photos / "train/blå/two.png"), 2)]
    answers = model.predict(sorted((photos / "val/blå").iterdir()))
    assert answers.tolist() == ["blå"] * 4
    assert model.predict_proba([photos / "val/Rani/9.png"]).argmax() == 0
    with pytest.raises(ImageError, match=r"scene\.png: no face was found"):
        model.predict([photos / "train/Rani/scene.png"])


def test_several_faces_can_be_refused(photos: Path, face_parts: Any) -> None:
    detector, embedder = face_parts
    model = ImageClassifier(encoder=FaceEncoder(detector, embedder, selection="error")).fit(photos / "train")
    assert any("2 faces, expected one" in reason for _, reason in model.unreadable_)
    assert not any("several faces" in words for words in model.warnings_)


def test_nobody_to_learn_from(tmp_path: Path, face_photo: FacePhoto, face_parts: Any) -> None:
    for name in ("a", "b"):
        for n in range(4):
            face_photo(tmp_path / name / f"{n}.png", variant=n)
    detector, embedder = face_parts
    with pytest.raises(DatasetError):
        ImageClassifier(encoder=FaceEncoder(detector, embedder)).fit(tmp_path)


def test_the_file_is_not_taken_for_a_photo_classifier(photos: Path, face_parts: Any, tmp_path: Path) -> None:
    detector, embedder = face_parts
    ImageClassifier(encoder=FaceEncoder(detector, embedder)).fit(photos / "train").save(
        tmp_path / "model.onnx"
    )
    with pytest.raises(NotAModelFileError, match="a face-classifier model"):
        load_model(tmp_path / "model.onnx")


def test_mirrored_faces_are_tried(photos: Path, face_parts: Any) -> None:
    detector, embedder = face_parts
    model = ImageClassifier(encoder=FaceEncoder(detector, embedder), mirror=True).fit(photos / "train")
    assert {point.mirrored for point in model.head_.path} <= {True, False}
    features = model.fitted_.encoder.extract([photos / "val/Rani/9.png"], mirror=True)
    assert features.mirrored is not None
    # the colours of a block have no left and right
    np.testing.assert_allclose(features.mirrored, features.plain, atol=1e-6)


def test_the_model_file_answers_as_the_classifier_does(
    photos: Path, face_parts: Any, tmp_path: Path, face_photo: FacePhoto
) -> None:
    detector, embedder = face_parts
    model = ImageClassifier(encoder=FaceEncoder(detector, embedder)).fit(photos / "train")
    model.save(tmp_path / "model.onnx")
    predictor = FacePredictor(read_model_file(tmp_path / "model.onnx"), detector=detector)
    files = sorted((photos / "val").rglob("*.png"))
    np.testing.assert_allclose(predictor.predict_proba(files), model.predict_proba(files), atol=0.02)
    assert [answer.nearest for answer in predictor.predict(files)] == [file.parent.name for file in files]
    (none,) = predictor.predict_each([face_photo(tmp_path / "scene.png")])
    assert isinstance(none, ImageError)
    assert none.reason == "no face was found"
    with pytest.raises(NotAModelFileError, match="expected a face-classifier"):
        load_face_model(write_other_kind(tmp_path))


def write_other_kind(folder: Path) -> Path:
    file = read_model_file(folder / "model.onnx")
    write_model_file(folder / "other.onnx", file.graph, {**file.manifest, "kind": "classifier"})
    return folder / "other.onnx"
