from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehead import ImageClassifier
from rehead.core.model_file import ModelFile, read_model_file
from rehead.workflows.provenance import bill_of_materials, summary


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path, photo_folder: Any) -> ModelFile:
    folder = tmp_path_factory.mktemp("provenance")
    photos = photo_folder(folder / "photos", {"blå": 6, "red fish": 7})
    ImageClassifier(tiny_onnx, cache=False).fit(photos).save(folder / "model.onnx")
    return read_model_file(folder / "model.onnx")


def test_the_summary_says_what_the_file_was_made_of(file: ModelFile) -> None:
    found = summary(file)
    assert found["classes"] == "blå (6), red fish (7)"
    assert found["trained on"].startswith("13 photos")
    assert found["digest"] == f"sha256 {file.digest}"
    assert found["signature"] == "none"
    assert file.manifest["backbone"]["sha256"] in found["weights"]
    assert "onnxruntime" in found["made with"]
    assert not [name for name, line in found.items() if not line or "None" in line]


def test_the_bill_names_weights_photos_and_libraries(file: ModelFile) -> None:
    bill = json.loads(json.dumps(bill_of_materials(file)))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": file.digest}]
    parts = {part["bom-ref"]: part for part in bill["components"]}
    assert parts["weights"]["hashes"][0]["content"] == file.manifest["backbone"]["sha256"]
    assert {"name": "rehead:photos", "value": "13"} in parts["photos"]["properties"]
    assert parts["numpy"]["purl"].startswith("pkg:pypi/numpy@")
    assert set(bill["dependencies"][0]["dependsOn"]) == set(parts)
    assert bill == bill_of_materials(file)  # the same file, the same bill: serial number and time are its own


def test_files_that_say_less_are_shown_too(file: ModelFile) -> None:
    bare = {
        name: file.manifest[name] for name in ("kind", "protocol", "labels", "operating_point", "preprocess")
    }
    old = ModelFile(file.path, bare, file.graph)
    assert summary(old)["network"].startswith("not stated")
    assert bill_of_materials(old)["components"][0]["name"] == "not stated"
