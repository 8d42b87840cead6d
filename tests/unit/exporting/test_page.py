"""Exported pages, without a browser: their graph, their policy, what is in them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from rehead import ImageClassifier, explain, load_model
from rehead.backbones.graphs import cam
from rehead.core.model_file import read_model_file
from rehead.errors import DataError
from rehead.exporting import export_model, onnxruntime_web, page

PhotoFolder = Callable[..., Path]
LABELS = ("</script><b>", "blå", "red fish")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo_folder: PhotoFolder) -> list[Path]:
    folder = photo_folder(tmp_path_factory.mktemp("photos"), {"a": 12, "b": 12, "c": 12})
    return sorted(folder.rglob("*.jpg"))


@pytest.fixture(scope="module")
def model(photos: list[Path], tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = [LABELS["abc".index(photo.parent.name)] for photo in photos]
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    ImageClassifier(tiny_onnx).fit(photos, labels).save(path)
    return path


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that stand for onnxruntime-web's."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in onnxruntime_web.FILES:
        (folder / name).write_bytes(name.encode())
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in onnxruntime_web.FILES}
    monkeypatch.setattr(onnxruntime_web, "FILES", digests)
    return folder


def test_the_maps_are_those_of_explain(model: Path, photos: list[Path]) -> None:
    session = onnxruntime.InferenceSession(page.page_model(read_model_file(model)))
    spec = load_model(model).preprocess
    for photo in photos[::9]:
        pixels = np.asarray(Image.open(photo).resize((spec.size, spec.size), Image.Resampling.BILINEAR))
        (maps,) = session.run(["maps"], {"image": pixels[None]})
        for one in explain(model, photo, classes=LABELS).maps:
            found = maps[0, LABELS.index(one.label)]
            assert found.shape == one.values.shape
            np.testing.assert_allclose(found, one.values, atol=1e-3 * np.abs(maps).max())


def test_a_network_without_maps_has_a_page(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_maps(graph: object) -> None:
        raise cam.NotLinearError("a step 'Tanh' stands where averaged maps were expected")

    monkeypatch.setattr(cam, "add_maps", add_maps)
    session = onnxruntime.InferenceSession(page.page_model(read_model_file(model)))
    names = [output.name for output in session.get_outputs()]
    assert names == ["probabilities", "features", "outlier_score", "styles"]


def test_the_styles_are_those_of_predict(model: Path, photos: list[Path]) -> None:
    session = onnxruntime.InferenceSession(page.page_model(read_model_file(model)))
    predictor = load_model(model)
    grey = [
        np.asarray(Image.open(photo).convert("L").convert("RGB").resize((32, 32))) for photo in photos[::5]
    ]
    styles, features = session.run(["styles", "features"], {"image": np.stack(grey)})
    assert predictor._styles is not None
    np.testing.assert_allclose(styles, predictor._styles.margins(features), rtol=1e-4, atol=1e-4)


def test_the_pages_model_is_still_a_model_file(
    model: Path, runtime: Path, tmp_path: Path, photos: list[Path]
) -> None:
    folder = export_model(model, tmp_path / "out", "web", runtime_files=runtime).folder
    np.testing.assert_allclose(
        load_model(folder / "model.onnx").predict_proba(photos[:3]),
        load_model(model).predict_proba(photos[:3]),
        atol=1e-6,
    )


def test_the_folder_has_all_that_it_names(model: Path, runtime: Path, tmp_path: Path) -> None:
    folder = export_model(model, tmp_path / "out", "web", runtime_files=runtime).folder
    text = (folder / "index.html").read_text("utf-8")
    script = (folder / "app.js").read_text("utf-8")
    named = set(re.findall(r'(?:src|href)="([\w.]+)\?', text)) | set(
        re.findall(r'"([\w.-]+\.\w{2,4})"', script)
    )
    assert named >= {"app.js", "style.css", "worker.js", "model.onnx", *onnxruntime_web.FILES}
    assert named <= {path.name for path in folder.iterdir()}
    assert "Copyright (c) Microsoft" in (folder / "LICENSES.txt").read_text("utf-8")


@pytest.mark.parametrize("target", ["web", "html"])
def test_nothing_is_asked_of_elsewhere(target: str, model: Path, runtime: Path, tmp_path: Path) -> None:
    folder = export_model(model, tmp_path / "out", target, runtime_files=runtime).folder
    text = (folder / "index.html").read_text("utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert not re.search(r"https?:|\*|unsafe-inline|unsafe-eval(?<!wasm-unsafe-eval)", html.unescape(policy))
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_one_file_has_it_all(model: Path, runtime: Path, tmp_path: Path) -> None:
    folder = export_model(model, tmp_path / "out", "html", runtime_files=runtime).folder
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "index.html"]
    text = (folder / "index.html").read_text("utf-8")
    packed = dict(re.findall(r'<script type="text/plain" id="file:([^"]*)">([^<]*)</script>', text))
    assert packed.keys() == {"model.onnx", "worker.js", *onnxruntime_web.FILES}
    graph = gzip.decompress(base64.b64decode(packed["model.onnx"]))
    assert "maps" in [output.name for output in onnxruntime.InferenceSession(graph).get_outputs()]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[-1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in html.unescape(text)


def test_what_classes_are_called_cannot_change_the_page(model: Path, runtime: Path, tmp_path: Path) -> None:
    folder = export_model(model, tmp_path / "out", "web", runtime_files=runtime).folder
    text = (folder / "index.html").read_text("utf-8")
    assert "</script><b>" not in text
    (about,) = re.findall(r'id="about">(.*?)</script>', text, re.DOTALL)
    assert json.loads(about)["labels"] == list(LABELS)


def test_a_page_that_is_too_large_says_how_large(
    model: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_BYTES", 10_000)
    with pytest.raises(DataError, match=r"would be \d+\s+kB in one file, more than 10\s+kB; use --for web"):
        export_model(model, tmp_path / "out", "html", runtime_files=runtime)
    assert not (tmp_path / "out").exists()


def test_pages_are_the_same_whenever_they_are_made(model: Path, runtime: Path, tmp_path: Path) -> None:
    one, two = (
        export_model(model, tmp_path / name, "html", runtime_files=runtime).folder / "index.html"
        for name in ("one", "two")
    )
    assert one.read_bytes() == two.read_bytes()
