"""Folders for servers: their text files are those of tests/golden/export, and Triton's has its grammar."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from rehead import ImageClassifier
from rehead.core.model_file import read_model_file
from rehead.errors import ModelFileError
from rehead.exporting import export_model, servers
from rehead.exporting.graph import Graph, Source, Tensor

GOLDEN = Path(__file__).parents[2] / "golden"
MODELS = {
    "classifier": GOLDEN / "classifier_protocol1.onnx",
    "keypoints": GOLDEN / "keypoints_protocol2.onnx",
}
SERVERS = ("triton", "kserve", "ovms")


def texts(folder: Path) -> dict[str, str]:
    """Text files of an export by their paths, without its record, which has the time."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".onnx"]
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in files
        if path.name != "export.json"
    }


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("server", SERVERS)
def test_text_files_are_the_golden_ones(server: str, kind: str, tmp_path: Path) -> None:
    """To renew them: REHEAD's `export` into tests/golden/export, and look at the difference."""
    folder = export_model(MODELS[kind], tmp_path / "out", server, name="petals").folder
    assert texts(folder) == texts(GOLDEN / "export" / f"{server}_{kind}")


@pytest.mark.parametrize("server", SERVERS)
def test_the_graph_is_the_model_file(server: str, tmp_path: Path) -> None:
    folder = export_model(MODELS["classifier"], tmp_path / "out", server, name="petals").folder
    (graph,) = folder.rglob("1/model.onnx")
    assert graph.read_bytes() == MODELS["classifier"].read_bytes()
    assert graph.parents[1].name == "petals"


def test_openvinos_server_gets_squares(tmp_path: Path, tiny_onnx: Path, photo_folder: Any) -> None:
    """Of a file that takes photos as they are: OpenVINO would resize them otherwise."""
    photos = photo_folder(tmp_path / "photos", {"a": 6, "b": 6})
    ImageClassifier(tiny_onnx, cache=False).fit(photos).save(tmp_path / "model.onnx")
    for server, sides in (("triton", ["H", "W"]), ("ovms", [32, 32])):
        folder = export_model(tmp_path / "model.onnx", tmp_path / server, server, name="petals").folder
        session = onnxruntime.InferenceSession(folder / "petals/1/model.onnx")
        assert session.get_inputs()[0].shape[1:] == [*sides, 3]
        pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        found = session.run(["probabilities"], {"image": pixels})[0]
        whole = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        np.testing.assert_array_equal(found, whole.run(["probabilities"], {"image": pixels})[0])


def model_config() -> Any:
    """The part of Triton's ModelConfig that is written, as its model_config.proto numbers it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    Field = descriptor_pb2.FieldDescriptorProto
    words = {"string": Field.TYPE_STRING, "int32": Field.TYPE_INT32, "int64": Field.TYPE_INT64}
    messages = {
        "Shape": {"shape": (1, "int64", True)},
        "ModelInput": {
            "name": (1, "string", False), "data_type": (2, "DataType", False), "dims": (4, "int64", True),
            "reshape": (5, "Shape", False),
        },
        "ModelOutput": {
            "name": (1, "string", False), "data_type": (2, "DataType", False), "dims": (3, "int64", True),
            "label_filename": (4, "string", False), "reshape": (5, "Shape", False),
        },
        "Batching": {},
        "ModelConfig": {
            "name": (1, "string", False), "backend": (17, "string", False),
            "max_batch_size": (4, "int32", False), "input": (5, "ModelInput", True),
            "output": (6, "ModelOutput", True), "dynamic_batching": (11, "Batching", False),
        },
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="triton", syntax="proto3")
    enum = file.enum_type.add(name="DataType")
    for number, word in ((0, "TYPE_INVALID"), (2, "TYPE_UINT8"), (11, "TYPE_FP32")):
        enum.value.add(name=word, number=number)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, many) in fields.items():
            label = Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, label=label)
            if kind in words:
                made.type = words[kind]
            else:
                made.type_name = f".triton.{kind}"
                made.type = Field.TYPE_ENUM if kind == "DataType" else Field.TYPE_MESSAGE
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("triton.ModelConfig"))()


@pytest.mark.parametrize("kind", MODELS)
def test_triton_can_read_its_configuration(kind: str, tmp_path: Path) -> None:
    from google.protobuf import text_format

    folder = export_model(MODELS[kind], tmp_path / "out", "triton", name="petals").folder / "petals"
    config = text_format.Parse((folder / "config.pbtxt").read_text("utf-8"), model_config())
    session = onnxruntime.InferenceSession(folder / "1/model.onnx")
    assert config.name == folder.name
    assert [(i.name, list(i.dims)) for i in config.input] == [
        (i.name, i.shape[1:]) for i in session.get_inputs()
    ]
    for said, output in zip(config.output, session.get_outputs(), strict=True):
        assert said.name == output.name
        assert list(said.dims) == (output.shape[1:] or [1])  # Triton has no dims of nothing
        assert said.HasField("reshape") == (not output.shape[1:])
        labels = said.label_filename
        assert labels == ("labels.txt" if said.name == "probabilities" else "")
    if kind == "classifier":
        lines = (folder / "labels.txt").read_text("utf-8").splitlines()
        assert lines == read_model_file(MODELS[kind]).manifest["labels"]


def test_a_photo_of_any_size_goes_to_triton_as_it_is(tmp_path: Path) -> None:
    outputs = (Tensor("probabilities", "FLOAT", (2,)), Tensor("outlier_score", "FLOAT", ()))
    file = read_model_file(MODELS["classifier"])
    source = Source(file, None, Graph(Tensor("image", "UINT8", (-1, -1, 3)), outputs), "petals", None)
    servers.write_triton(tmp_path, source)
    assert "dims: [ -1, -1, 3 ]" in (tmp_path / "petals/config.pbtxt").read_text("utf-8")
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert "of any height and width" in readme
    assert "(N, any, any, 3)" in readme


def test_of_faces_it_is_said_that_the_server_finds_none(tmp_path: Path) -> None:
    file = read_model_file(MODELS["classifier"])
    manifest = {**file.manifest, "kind": "face-classifier"}
    graph = Graph(Tensor("image", "UINT8", (32, 32, 3)), (Tensor("probabilities", "FLOAT", (3,)),))
    servers.write_ovms(tmp_path, Source(replace(file, manifest=manifest), None, graph, "petals", None))
    assert "the server cannot find faces" in (tmp_path / "README.md").read_text("utf-8")


def test_a_class_of_two_lines_fits_no_list_of_labels(tmp_path: Path) -> None:
    file = read_model_file(MODELS["classifier"])
    manifest = {**file.manifest, "labels": ["one\ntwo", "three"]}
    graph = Graph(Tensor("image", "UINT8", (32, 32, 3)), (Tensor("probabilities", "FLOAT", (2,)),))
    source = Source(replace(file, manifest=manifest), None, graph, "petals", None)
    with pytest.raises(ModelFileError, match=r"'one\\ntwo' does not fit a line"):
        servers.write_triton(tmp_path, source)


def test_ovms_finds_the_model_where_its_configuration_says(tmp_path: Path) -> None:
    folder = export_model(MODELS["classifier"], tmp_path / "out", "ovms", name="petals").folder
    (entry,) = json.loads((folder / "config.json").read_text("utf-8"))["model_config_list"]
    path = Path(entry["config"]["base_path"]).relative_to("/models")
    assert (folder / path / "1/model.onnx").is_file()
    readme = (folder / "README.md").read_text("utf-8")
    assert "NHWC" in readme
    assert "BGR" in readme
