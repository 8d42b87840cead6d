"""A file's golden pictures tell a runtime that answers as it does from one that does not."""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rehead import ImageClassifier
from rehead.classification.self_test import Answers, by_session, self_test
from rehead.core.model_file import ModelFile, read_model_file, write_model_file
from rehead.core.runtime import open_session
from rehead.errors import DataError, ModelFileError, UnknownNameError
from rehead.images import PreprocessSpec, golden_pictures, load_image, png
from rehead.workflows.check import check_runtime


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path, photo_folder: Any) -> ModelFile:
    folder = tmp_path_factory.mktemp("golden")
    photos = photo_folder(folder / "photos", {"blå": 12, "red fish": 12})
    ImageClassifier(tiny_onnx, cache=False).fit(photos).save(folder / "model.onnx")
    return read_model_file(folder / "model.onnx")


@pytest.fixture(scope="module")
def runtime(file: ModelFile) -> Answers:
    return by_session(
        open_session(file.graph, threads=1), PreprocessSpec.from_dict(file.manifest["preprocess"])
    )


def resized(picture: NDArray[np.uint8], how: Image.Resampling) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((32, 32), how))


def test_the_files_own_runtime_gives_the_same(file: ModelFile) -> None:
    found = check_runtime(file, "onnxruntime")
    assert found.same
    assert max(found.differences) < 1e-5
    assert found.sentence.startswith("the same: 0 of 5 golden pictures")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda picture: picture[..., ::-1],
        lambda picture: resized(picture, Image.Resampling.NEAREST),
        lambda picture: picture.transpose(1, 0, 2),
        lambda picture: (picture // 2).astype(np.uint8),
    ],
    ids=["red and blue exchanged", "no antialiasing", "height and width exchanged", "another range"],
)
def test_a_runtime_that_changes_the_photo_is_found_out(file: ModelFile, runtime: Answers, wrong: Any) -> None:
    found = self_test(file.manifest, lambda picture: runtime(np.ascontiguousarray(wrong(picture))))
    assert not found.same
    assert found.sentence.startswith("not the same: ")


def test_squares_as_predict_makes_them_give_the_same(file: ModelFile, runtime: Answers) -> None:
    preprocess = PreprocessSpec.from_dict(file.manifest["preprocess"])
    found = self_test(file.manifest, lambda picture: runtime(load_image(png(picture), preprocess)))
    assert found.same


def test_the_golden_pictures_are_in_the_file_to_the_bit(file: ModelFile) -> None:
    kept = [base64.b64decode(entry["png"]) for entry in file.manifest["golden"]]
    for data, picture in zip(kept, golden_pictures(), strict=True):
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(np.asarray(image), picture)
    assert sum(map(len, kept)) < 40_000


def test_what_cannot_be_checked_is_said(file: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown runtime 'onnxruntim'; did you mean 'onnxruntime'"):
        check_runtime(file, "onnxruntim")
    with pytest.raises(ModelFileError, match=r"http://127\.0\.0\.1:9/v2/models/x: gives no answer"):
        check_runtime(file, "http://127.0.0.1:9/v2/models/x/")
    old = {name: value for name, value in file.manifest.items() if name != "golden"}
    with pytest.raises(DataError, match="no golden pictures; train it again"):
        self_test(old, lambda _: (np.zeros(2, np.float32), 0.0))
    broken = {**file.manifest, "golden": [{**file.manifest["golden"][0], "png": "bm90IGEgcG5n"}]}
    with pytest.raises(DataError, match="golden picture that cannot be read"):
        self_test(broken, lambda _: (np.zeros(2, np.float32), 0.0))
    write_model_file(tmp_path / "m.onnx", file.graph[:0], {**broken, "golden": "none"})
    with pytest.raises(ModelFileError, match="golden"):
        read_model_file(tmp_path / "m.onnx")


def test_copies_of_training_photos_are_kept_only_where_that_is_asked_for(
    tmp_path: Path, tiny_onnx: Path, photo_folder: Any
) -> None:
    photos = photo_folder(tmp_path / "photos", {"a": 12, "b": 12}, size=(300, 200))
    ImageClassifier(tiny_onnx, cache=False, golden=True).fit(photos).save(tmp_path / "model.onnx")
    kept = read_model_file(tmp_path / "model.onnx")
    sizes = []
    for entry in kept.manifest["golden"]:
        with Image.open(io.BytesIO(base64.b64decode(entry["png"]))) as image:
            sizes.append(image.size)
    assert sizes[5:] == [(160, 107)] * 5
    assert {entry["answer"] for entry in kept.manifest["golden"][5:]} & {"a", "b"}
    assert check_runtime(kept, "onnxruntime").same


def test_openvino_is_found_out(file: ModelFile) -> None:
    """It resizes without antialiasing; where this fails, it does not any more, and the docs are to say so."""
    pytest.importorskip("openvino", reason="needs rehead[openvino]")
    found = check_runtime(file, "openvino")
    assert not found.same


class Infer(BaseHTTPRequestHandler):
    """A model behind the Open Inference Protocol, version 2, as far as `check` asks it."""

    session: Any
    swapped = False

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (image,) = asked["inputs"]
        assert (self.path, image["datatype"]) == ("/v2/models/m/infer", "UINT8")
        pixels = np.array(image["data"], np.uint8).reshape(image["shape"])
        pixels = pixels[..., ::-1] if self.swapped else pixels
        names = [output["name"] for output in asked["outputs"]]
        found = self.session.run(names, {"image": np.ascontiguousarray(pixels)})
        outputs = [
            {"name": name, "shape": array.shape, "datatype": "FP32", "data": array.ravel().tolist()}
            for name, array in zip(names, found, strict=True)
        ]
        body = json.dumps({"model_name": "m", "outputs": outputs}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("swapped", [False, True])
def test_a_server_of_the_open_inference_protocol_is_checked(file: ModelFile, swapped: bool) -> None:
    handler = type("Handler", (Infer,), {"session": open_session(file.graph, threads=1), "swapped": swapped})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = check_runtime(file, f"http://127.0.0.1:{server.server_port}/v2/models/m")
        server.shutdown()
    assert found.same is not swapped
