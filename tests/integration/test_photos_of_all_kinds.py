"""From the command line: photos of more than 8 bits, too many pixels, damaged ones, and a failing disk."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rehead
from rehead.backbones.neighbours import similar
from rehead.errors import ImageError
from rehead.faces.pipeline import FacePipeline
from rehead.images import limits

PhotoFolder = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits on pixels that a test sets end with it."""
    monkeypatch.setattr(limits, "_limit", limits.MAX_PIXELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def stripes(folder: Path, bits: int, count: int = 12) -> Path:
    """Grey photos of two classes, thin and thick stripes, with values of so many bits in files of 16."""
    for name, width in (("thin", 3), ("thick", 9)):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            rng = np.random.default_rng([width, n])
            x = np.arange(64) + rng.uniform(0, 9)
            light = 0.5 + 0.3 * np.sin(2 * np.pi * x / width) + rng.normal(0, 0.05, (48, 64))
            coarse = Image.fromarray(rng.integers(0, 256, (5, 5), np.uint8)).resize((64, 48))
            light = light * (0.4 + 0.6 * np.asarray(coarse) / 255) * rng.uniform(0.3, 1)
            values = (light.clip(0, 1) * ((1 << bits) - 1)).astype(np.uint16)
            Image.fromarray(values).save(folder / name / f"{n:02d}.png")
    return folder


def probabilities(model: Path, photos: Path) -> np.ndarray:
    files = sorted(photos.rglob("*.png"))
    return np.array([answer.probabilities for answer in rehead.load_model(model).predict(files)])


def test_12_bits_are_as_good_as_16(tiny_onnx: Path, tmp_path: Path, cli: Cli) -> None:
    """The range is found for the whole folder, kept in the model file, and applied in predict."""
    answers, manifests = [], []
    for bits in (16, 12):
        photos = stripes(tmp_path / f"{bits}", bits)
        code, _, _ = cli("train", photos, "--out", tmp_path / f"run{bits}", "--backbone", tiny_onnx)
        assert code == 0
        warnings = json.loads((tmp_path / f"run{bits}" / "run.json").read_text("utf-8"))["warnings"]
        assert any(f"0, black, to {(1 << bits) - 1}, white" in sentence for sentence in warnings)
        model = tmp_path / f"run{bits}" / "model.onnx"
        manifests.append(rehead.load_model(model).manifest["preprocess"]["grey_range"])
        answers.append(probabilities(model, photos))
    assert manifests == [[0, 65535], [0, 4095]]
    np.testing.assert_allclose(answers[0], answers[1], atol=0.05)
    dark = next((tmp_path / "12" / "thin").iterdir())
    lone = rehead.load_model(tmp_path / "run12" / "model.onnx").predict([dark])[0]
    at = sorted((tmp_path / "12").rglob("*.png")).index(dark)
    np.testing.assert_array_equal(lone.probabilities, answers[1][at])


def test_range_can_be_given(tiny_onnx: Path, tmp_path: Path) -> None:
    photos = stripes(tmp_path / "photos", 12)
    fitted = rehead.ImageClassifier(tiny_onnx, grey_range=(0, 8191)).fit(photos)
    fitted.save(tmp_path / "model.onnx")
    assert rehead.load_model(tmp_path / "model.onnx").manifest["preprocess"]["grey_range"] == [0, 8191]
    with pytest.raises(rehead.errors.DataError, match="grey_range"):
        rehead.ImageClassifier(tiny_onnx, grey_range=(9, 2)).fit(photos)


def test_audit_of_12_bits_finds_nothing_blank_or_dark(tiny_onnx: Path, tmp_path: Path) -> None:
    photos = stripes(tmp_path / "photos", 12)
    for path in photos.rglob("*.png"):  # bright enough, all of them
        values = np.asarray(Image.open(path)).astype(np.float64)
        Image.fromarray((values * 4095 / values.max()).astype(np.uint16)).save(path)
    counts = rehead.audit_photos(photos, backbone=tiny_onnx).counts
    assert not {"blank", "dark", "unreadable"} & set(counts)


def test_max_pixels_before_and_behind_the_command(
    photo_folder: PhotoFolder, tmp_path: Path, cli: Cli
) -> None:
    golden = Path(__file__).parents[1] / "golden" / "classifier_protocol1.onnx"
    photo = next((photo_folder(tmp_path, {"a": 1}) / "a").iterdir())
    Image.open(photo).save(photo.with_suffix(".png"))
    photo = photo.with_suffix(".png")
    for words in (["--max-pixels", 1000, "predict"], ["predict", "--max-pixels", 1000]):
        code, out, _ = cli(*words, golden, photo, "--format", "json")
        assert "72 x 56 pixels, more than the limit of 1000" in json.loads(out)[0]["error"], code
    code, out, _ = cli("predict", "--max-pixels", 72 * 56, golden, photo, "--format", "json")
    assert code == 0 and "label" in json.loads(out)[0]
    assert "--max-pixels" in cli("--help")[1]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux: a file whose reading fails")
def test_nothing_is_trained_while_the_disk_fails(
    photo_folder: PhotoFolder, tiny_onnx: Path, tmp_path: Path, cli: Cli
) -> None:
    photos = photo_folder(tmp_path / "photos", {"a": 12, "b": 12})
    (photos / "a" / "0003.jpg").unlink()
    (photos / "a" / "0003.jpg").symlink_to("/proc/self/mem")
    for words in (
        ["train", photos, "--out", tmp_path / "run", "--backbone", tiny_onnx],
        ["audit", photos, "--backbone", tiny_onnx],
        ["predict", Path(__file__).parents[1] / "golden" / "classifier_protocol1.onnx", photos],
    ):
        code, _, err = cli(*words)
        assert code == 2, words
        assert "0003.jpg: the disk or network drive failed" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def bad(folder: Path, count: int) -> list[Path]:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)).save(buffer, "PNG")
    paths = [folder / f"{n}.png" for n in range(count)]
    for path in paths:
        path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return paths


@pytest.mark.parametrize("of", ["photos", "points", "faces"])
def test_errors_hold_nothing_but_their_words(of: str, tmp_path: Path, face_pipeline: FacePipeline) -> None:
    paths = bad(tmp_path, 5)
    golden = Path(__file__).parents[1] / "golden"
    answers: list[Any]
    if of == "photos":
        answers = list(rehead.load_model(golden / "classifier_protocol1.onnx").predict_each(paths))
    elif of == "points":
        answers = list(rehead.load_keypoints(golden / "keypoints_protocol2.onnx").predict_each(paths))
    else:
        answers = list(face_pipeline.analyze_each(paths, "all"))
    assert len(answers) == 5
    for error, path in zip(answers, paths, strict=True):
        assert isinstance(error, ImageError) and error.path == str(path)
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


def test_points_on_12_bits_are_those_on_8(
    drawn_faces: Callable[..., Path], tiny_onnx: Path, tmp_path: Path
) -> None:
    """The regressor finds the range too, keeps it, and its predictor applies it."""
    found = []
    for name in ("8", "12"):
        points = drawn_faces(tmp_path / name, 10)
        for path in points.parent.glob("*.png"):
            grey = np.asarray(Image.open(path).convert("L"))
            Image.fromarray(grey if name == "8" else grey.astype(np.uint16) * 16 + 15).save(path)
        model = rehead.KeypointRegressor(tiny_onnx, cascade=False, n_jitter=0).fit(points)
        photos = sorted(points.parent.glob("*.png"))
        found.append(model.predict(photos))
        model.save(tmp_path / f"{name}.onnx")
    manifest = rehead.load_keypoints(tmp_path / "12.onnx").manifest["preprocess"]
    assert manifest["grey_range"] == [0, 4095]
    assert "grey_range" not in rehead.load_keypoints(tmp_path / "8.onnx").manifest["preprocess"]
    np.testing.assert_allclose(found[1], found[0], atol=0.5)


def test_similar_photos_of_12_bits(tiny_onnx: Path, tmp_path: Path) -> None:
    distances = []
    for name in ("8", "12"):
        photos = stripes(tmp_path / name, 12)
        if name == "8":
            for path in photos.rglob("*.png"):
                grey = np.rint(np.asarray(Image.open(path)) / 4095 * 255).astype(np.uint8)
                Image.fromarray(grey).save(path)
        near = similar(photos, sorted(photos.rglob("*.png"))[0], count=5, backbone=tiny_onnx).nearest
        distances.append([one.distance for one in near])
    np.testing.assert_allclose(distances[1], distances[0], atol=1e-3)
