"""Keypoints trained on face crops, and predicted in the same crops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rehead import KeypointRegressor, load_keypoints
from rehead.errors import DatasetError, ImageError
from rehead.faces import Face, Photo, Quality
from rehead.faces.types import pixels_of
from rehead.images import read_image
from rehead.keypoints import predict_on_faces, read_annotations
from rehead.keypoints.face_crops import NO_FACE, OTHER_FACE, FaceFrame, crop_to_faces, match_face
from rehead.workflows.keypoint_evaluation import evaluate_keypoint_model
from rehead.workflows.keypoints import train_keypoints


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, each: int = 2, seed: int = 0) -> Path: ...


class Boxes:
    """A detector that knows where the drawn faces are: in the one red corner of a photo, or nowhere."""

    name = "boxes"

    def __init__(self, boxes: dict[bytes, list[NDArray[np.float64]]]) -> None:
        self.boxes = boxes

    def detect(self, photo: Photo) -> list[Face]:
        pixels = pixels_of(photo)
        quality = Quality(40, 10, 0, 0, 0)
        return [Face(box, np.zeros((5, 2)), 1.0, quality) for box in self.boxes.get(pixels.tobytes(), [])]


def scattered(source: Path, seed: int = 0) -> tuple[Path, Boxes]:
    """The drawn faces somewhere in larger photos, of another size each; the CSV, and who finds them."""
    rows, rng = read_annotations(source), np.random.default_rng(seed)
    folder = source.parent / "large"
    folder.mkdir()
    lines, boxes = [], {}
    for name, path, points in zip(rows.ids, map(str, rows.paths), rows.points, strict=True):
        scale = rng.uniform(0.9, 1.8)
        canvas = Image.new("RGB", (300, 220), tuple(rng.integers(0, 255, 3).tolist()))
        with Image.open(path) as face:
            size = (round(face.width * scale), round(face.height * scale))
            corner = np.array([rng.integers(0, 300 - size[0]), rng.integers(0, 220 - size[1])])
            canvas.paste(face.convert("RGB").resize(size), tuple(corner.tolist()))
        canvas.save(folder / name)
        truth = points * scale + corner
        low, high = truth.min(axis=0), truth.max(axis=0)
        wide = 0.2 * (high - low) + rng.normal(0, 0.5, 2)  # no detector's box is the points' box
        elsewhere = np.array([0.0, 0, 12, 12])
        boxes[np.asarray(canvas).tobytes()] = [elsewhere, np.concatenate([low - wide, high + wide])]
        lines.append(",".join([name, *(f"{v - 0.5:.2f}" for v in truth.ravel())]))
    (folder / "points.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "points.csv", Boxes(boxes)


@pytest.fixture
def large(tmp_path: Path, drawn_faces: DrawnFaces) -> tuple[Path, Boxes]:
    return scattered(drawn_faces(tmp_path / "a", 20))


def test_a_model_is_trained_and_tested_on_face_crops(
    tmp_path: Path, drawn_faces: DrawnFaces, tiny_onnx: Path, large: tuple[Path, Boxes]
) -> None:
    source, boxes = large
    rows = read_annotations(source)
    lost = np.asarray(read_image(rows.paths[3])).tobytes()
    boxes.boxes[lost] = []
    run = train_keypoints(
        source, tmp_path / "run", regressor=KeypointRegressor(tiny_onnx, cascade=False), detector=boxes
    )
    assert run.evaluation.photos == 39
    assert run.unreadable == [(rows.ids[3], NO_FACE)]
    assert any("1 of 40 photos" in note for note in run.notes)
    # what is written is in the photos, not in the crops
    written = np.genfromtxt(tmp_path / "run/predictions.csv", delimiter=",", skip_header=1)[:, 1:11]
    errors = written.reshape(-1, 5, 2) + 0.5 - np.delete(rows.points, 3, axis=0)
    assert np.abs(errors).mean() < 6
    model = load_keypoints(tmp_path / "run/model.onnx")
    frame = FaceFrame(**model.manifest["faces"])
    assert frame.detector == "boxes"
    fresh, others = scattered(drawn_faces(tmp_path / "b", 6, seed=1), seed=1)
    tested = evaluate_keypoint_model(model, fresh, detector=others, out=tmp_path / "tested")
    assert tested.evaluation.photos == 12
    found, whole = (
        r.evaluation.scores[1].interval.value for r in (tested, evaluate_keypoint_model(model, fresh))
    )
    assert found < 5 < whole  # pixels; a whole photo is much larger than a crop
    assert any("give --detect" in note for note in evaluate_keypoint_model(model, fresh).notes)
    same = evaluate_keypoint_model(model, source, detector=boxes)
    assert any("39 of 39 photos tested on had been trained on" in note for note in same.notes)
    assert json.loads((tmp_path / "tested/metrics.json").read_text("utf-8"))["test"]["photos"] == 12


def test_prediction_makes_the_crops_of_training(
    tmp_path: Path, tiny_onnx: Path, large: tuple[Path, Boxes]
) -> None:
    source, boxes = large
    rows = read_annotations(source)
    (tmp_path / "cut").mkdir()
    crops, frame = crop_to_faces(rows, boxes, tmp_path / "cut", 32)
    assert crops.corners is not None
    assert ((crops.points > 0) & (crops.points < crops.sizes[:, None])).mean() > 0.97
    np.testing.assert_allclose(crops.points + crops.corners[:, None], rows.points)
    regressor = KeypointRegressor(tiny_onnx, cascade=False).fit_annotations(crops)
    regressor.save(tmp_path / "model.onnx", extra={"faces": frame.to_dict()})
    model = load_keypoints(tmp_path / "model.onnx")
    (answers,) = predict_on_faces(model, boxes, [rows.paths[0]])
    assert not isinstance(answers, ImageError)
    in_crop = model.predict(crops.paths[0])[0].points + 0.5
    expected = in_crop * crops.sizes[0] / 32 + crops.corners[0] - 0.5
    np.testing.assert_allclose(answers[1].points, expected, atol=1e-3)


def test_the_face_of_the_points() -> None:
    points = np.array([[10.0, 10], [20, 20], [np.nan, np.nan]])
    far, half, whole = (np.array(box, float) for box in ([50, 50, 60, 60], [15, 15, 60, 60], [0, 0, 99, 99]))
    assert match_face(points, [far, half, whole]) == 2
    assert match_face(points, [far, half]) == 1
    assert match_face(points, [far]) is match_face(points, []) is None


def test_no_photo_with_a_face_is_an_error(
    tmp_path: Path, tiny_onnx: Path, drawn_faces: DrawnFaces, large: tuple[Path, Boxes]
) -> None:
    source, boxes = large
    with pytest.raises(DatasetError, match="boxes found no face around the points of any of 40 photos"):
        train_keypoints(source, tmp_path / "run", detector=Boxes({}), regressor=KeypointRegressor(tiny_onnx))
    assert not (tmp_path / "run").exists()
    only_others = Boxes({key: found[:1] for key, found in boxes.boxes.items()})
    run_on = KeypointRegressor(tiny_onnx, cascade=False).fit(source)
    run_on.save(tmp_path / "model.onnx")
    with pytest.raises(DatasetError, match=OTHER_FACE):
        evaluate_keypoint_model(load_keypoints(tmp_path / "model.onnx"), source, detector=only_others)
