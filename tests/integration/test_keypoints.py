"""Keypoints from photos to a run directory, as a user starts them; and what happens with bad input."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageOps
from sklearn.base import clone

from rehead import KeypointRegressor, load_keypoints, load_model, train_keypoints
from rehead.errors import DatasetError, ImageError, NotAModelFileError
from rehead.faces import Face, Photo, Quality
from rehead.images import image_size
from rehead.keypoints import predict_on_faces, read_annotations
from rehead.workflows.keypoint_evaluation import evaluate_keypoint_model


class DrawnFaces(Protocol):
    def __call__(
        self, folder: Path, people: int, *, each: int = 2, seed: int = 0, missing: float = 0.0
    ) -> Path: ...


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, drawn_faces: DrawnFaces) -> Path:
    return drawn_faces(tmp_path_factory.mktemp("faces"), 30, missing=0.05)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, drawn_faces: DrawnFaces) -> Path:
    return drawn_faces(tmp_path_factory.mktemp("fresh"), 15, seed=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, source: Path, tiny_onnx: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "kp"
    result = rehead("keypoints", "train", source, "--out", folder, "--backbone", tiny_onnx)
    assert result.returncode == 0, result.stderr
    assert "coordinates are off by" in " ".join(result.stdout.split())
    return folder


def rehead(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rehead", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_run_directory_is_whole(run: Path) -> None:
    files = ["metrics.json", "model.onnx", "predictions.csv", "report.html", "run.json", "splits.csv"]
    assert sorted(path.name for path in run.iterdir()) == files
    record = json.loads((run / "metrics.json").read_text("utf-8"))
    assert record["test"]["people"] == 30
    assert sum(step["chosen"] for step in record["path"]) in (1, 2)
    report = (run / "report.html").read_text("utf-8")
    assert report.count("<figure>") == 28
    assert "://" not in report, "it loads nothing"
    splits = list(csv.DictReader(io.StringIO((run / "splits.csv").read_text("utf-8"))))
    pairs = {(row["group"], row["fold"]) for row in splits}
    assert len(pairs) == 30, "a person stands in one fold"


def test_it_is_far_better_than_the_mean_shape_on_new_faces(run: Path, source: Path, fresh: Path) -> None:
    result = rehead("keypoints", "evaluate", run / "model.onnx", fresh, "--json")
    assert result.returncode == 0, result.stderr
    error = json.loads(result.stdout)["test"]["scores"]["MAE, share of the side"]["value"]
    new, known = read_annotations(fresh), read_annotations(source)
    mean_shape = float(np.abs(new.units - np.nanmean(known.units, axis=0)).mean())
    assert error < 0.4 * mean_shape


def test_points_are_printed_and_drawn(run: Path, fresh: Path, tmp_path: Path) -> None:
    photo = sorted(fresh.parent.glob("*.png"))[0]
    drawing = tmp_path / "drawn.png"
    words = ("keypoints", "predict", run / "model.onnx", photo)
    result = rehead(*words, "--format", "json", "--out", drawing)
    assert result.returncode == 0, result.stderr
    (record,) = json.loads(result.stdout)
    assert [point["name"] for point in record["points"]][:2] == ["left_eye", "right_eye"]
    assert image_size(drawing) == (record["width"], record["height"]) == image_size(photo)
    answer = load_keypoints(run / "model.onnx").predict(photo)[0]
    assert answer.to_dict().keys() == record.keys()
    assert answer.to_dict()["points"][2]["x"] == pytest.approx(record["points"][2]["x"], abs=2e-3)
    (line,) = rehead(*words, "--format", "jsonl").stdout.splitlines()
    assert json.loads(line) == record
    (row,) = csv.DictReader(io.StringIO(rehead(*words, "--format", "csv").stdout))
    assert float(row["nose_x"]) == record["points"][2]["x"]
    assert rehead(*words).returncode == 0


def test_plain_onnxruntime_gives_the_same_points(run: Path, fresh: Path) -> None:
    photo = sorted(fresh.parent.glob("*.png"))[0]
    session = onnxruntime.InferenceSession(run / "model.onnx")
    manifest = json.loads(session.get_modelmeta().custom_metadata_map["rehead.manifest"])
    side = manifest["preprocess"]["size"]
    with Image.open(photo) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    keypoints, spread, _, _ = session.run(None, {"image": pixels[None]})
    answer = load_keypoints(run / "model.onnx").predict(photo)[0]
    np.testing.assert_allclose(keypoints[0] * image.size - 0.5, answer.points, atol=1e-3)
    assert spread.shape == (1, 5, 2, 2)
    assert (np.linalg.eigvalsh(spread[0]) > 0).all()


def test_many_photos_at_once_are_those_one_by_one(run: Path, fresh: Path) -> None:
    photos = sorted(fresh.parent.glob("*.png"))[:5]
    model = load_keypoints(run / "model.onnx")
    for answer, photo in zip(model.predict(photos), photos, strict=True):
        np.testing.assert_allclose(answer.points, model.predict(photo)[0].points, atol=1e-3)
        score = model.predict(photo.read_bytes())[0].outlier_score
        assert score == pytest.approx(answer.outlier_score, rel=1e-4)


def test_another_kind_of_model_is_refused(run: Path) -> None:
    with pytest.raises(NotAModelFileError, match="a keypoints model; expected a classifier"):
        load_model(run / "model.onnx")
    with pytest.raises(NotAModelFileError, match="expected a keypoints model"):
        load_keypoints(Path(__file__).parents[1] / "golden" / "classifier_protocol1.onnx")


def test_photos_that_were_trained_on_are_told(run: Path, source: Path, tmp_path: Path) -> None:
    result = evaluate_keypoint_model(load_keypoints(run / "model.onnx"), source, out=tmp_path / "out")
    assert any("had been trained on" in note for note in result.notes)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "metrics.json",
        "predictions.csv",
        "report.html",
    ]


def test_points_are_compared_by_their_names(run: Path, fresh: Path, tmp_path: Path) -> None:
    model = load_keypoints(run / "model.onnx")
    with fresh.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    turned = [*reversed(list(rows[0])[1:])]  # the last point first, and y before x
    lines = [",".join(["name", *turned]), *(",".join([r["name"], *(r[c] for c in turned)]) for r in rows)]
    (tmp_path / "turned.csv").write_text("\n".join(lines), "utf-8")
    plain, other = (
        evaluate_keypoint_model(model, source, images=fresh.parent)
        for source in (fresh, tmp_path / "turned.csv")
    )
    assert other.evaluation.scores[0].interval.value == pytest.approx(
        plain.evaluation.scores[0].interval.value
    )
    (tmp_path / "turned.csv").write_text("\n".join(lines).replace("nose_", "snout_"), "utf-8")
    other = evaluate_keypoint_model(model, tmp_path / "turned.csv", images=fresh.parent)
    assert any("other names than the model's" in note for note in other.notes)


def test_scikit_learn_grammar(source: Path, tiny_onnx: Path) -> None:
    rows = read_annotations(source)
    photos = [str(path) for path in rows.paths]
    regressor = clone(KeypointRegressor(tiny_onnx, cascade=False, mirror=False, cv=3))
    assert regressor.get_params()["cv"] == 3
    regressor.fit(photos, rows.points - 0.5, rows.groups)
    assert len(regressor.cascade_.stages) == 1
    placed = regressor.predict(photos[:3])
    assert placed.shape == (3, 5, 2)
    own = float(np.nanmean(np.abs((regressor.predict(photos) + 0.5) / rows.sizes[:, None] - rows.units)))
    assert -regressor.score(photos, rows.points - 0.5) == pytest.approx(own, rel=0.05)
    assert np.isfinite(regressor.held_out_).all()


def test_a_single_point_is_predicted_with_one_stage(tmp_path: Path, source: Path, tiny_onnx: Path) -> None:
    rows = read_annotations(source)
    keep = ~np.isnan(rows.points[:, 2, 0])
    photos = [str(path) for path, ok in zip(rows.paths, keep, strict=True) if ok]
    regressor = KeypointRegressor(tiny_onnx).fit(photos, rows.points[keep, 2:3], rows.groups[keep])
    assert len(regressor.cascade_.stages) == 1
    assert np.isfinite(regressor.predictor().predict(photos[0])[0].covariance).all()


def test_the_same_seed_gives_the_same_file(tmp_path: Path, source: Path, tiny_onnx: Path) -> None:
    graphs = [KeypointRegressor(tiny_onnx, threads=1).fit(source)._graph for _ in range(2)]
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{0},1,2,3\n", "an odd number"),
        ("{0},1,2\n{1},1,2,3,4\n", "2 points, the first line has 1"),
        ("{0},0.1,0.2,0.3,0.4\n{1},0.1,0.2,0.3,0.4\n", "between 0.1 and 0.4, so they look like shares"),
        ("{0},900,900\n{1},901,902\n", "far outside of their photos"),
        ("{0},10,20\n", "1 photo with points; at least 4 are needed"),
        ("nowhere.png,10,20\n", "1 of 1 photos are not in"),
        ("", "the file is empty"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    tmp_path: Path, source: Path, tiny_onnx: Path, text: str, reason: str
) -> None:
    names = sorted(path.name for path in source.parent.glob("*.png"))
    bad = tmp_path / "bad.csv"
    bad.write_text(text.format(*names), "utf-8")
    with pytest.raises(DatasetError, match=reason):
        train_keypoints(bad, tmp_path / "out", images=source.parent, regressor=KeypointRegressor(tiny_onnx))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_the_command_line_ends_with_code_2(tmp_path: Path, source: Path, tiny_onnx: Path) -> None:
    result = rehead("keypoints", "train", tmp_path / "none.csv", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert result.stderr.startswith("rehead: ")
    assert result.stderr.count("\n") == 1
    words = (
        "keypoints",
        "train",
        source,
        "--out",
        tmp_path / "out",
        "--backbone",
        tiny_onnx,
        "--mirror",
        "1,2,0,3,4",
    )
    result = rehead(*words)
    assert (result.returncode, "mirror table" in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    result = rehead(
        "keypoints", "train", source, "--out", tmp_path / "out", "--backbone", tiny_onnx, "--group", "ü"
    )
    assert (result.returncode, "one person or group" in result.stderr) == (2, True)


def test_an_unreadable_photo_is_left_out_and_named(
    tmp_path: Path, drawn_faces: DrawnFaces, tiny_onnx: Path
) -> None:
    source = drawn_faces(tmp_path / "faces", 12, each=1)
    broken = sorted(source.parent.glob("*.png"))[3]
    broken.write_bytes(broken.read_bytes()[:60])
    result = train_keypoints(source, tmp_path / "run", regressor=KeypointRegressor(tiny_onnx))
    assert [name for name, _ in result.unreadable] == [broken.name]
    assert "12 photos" not in result.evaluation.sentence


class Boxes:
    """A detector that knows where faces are."""

    name = "known boxes"

    def __init__(self, boxes: list[np.ndarray]) -> None:
        self.boxes = boxes

    def detect(self, photo: Photo) -> list[Face]:
        quality = Quality(40, 10, 0, 0, 0)
        return [Face(box, np.zeros((5, 2)), 1.0, quality) for box in self.boxes]


def test_points_on_faces_of_a_large_photo(run: Path, fresh: Path, tmp_path: Path) -> None:
    """Two faces, one of them half as large again, far from where faces were in training."""
    rows = read_annotations(fresh).take([0, 3])
    canvas, truth, boxes = Image.new("RGB", (500, 300), (90, 90, 90)), [], []
    for path, points, corner, scale in zip(
        rows.paths, rows.points, ((20, 40), (300, 120)), (1.5, 1), strict=True
    ):
        with Image.open(path) as face:
            size = (round(face.width * scale), round(face.height * scale))
            canvas.paste(face.convert("RGB").resize(size), corner)
        truth.append(points * scale + corner)
        low, high = truth[-1].min(axis=0), truth[-1].max(axis=0)
        wide = 0.15 * (high - low)  # a detector's box is larger than that of the points
        boxes.append(np.concatenate([low - wide, high + wide]))
    canvas.save(tmp_path / "two.png")
    model = load_keypoints(run / "model.onnx")
    (answers,) = predict_on_faces(model, Boxes(boxes), [tmp_path / "two.png"])
    assert not isinstance(answers, ImageError)
    for answer, points, scale in zip(answers, truth, (1.5, 1), strict=True):
        assert answer.size == (500, 300)
        assert np.abs(answer.points + 0.5 - points).mean() < 3 * scale
        assert answer.face is not None
    assert list(predict_on_faces(model, Boxes([]), [tmp_path / "two.png"])) == [[]]
    (missing,) = predict_on_faces(model, Boxes([]), [tmp_path / "none.png"])
    assert isinstance(missing, ImageError)
