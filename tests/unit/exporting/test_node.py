"""onnxruntime-web in Node.js gives the answers of ONNX Runtime, on the golden pictures and any others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead import ImageClassifier
from rehead.classification.self_test import by_session, self_test
from rehead.core.model_file import ModelFile, read_model_file
from rehead.core.runtime import open_session
from rehead.errors import MissingExtraError, ModelFileError, WeightsNotFoundError
from rehead.exporting.node import in_node
from rehead.exporting.onnxruntime_web import runtime_files
from rehead.images import PreprocessSpec


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path, photo_folder: Any) -> ModelFile:
    folder = tmp_path_factory.mktemp("node")
    photos = photo_folder(folder / "photos", {"a": 12, "b": 12})
    ImageClassifier(tiny_onnx, cache=False).fit(photos).save(folder / "model.onnx")
    return read_model_file(folder / "model.onnx")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    place = tmp_path_factory.mktemp("onnxruntime-web")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REHEAD_CACHE", str(place / "cache"))
        try:
            files = runtime_files()
        except WeightsNotFoundError as error:
            pytest.skip(str(error))
    for name, data in files.items():
        (place / name).write_bytes(data)
    yield place


def test_it_gives_the_same_answers(file: ModelFile, package: Path) -> None:
    here = by_session(
        open_session(file.graph, threads=1), PreprocessSpec.from_dict(file.manifest["preprocess"])
    )
    rng = np.random.default_rng(0)
    with in_node(file.graph, "model.onnx", package) as there:
        assert self_test(file.manifest, there).same
        for size in ((32, 32), (1, 90), (200, 37)):
            picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            (expected, outlier), (found, score) = here(picture), there(picture)
            np.testing.assert_allclose(found, expected, atol=1e-4)
            assert score == pytest.approx(outlier, rel=1e-2, abs=1e-2)


def test_what_it_cannot_run_is_said(package: Path) -> None:
    with in_node(b"no graph", "my.onnx", package) as there, pytest.raises(ModelFileError) as error:
        there(np.zeros((32, 32, 3), np.uint8))
    assert str(error.value).startswith("my.onnx: onnxruntime-web cannot run it (")


def test_without_node_it_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"needs Node\.js 20"), in_node(b"", "my.onnx"):
        pass
