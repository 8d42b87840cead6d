from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core import model_file
from rehead.core.model_file import PROTOCOL, read_model_file, trained_on, write_model_file
from rehead.errors import (
    AlteredModelFileError,
    ModelFileError,
    NewerProtocolError,
    NotAModelFileError,
    OutputError,
)

MANIFEST: dict[str, Any] = {
    "created": "2026-11-27T20:15:00+00:00",
    "kind": "classifier",
    "labels": ["blå", "red fish", "\U0001f41f"],
    "operating_point": {"coverage": 0.95, "probability": 0.5, "outlier_score": 12.25, "photos": 9},
    "preprocess": {"size": 32},
    "rehead": "0.1.0",
    "versions": {"numpy": "2.4.6"},
}


@pytest.fixture(scope="module")
def graph(tiny_onnx: Path) -> bytes:
    return tiny_onnx.read_bytes()


@pytest.fixture(scope="module")
def written(graph: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "model.onnx"
    write_model_file(path, graph, MANIFEST)
    return path.read_bytes()


def saved(folder: Path, data: bytes) -> Path:
    (folder / "model.onnx").write_bytes(data)
    return folder / "model.onnx"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(extra=st.dictionaries(texts, values, max_size=4))
def test_a_manifest_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, graph: bytes, extra: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    write_model_file(path, graph, {**extra, **MANIFEST})
    found = read_model_file(path)
    assert found.manifest == {**extra, **MANIFEST, "protocol": 3}
    assert found.path == path
    assert found.graph == path.read_bytes()
    assert found.graph.startswith(graph)


def test_plain_onnxruntime_and_onnx_open_the_file(tmp_path: Path, graph: bytes, written: bytes) -> None:
    path = saved(tmp_path, written)
    onnx.checker.check_model(str(path), full_check=True)
    ours, bare = onnxruntime.InferenceSession(path), onnxruntime.InferenceSession(graph)
    metadata = ours.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["rehead.manifest"]) == {**MANIFEST, "protocol": 3}
    assert len(metadata["rehead.sha256"]) == 64
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    for found, expected in zip(ours.run(None, {"input": x}), bare.run(None, {"input": x}), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_metadata_that_the_graph_has_already_stays(tmp_path: Path, tiny_onnx: Path) -> None:
    model = onnx.load(tiny_onnx)
    onnx.helper.set_model_props(model, {"author": "someone"})
    write_model_file(tmp_path / "model.onnx", model.SerializeToString(), MANIFEST)
    assert read_model_file(tmp_path / "model.onnx").manifest["kind"] == "classifier"
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert set(metadata) == {"author", "rehead.manifest", "rehead.sha256"}


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, graph: bytes, written: bytes) -> None:
    write_model_file(tmp_path / "again.onnx", graph, dict(reversed(MANIFEST.items())))
    assert (tmp_path / "again.onnx").read_bytes() == written


@settings(max_examples=80, deadline=None)
@given(cut=st.integers(0, 10**9))
def test_a_file_cut_short_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, written: bytes, cut: int
) -> None:
    path = saved(tmp_path_factory.mktemp("cut"), written[: cut % len(written)])
    with pytest.raises((NotAModelFileError, AlteredModelFileError), match=r"model\.onnx: "):
        read_model_file(path)


@settings(max_examples=150, deadline=None)
@given(
    place=st.integers(0, 10**9) | st.integers(-800, -1),  # the manifest and its digest are at the end
    flip=st.integers(1, 255),
)
def test_one_byte_changed_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, written: bytes, place: int, flip: int
) -> None:
    data = bytearray(written)
    data[place % len(data)] ^= flip
    path = saved(tmp_path_factory.mktemp("flip"), bytes(data))
    with pytest.raises(ModelFileError, match=r"model\.onnx: "):
        read_model_file(path)


@settings(max_examples=30, deadline=None)
@given(more=st.binary(min_size=1, max_size=40))
def test_bytes_added_behind_are_refused(
    tmp_path_factory: pytest.TempPathFactory, written: bytes, more: bytes
) -> None:
    with pytest.raises(ModelFileError):
        read_model_file(saved(tmp_path_factory.mktemp("more"), written + more))


def test_a_second_network_added_behind_is_refused(tmp_path: Path, graph: bytes, written: bytes) -> None:
    # protobuf merges what is concatenated, so a runtime would see both
    with pytest.raises(AlteredModelFileError, match="changed or damaged"):
        read_model_file(saved(tmp_path, written + graph))


def test_another_manifest_in_its_place_is_refused(tmp_path: Path, written: bytes) -> None:
    # of the same length, so that only the digest can tell
    data = written.replace(b'"probability":0.5', b'"probability":0.1')
    assert data != written
    with pytest.raises(AlteredModelFileError, match="copy it again from where it came"):
        read_model_file(saved(tmp_path, data))


def test_a_file_of_a_later_rehead_says_to_upgrade(
    tmp_path: Path, graph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "PROTOCOL", PROTOCOL + 1)
    monkeypatch.setitem(model_file.KINDS, "classifier", model_file.Kind(protocol=PROTOCOL + 1))
    write_model_file(tmp_path / "model.onnx", graph, {**MANIFEST, "rehead": "9.0"})
    assert read_model_file(tmp_path / "model.onnx").manifest["protocol"] == PROTOCOL + 1
    monkeypatch.undo()
    with pytest.raises(NewerProtocolError, match=rf"rehead 9\.0 with protocol {PROTOCOL + 1}.*pip install"):
        read_model_file(tmp_path / "model.onnx")


def test_each_kind_is_written_with_the_earliest_protocol_that_knows_it(tmp_path: Path, graph: bytes) -> None:
    """A rehead of protocol 2 still reads keypoints, and says of classifiers that it is too old for them."""
    points = {"kind": "keypoints", "points": {"count": 2}, "operating_point": {}, "preprocess": {}}
    for manifest, protocol in ((MANIFEST, 3), (points, 2)):
        write_model_file(tmp_path / "model.onnx", graph, manifest)
        assert read_model_file(tmp_path / "model.onnx").manifest["protocol"] == protocol
    write_model_file(tmp_path / "model.onnx", graph, {k: v for k, v in points.items() if k != "points"})
    with pytest.raises(ModelFileError, match="its manifest lacks points"):
        read_model_file(tmp_path / "model.onnx")


@pytest.mark.parametrize("lacking", ["kind", "labels", "operating_point", "preprocess"])
def test_a_manifest_without_a_needed_entry_is_refused(tmp_path: Path, graph: bytes, lacking: str) -> None:
    less = {key: value for key, value in MANIFEST.items() if key != lacking}
    write_model_file(tmp_path / "model.onnx", graph, less)
    with pytest.raises(ModelFileError, match=f"its manifest lacks {lacking}"):
        read_model_file(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"protocol": "x"}', b'{"protocol": 1e999}', b"[" * 9999, b"\xff"]
)
def test_a_manifest_that_is_no_manifest_is_refused(tmp_path: Path, graph: bytes, text: bytes) -> None:
    with pytest.raises(AlteredModelFileError):
        read_model_file(saved(tmp_path, graph + model_file._sealed(graph, text)))


@pytest.mark.parametrize("kind", ["onnx", "empty", "text", "jpeg", "zip"])
def test_something_else_is_not_ours(tmp_path: Path, graph: bytes, kind: str) -> None:
    data = {
        "onnx": graph,
        "empty": b"",
        "text": b"hello " * 50,
        "jpeg": b"\xff\xd8\xff",
        "zip": b"PK\x03\x04",
    }
    with pytest.raises(NotAModelFileError, match=r"model\.onnx: not a rehead model file"):
        read_model_file(saved(tmp_path, data[kind]))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_refused_politely(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    with pytest.raises(NotAModelFileError):
        read_model_file(saved(tmp_path_factory.mktemp("any"), data))


def test_a_folder_names_the_model_in_it(tmp_path: Path, written: bytes) -> None:
    with pytest.raises(NotAModelFileError, match=r"a folder; expected a model file such as model\.onnx$"):
        read_model_file(tmp_path)
    inside = saved(tmp_path, written)
    with pytest.raises(NotAModelFileError, match="did you mean") as caught:
        read_model_file(tmp_path)
    assert str(inside) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.onnx: the model file cannot be read \(No such file"):
        read_model_file(tmp_path / "none.onnx")


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, graph: bytes, written: bytes) -> None:
    path = saved(tmp_path, written)
    with pytest.raises(TypeError):
        write_model_file(path, graph, {**MANIFEST, "metrics": object()})
    assert path.read_bytes() == written
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken: cannot be written"):
        write_model_file(tmp_path / "taken", graph, MANIFEST)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.onnx", "taken"]


def test_photos_that_were_trained_on_are_known_by_the_beginning_of_their_digest() -> None:
    manifest = {"seen": "0123456789ab ba9876543210"}
    digests = ["0123456789ab" + 52 * "0", "1" * 64, ""]
    assert trained_on(manifest, digests).tolist() == [True, False, False]
    assert trained_on({}, digests).tolist() == [False, False, False]


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("kind", {}),
        ("labels", []),
        ("labels", ["a", "a"]),
        ("labels", ["a", 3]),
        ("labels", "ab"),
        ("operating_point", [1]),
        ("operating_point", {"probability": float("nan")}),
        ("operating_point", {"outlier_score": float("inf")}),
        ("operating_point", {"outlier_score": 10**400}),
        ("operating_point", {"outlier_score": "0"}),
        ("preprocess", 32),
        ("points", {"count": 2, "names": ["one"]}),
        ("points", {"count": "2"}),
        ("points", {"count": 2, "frame": {"box": [0, 0, 1], "aspect": 1}}),
        ("depths", [["last"]]),
        ("backbone", {"name": 3, "sha256": "", "licences": {}}),
        ("photos", {"a": -1}),
        ("seen", ["0c2f"]),
        ("faces", "mtcnn"),
    ],
)
def test_a_manifest_with_entries_of_other_types_is_refused(
    tmp_path: Path, graph: bytes, entry: str, value: object
) -> None:
    text = json.dumps({**MANIFEST, "protocol": 1, entry: value}).encode()
    with pytest.raises(ModelFileError, match=f"its manifest cannot be used: {entry} is ") as caught:
        read_model_file(saved(tmp_path, graph + model_file._sealed(graph, text)))
    assert not isinstance(caught.value, NotAModelFileError)  # or it would be taken for a network of others


def test_a_network_that_reads_files_or_may_never_end_is_refused(tmp_path: Path, graph: bytes) -> None:
    for spoil, said in ((_outside, "reads other files"), (_loop, "has the operator Loop")):
        model = onnx.load_from_string(graph)
        spoil(model)
        write_model_file(tmp_path / "model.onnx", model.SerializeToString(), MANIFEST)
        with pytest.raises(ModelFileError, match=rf"model\.onnx: its network {said}"):
            read_model_file(tmp_path / "model.onnx")


def _outside(model: Any) -> None:
    tensor = model.graph.initializer.add(name="secret", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="secret.bin")


def _loop(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Loop", ["", "", "x"], ["y"], body=onnx.GraphProto()))
