"""An upload, an open file, pixels and Pillow images get the answer that the photo's path gets."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehead import FaceGallery, ImageClassifier, KeypointRegressor, explain, load_keypoints
from rehead.core.model_file import read_model_file
from rehead.errors import DataError
from rehead.faces.encoder import FaceEncoder
from rehead.faces.pipeline import FacePipeline
from rehead.faces.predictor import FacePredictor
from rehead.faces.verification.calibration import Calibration
from rehead.faces.verification.verify import verify

FacePhoto = Callable[..., Path]


def holders(path: Path) -> Iterator[Any]:
    """The photo, a PNG, in everything that can hold it."""
    data = path.read_bytes()
    yield from (str(path), data, bytearray(data), memoryview(data), io.BytesIO(data))
    with path.open("rb") as file:
        yield file
    with Image.open(path) as image:
        yield image
    yield np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def people(face_photo: FacePhoto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    for person, name in enumerate(("Rani", "blå"), 1):
        for variant in range(8):
            face_photo(root / name / f"{variant}.png", person, variant=variant)
    return root


def test_galleries_and_pairs(
    people: Path, face_pipeline: FacePipeline, face_calibration: Calibration, tmp_path: Path
) -> None:
    photo = people / "Rani/0.png"
    with FaceGallery(
        tmp_path / "people.db", face_pipeline, key=bytes(32), create=True, calibration=face_calibration
    ) as gallery:
        list(gallery.enroll_folder(people))
        for holder in holders(photo):
            (answer,) = gallery.identify(holder)
            assert answer.name == "Rani"
        with pytest.raises(DataError, match=r"NoneType"):
            gallery.identify(None)  # type: ignore[arg-type]
    for holder in holders(photo):
        assert verify(holder, photo, face_pipeline, calibration=face_calibration).score == pytest.approx(1)


def test_face_classifiers(people: Path, face_parts: Any, tmp_path: Path) -> None:
    detector, embedder = face_parts
    photos = sorted(people.glob("*/*.png"))
    data = [path.read_bytes() for path in photos]
    labels = [path.parent.name for path in photos]
    classifier = ImageClassifier(encoder=FaceEncoder(detector, embedder)).fit(data, labels)
    expected = classifier.predict_proba(photos)
    np.testing.assert_array_equal(classifier.predict_proba(data), expected)
    classifier.save(tmp_path / "model.onnx")
    model = FacePredictor(read_model_file(tmp_path / "model.onnx"), detector=detector)
    for holder in holders(photos[0]):
        np.testing.assert_allclose(model.predict_proba(holder), expected[:1], atol=1e-4)


def test_keypoints(drawn_faces: Callable[..., Path], tiny_onnx: Path, tmp_path: Path) -> None:
    source = drawn_faces(tmp_path / "drawn", 12)
    regressor = KeypointRegressor(tiny_onnx, cascade=False, mirror=False, cv=3).fit(source)
    regressor.save(tmp_path / "model.onnx")
    model = load_keypoints(tmp_path / "model.onnx")
    photo = min((tmp_path / "drawn").glob("*.png"))
    (expected,) = model.predict(photo)
    assert expected == model.predict(photo)[0]
    for holder in holders(photo):
        np.testing.assert_allclose(model.predict(holder)[0].points, expected.points, atol=1e-3)
        np.testing.assert_allclose(regressor.predict(holder)[0], expected.points, atol=1e-3)
    assert regressor.predict([]).shape == (0, 5, 2)
    assert model.predict([]) == []
    drawn = sorted((tmp_path / "drawn").glob("*.png"))
    points = regressor.predict(drawn)
    fitted = KeypointRegressor(tiny_onnx, cascade=False, mirror=False, cv=3).fit(
        [path.read_bytes() for path in drawn], points
    )
    assert fitted.predict(drawn).shape == points.shape


def test_explanations(photo_folder: Callable[..., Path], tiny_onnx: Path, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", {"a": 6, "b": 6})
    ImageClassifier(tiny_onnx).fit(folder).save(tmp_path / "model.onnx")
    photo = tmp_path / "photo.png"
    with Image.open(folder / "a/0000.jpg") as image:
        image.save(photo)
    model = tmp_path / "model.onnx"
    expected = explain(model, photo)
    for holder in holders(photo):
        found, values = explain(model, holder).maps[0].values, expected.maps[0].values
        assert found is not None
        assert values is not None
        np.testing.assert_allclose(found, values, atol=1e-3)
