"""`/v2` of a service, with tritonclient as the client."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, load_model
from rehead.core.model_file import read_model_file
from rehead.faces.encoder import FaceEncoder
from rehead.keypoints import load_keypoints
from rehead.serving.app import create_app
from rehead.serving.models import ModelSet
from rehead.workflows.check import check_runtime
from served_app import served_app

triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
utils = pytest.importorskip("tritonclient.utils")

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def folder(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = photo_folder(tmp_path_factory.mktemp("made") / "photos", {"blå": 12, "red fish": 12})
    return root


@pytest.fixture(scope="module")
def model(tiny_onnx: Path, folder: Path) -> Path:
    path = folder.parent / "fish.onnx"
    ImageClassifier(tiny_onnx, cache=False).fit(folder).save(path)
    return path


@pytest.fixture(scope="module")
def people(face_parts: Any, face_photo: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a face classifier."""
    root = tmp_path_factory.mktemp("people")
    for n in range(16):
        face_photo(root / "photos" / ("Rani", "Örn")[n % 2] / f"{n}.png", 10 + 100 * (n % 2), variant=11 * n)
    path = root / "people.onnx"
    ImageClassifier(encoder=FaceEncoder(*face_parts)).fit(root / "photos").save(path)
    return path


@pytest.fixture(scope="module")
def address(model: Path, people: Path) -> Iterator[str]:
    golden = [GOLDEN / f"{name}.onnx" for name in ("classifier_protocol1", "keypoints_protocol2")]
    with served_app(create_app(ModelSet([model, people, *golden]))) as (host, port):
        yield f"{host}:{port}"


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as opened:
        yield opened


def strangers(count: int) -> list[bytes]:
    """Plain photos, black first, which are unlike any that were trained on."""
    photos = []
    for level in np.linspace(0, 255, count, dtype=np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(np.full((70, 50, 3), level)).save(buffer, "PNG")
        photos.append(buffer.getvalue())
    return photos


def given(data: Any, datatype: str, *, binary: bool = True) -> list[Any]:
    tensor = triton.InferInput("image", list(data.shape), datatype)
    tensor.set_data_from_numpy(data, binary_data=binary)
    return [tensor]


def texts(array: Any) -> list[str]:
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]


def test_the_server_says_what_it_is(client: Any, model: Path) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    found = client.get_server_metadata()
    assert (found["name"], found["extensions"]) == ("rehead", ["classification", "binary_tensor_data"])
    version = read_model_file(model).digest[:12]
    assert client.is_model_ready("fish")
    assert client.is_model_ready("fish", version)
    assert not client.is_model_ready("fish", "1")
    assert not client.is_model_ready("fisch")
    described = client.get_model_metadata("fish", version)
    assert described["versions"] == [version]
    assert described["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    outputs = {output["name"]: (output["datatype"], output["shape"]) for output in described["outputs"]}
    assert outputs.pop("features")[0] == "FP32"
    assert outputs == {
        "probabilities": ("FP32", [-1, 2]),
        "outlier_score": ("FP32", [-1]),
        "label": ("BYTES", [-1]),
    }
    with pytest.raises(utils.InferenceServerException, match="unknown model 'fisch'; did you mean 'fish'"):
        client.get_model_metadata("fisch")
    with pytest.raises(utils.InferenceServerException, match="has no such version"):
        client.get_model_metadata("fish", "1")


@pytest.mark.parametrize("binary", [True, False])
def test_photos_get_the_answers_of_predict(client: Any, model: Path, folder: Path, binary: bool) -> None:
    photos = [path.read_bytes() for path in sorted(folder.glob("*/000[0-3].jpg"))] + strangers(2)
    expected = load_model(model).predict(photos)
    assert {"unknown", "blå", "red fish"} == {answer.label for answer in expected}
    sent = photos if binary else [base64.b64encode(photo) for photo in photos]
    names = ["probabilities", "outlier_score", "label"]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    found = client.infer("fish", given(np.array(sent, object), "BYTES", binary=binary), outputs=outputs)
    np.testing.assert_array_equal(
        found.as_numpy("probabilities"), np.stack([answer.probabilities for answer in expected])
    )
    np.testing.assert_allclose(
        found.as_numpy("outlier_score"), [answer.outlier_score for answer in expected], rtol=1e-6
    )
    assert texts(found.as_numpy("label")) == [answer.label for answer in expected]


def test_answers_are_counted(model: Path, folder: Path) -> None:
    photo = (folder / "red fish" / "0000.jpg").read_bytes()
    with served_app(create_app(ModelSet([model]))) as (host, port):
        with triton.InferenceServerClient(f"{host}:{port}") as client:
            client.infer("fish", given(np.array([photo, *strangers(1)], object), "BYTES"))
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=30) as reply:
            numbers = reply.read().decode()
    for label in ("red fish", "unknown"):
        assert f'rehead_answers_total{{label="{label}",model="fish"}} 1.0' in numbers
    assert 'route="/v2/models/{name}/infer",status="200"} 1.0' in numbers


@pytest.mark.parametrize("binary", [True, False])
def test_pictures_get_what_the_graph_gives(client: Any, model: Path, binary: bool) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 41, 60, 3), dtype=np.uint8)
    found = client.infer("fish", given(pictures, "UINT8", binary=binary), request_id="nine")
    predictor = load_model(model)
    names = ["probabilities", "features", "outlier_score"]
    for name, expected in zip(names, predictor.session.run(names, {"image": pictures}), strict=True):
        np.testing.assert_allclose(found.as_numpy(name), expected, rtol=1e-4, atol=1e-5)
    assert found.as_numpy("label").shape == (3,)
    assert found.get_response()["id"] == "nine"
    assert found.get_response()["model_version"] == read_model_file(model).digest[:12]


def test_classes_are_named_by_the_extension(client: Any, model: Path, folder: Path) -> None:
    photo = (folder / "red fish" / "0000.jpg").read_bytes()
    (answer,) = load_model(model).predict(photo)
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    found = client.infer("fish", given(np.array([photo], object), "BYTES"), outputs=wanted)
    named = [text.split(":") for text in texts(found.as_numpy("probabilities"))]
    assert [(int(index), label) for _, index, label in named] == [(1, "red fish"), (0, "blå")]
    np.testing.assert_allclose([float(v) for v, *_ in named], sorted(answer.probabilities)[::-1], atol=1e-6)


def test_a_whole_body_may_be_the_photo(address: str, model: Path, folder: Path) -> None:
    photo = (folder / "red fish" / "0000.jpg").read_bytes()
    request = urllib.request.Request(
        f"http://{address}/v2/models/fish/infer", photo, {"Inference-Header-Content-Length": "0"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        body, length = reply.read(), int(reply.headers["Inference-Header-Content-Length"])
    found = triton.InferResult.from_response_body(body, header_length=length)
    assert texts(found.as_numpy("label")) == ["red fish"]


def test_check_finds_the_service_to_answer_the_same(address: str, model: Path) -> None:
    found = check_runtime(read_model_file(model), f"http://{address}/v2/models/fish")
    assert found.same
    assert found.sentence.startswith("the same: ")


def test_models_of_keypoints_and_faces_have_their_own_outputs(client: Any) -> None:
    photo = np.array(strangers(1), object)
    found = client.infer("keypoints_protocol2", given(photo, "BYTES"))
    predictor = load_keypoints(GOLDEN / "keypoints_protocol2.onnx")
    (expected,) = predictor.predict(photo[0])
    assert found.as_numpy("keypoints").shape == (1, predictor.n_points, 2)
    np.testing.assert_allclose(found.as_numpy("outlier_score"), [expected.outlier_score], rtol=1e-6)
    assert found.as_numpy("label") is None
    described = client.get_model_metadata("people")
    side = described["inputs"][0]["shape"][1]
    squares = np.zeros((2, side, side, 3), np.uint8)
    assert len(texts(client.infer("people", given(squares, "UINT8")).as_numpy("label"))) == 2


def test_an_older_file_takes_squares(client: Any) -> None:
    side = client.get_model_metadata("classifier_protocol1")["inputs"][0]["shape"][1]
    assert client.infer("classifier_protocol1", given(np.zeros((1, side, side, 3), np.uint8), "UINT8"))
    with pytest.raises(utils.InferenceServerException, match=rf"expected UINT8 \[N, {side}, {side}, 3\]"):
        client.infer("classifier_protocol1", given(np.zeros((1, side, side + 1, 3), np.uint8), "UINT8"))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ({"name": "images", "shape": [1], "datatype": "BYTES", "data": ["aGk="]}, "the inputs are 'images'"),
        ({"name": "image", "shape": [1], "datatype": "BYTES", "data": ["hi"]}, "not base64"),
        ({"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGk="]}, "photo 1: not an image"),
        ({"name": "image", "shape": [1, 1, 1], "datatype": "BYTES", "data": ["aGk="]}, "expected [N]"),
        ({"name": "image", "shape": [1, 1, 3], "datatype": "UINT8", "data": [0, 0, 0]}, "[N, H, W, 3]"),
        ({"name": "image", "shape": [1, 1, 1, 3], "datatype": "FP32", "data": [0, 0, 0]}, "expected UINT8"),
        ({"name": "image", "shape": [1, 3, 1, 1], "datatype": "UINT8", "data": [0, 0, 0]}, "expected UINT8"),
        ({"name": "image", "shape": [1, 1, 20000, 3], "datatype": "UINT8", "data": [0] * 60000}, "16384"),
        ({"name": "image", "shape": [99], "datatype": "BYTES", "data": ["aGk="] * 99}, "99 photos"),
    ],
)
def test_wrong_tensors_are_refused_in_one_line(address: str, tensor: Any, reason: str) -> None:
    body = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}/v2/models/fish/infer", body, timeout=30)
    with refused.value as error:
        record = json.load(error)
        assert error.code == (413 if tensor["shape"] == [99] else 400)
    assert list(record) == ["error"]
    assert reason in record["error"]
    assert record["error"].isprintable()


def test_outputs_that_are_not_there_are_refused(client: Any) -> None:
    photo = given(np.array(strangers(1), object), "BYTES")
    with pytest.raises(utils.InferenceServerException, match="unknown output 'labels'; did you mean 'label'"):
        client.infer("fish", photo, outputs=[triton.InferRequestedOutput("labels")])
    with pytest.raises(utils.InferenceServerException, match="'label' is of no classes"):
        client.infer("fish", photo, outputs=[triton.InferRequestedOutput("label", class_count=1)])


def test_a_compressed_body_is_refused(client: Any) -> None:
    photo = given(np.array(strangers(1), object), "BYTES")
    with pytest.raises(utils.InferenceServerException, match="compressed"):
        client.infer("fish", photo, request_compression_algorithm="gzip")
