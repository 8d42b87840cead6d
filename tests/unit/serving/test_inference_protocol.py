"""The Open Inference Protocol, with tritonclient's own writer and reader as the other side."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rehead.errors import DataError
from rehead.serving.inference_protocol import InferRequest, RequestedOutput, read_request, write_response
from rehead.serving.tensors import DATATYPES, Tensor

triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
FLOATS = {"allow_nan": False, "allow_infinity": False}


def arrays(texts: bool) -> st.SearchStrategy[tuple[str, NDArray[Any]]]:
    """A datatype, and an array of it; BYTES are text where `texts`."""

    def of(datatype: str) -> st.SearchStrategy[tuple[str, NDArray[Any]]]:
        if datatype == "BYTES":
            element = st.text(max_size=9).map(str.encode) if texts else st.binary(max_size=9)
            found = hnp.arrays(object, SHAPES, elements=element)
        else:
            dtype = np.dtype(DATATYPES[datatype])
            found = hnp.arrays(dtype, SHAPES, elements=FLOATS if dtype.kind == "f" else None)
        return found.map(lambda array: (datatype, array))

    return st.sampled_from(list(DATATYPES)).flatmap(of)


def written(data: NDArray[Any], datatype: str, *, binary: bool, **more: Any) -> tuple[bytes, str | None]:
    given = triton.InferInput("image", list(data.shape), datatype)
    given.set_data_from_numpy(data, binary_data=binary)
    body, length = triton.InferenceServerClient.generate_request_body([given], **more)
    return body, None if length is None else str(length)


@settings(max_examples=60, deadline=None)
@given(arrays(texts=False))
def test_what_triton_writes_in_binary_is_read_as_it_was(given_: tuple[str, NDArray[Any]]) -> None:
    datatype, data = given_
    found = read_request(*written(data, datatype, binary=True, request_id="7"))
    tensor = found.inputs["image"]
    assert (found.id, tensor.datatype, found.binary) == ("7", datatype, True)
    np.testing.assert_array_equal(tensor.data, data)


@settings(max_examples=60, deadline=None)
@given(arrays(texts=True))
def test_what_triton_writes_as_json_is_read_as_it_was(given_: tuple[str, NDArray[Any]]) -> None:
    datatype, data = given_
    found = read_request(*written(data, datatype, binary=False))
    np.testing.assert_array_equal(found.inputs["image"].data, data)
    if datatype != "BYTES":
        nested = {"name": "image", "shape": data.shape, "datatype": datatype, "data": data.tolist()}
        again = read_request(json.dumps({"inputs": [nested]}).encode())
        np.testing.assert_array_equal(again.inputs["image"].data, data)


@settings(max_examples=60, deadline=None)
@given(st.lists(arrays(texts=True), min_size=1, max_size=4), st.data())
def test_triton_reads_what_is_written(given_: list[tuple[str, NDArray[Any]]], draw: st.DataObject) -> None:
    answers = {str(n): Tensor(str(n), datatype, data) for n, (datatype, data) in enumerate(given_)}
    wanted = tuple(RequestedOutput(name, draw.draw(st.booleans())) for name in answers)
    body, length = write_response("m", "1", InferRequest({}, "id", wanted), answers, {})
    found = triton.InferenceServerClient.parse_response_body(body, header_length=length)
    assert found.get_response()["id"] == "id"
    assert (length is None) == (not any(output.binary for output in wanted))
    for name, tensor in answers.items():
        data = found.as_numpy(name)
        if tensor.datatype == "BYTES" and not found.get_output(name).get("parameters"):
            tensor = Tensor(name, "BYTES", np.vectorize(bytes.decode, otypes=[object])(tensor.data))
        np.testing.assert_array_equal(data, tensor.data)


def test_classification_names_the_highest() -> None:
    rows = Tensor("probabilities", "FP32", np.array([[0.25, 0.625, 0.125], [0.5, 0.0, 0.5]], np.float32))
    request = InferRequest({}, outputs=(RequestedOutput("probabilities", True, 2),))
    body, length = write_response(
        "m", "1", request, {"probabilities": rows}, {"probabilities": ["a", "ü:", "c"]}
    )
    found = triton.InferenceServerClient.parse_response_body(body, header_length=length)
    expected = [["0.625000:1:ü:", "0.250000:0:a"], ["0.500000:0:a", "0.500000:2:c"]]
    assert np.vectorize(bytes.decode)(found.as_numpy("probabilities")).tolist() == expected
    every = InferRequest({}, outputs=(RequestedOutput("probabilities", False, 10**6),))
    body, _ = write_response("m", "1", every, {"probabilities": rows}, {})
    assert json.loads(body)["outputs"][0]["data"][:3] == ["0.625000:1", "0.250000:0", "0.125000:2"]
    with pytest.raises(DataError, match="'probabilities' is of no classes"):
        write_response("m", "1", every, {"probabilities": Tensor("probabilities", "FP32", rows.data[0])}, {})


def test_json_has_no_nan() -> None:
    answer = Tensor("x", "FP32", np.array([1.5, np.nan, np.inf], np.float32))
    body, _ = write_response("m", "1", InferRequest({}), {"x": answer}, {})
    assert json.loads(body)["outputs"][0]["data"] == [1.5, None, None]


def test_a_whole_body_is_one_photo() -> None:
    found = read_request(b"\xff\xd8 jpeg", "0")
    assert found.inputs["image"].data.tolist() == [b"\xff\xd8 jpeg"]
    assert [output.binary for output in found.requested(["a", "b"])] == [True, True]


def test_an_output_that_is_not_there_is_named() -> None:
    request = read_request(
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}], '
        b'"outputs": [{"name": "probability"}]}'
    )
    with pytest.raises(DataError, match="did you mean 'probabilities'"):
        request.requested(["probabilities", "label"])


GOOD = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": [1, 2, 3, 4]}


def asking(**changed: Any) -> bytes:
    return json.dumps({"inputs": [GOOD], **changed}).encode()


def one(**changed: Any) -> bytes:
    return asking(inputs=[{**GOOD, **changed}])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[1]", "a list of 1"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"inputs": ' + b"[{},{}," * 400_000, "more than 1000000 lists"),
        (b" " * (8 * 1024**2 + 1), "bytes of JSON"),
        (b'{"inputs": []}', "inputs are a list of 0"),
        (b'{"inputs": {"a": 1}}', "inputs are a record of 1"),
        (b'{"inputs": [3]}', "an input is 3"),
        (b"{}", "inputs are None"),
        (one(name=3), "name of an input is 3"),
        (one(datatype="BF16"), "datatype is 'BF16'"),
        (one(datatype=["UINT8"]), "datatype is a list"),
        (one(shape=[]), "shape is a list of 0"),
        (one(shape="2"), "shape is '2'"),
        (one(shape=[1] * 9), "shape is a list of 9"),
        (one(shape=[-2, -2]), "length of -2"),
        (one(shape=[2, 2.0]), "length of 2.0"),
        (one(shape=[2, True]), "length of True"),
        (one(shape=[0, 4]), "length of 0"),
        (one(shape=[2, 2**40]), "length of 1099511627776"),
        (one(shape=[2, 2**4000]), "length of a huge number"),
        (one(shape=[2**30] * 8), "4 elements; the shape says"),
        (one(data=[1, 2, 3]), "3 elements; the shape says 4"),
        (one(data=[[1, 2], [3]]), "nested otherwise"),
        (one(data=[[1, 2], 3]), "nested otherwise"),
        (one(data=[[1, 2], [3, 4], [5, 6]]), "nested otherwise"),
        (one(data=[[[1], [2]], [[3], [4]]]), "the data has list"),
        (one(data=[1, 2, 3, 256]), "UINT8 cannot hold"),
        (one(data=[1, 2, 3, -1]), "UINT8 cannot hold"),
        (one(data=[1, 2, 3, 10**300]), "UINT8 cannot hold"),
        (one(data=[1, 2, 3, 4.0]), "has float"),
        (one(data=[1, 2, 3, True]), "has bool"),
        (one(data=[1, 2, 3, None]), "has NoneType"),
        (one(data=["a" * 99, "b", "c", "d"]), "has str"),
        (one(data=[1, 2, 3, float("nan")]), "NaN, which JSON does not know"),
        (one(datatype="FP32", data=[1, 2, 3, float("inf")]), "Infinity, which JSON does not know"),
        (one(datatype="FP32", data=[1, 2, 3, 1e300]), "FP32 cannot hold"),
        (one(datatype="FP64", data=[1, 2, 3, 10**400]), "FP64 cannot hold"),
        (one(datatype="FP64").replace(b"[1, 2, 3, 4]", b"[1, 2, 3, 1e999]"), "FP64 cannot hold"),
        (one().replace(b"[1, 2, 3, 4]", b"[1, 2, 3, " + b"9" * 5000 + b"]"), "not JSON"),
        (one(datatype="BYTES", data=["a", "b", "c", "\ud800"]), "half a character"),
        (one(data=None), "data is None"),
        (one(data={"a": 1}), "data is a record"),
        (one(parameters=[]), "parameters are a list"),
        (one(parameters={"shared_memory_region": "x"}), "shared memory is not offered"),
        (one(parameters={"binary_data_size": 4}), "both data and binary_data_size"),
        (b'{"id": 3, "inputs": [1]}', "the id is 3"),
        (b'{"id": "\\ud800", "inputs": [1]}', "the id is"),
        (b'{"parameters": 3, "inputs": [1]}', "parameters are 3"),
        (asking(inputs=[GOOD, GOOD]), "'image' is there twice"),
        (asking(outputs=3), "outputs are 3"),
        (asking(outputs=[{}]), "an output is a record"),
        (asking(outputs=[{"name": "a"}] * 2), "asked for twice"),
        (asking(outputs=[{"name": "a", "parameters": {"binary_data": 1}}]), "binary_data is 1"),
        (asking(outputs=[{"name": "a", "parameters": {"classification": -1}}]), "classification is -1"),
        (asking(parameters={"binary_data_output": "yes"}), "binary_data_output is 'yes'"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(body: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read_request(body)
    assert reason in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def sized(size: object, shape: Any = (2,), datatype: str = "UINT16") -> bytes:
    entry = {"name": "image", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [entry]}).encode()


@pytest.mark.parametrize(
    ("text", "rest", "length", "reason"),
    [
        (sized(4), b"123", None, "binary_data_size is 4, but 3 bytes are left"),
        (sized(4), b"12345", None, "1 bytes of the request belong to no input"),
        (sized(-1), b"1234", None, "binary_data_size is -1"),
        (sized(4.0), b"1234", None, "binary_data_size is 4.0"),
        (sized(True), b"1", None, "binary_data_size is True"),
        (sized(2**70), b"1234", None, "binary_data_size is"),
        (sized(3), b"123", None, "3 bytes; its shape and datatype make 4"),
        (sized(4, [2**31 - 1] * 8), b"1234", None, "its shape and datatype make"),
        (sized(4, [2**31 - 1] * 8, "BYTES"), b"1234", None, "not enough for"),
        (sized(8, [1], "BYTES"), b"\xff\xff\xff\xff1234", None, "element 0 is longer than the data"),
        (sized(8, [2], "BYTES"), b"\2\0\0\0abcd", None, "element 1 is longer than the data"),
        (sized(9, [1], "BYTES"), b"\4\0\0\0abcde", None, "1 bytes follow the last"),
        (sized(4), b"1234", "-1", "Inference-Header-Content-Length is '-1'"),
        (sized(4), b"1234", "1_0", "Inference-Header-Content-Length is"),
        (sized(4), b"1234", "²", "Inference-Header-Content-Length is"),
        (sized(4), b"1234", "99999", "expected a number up to"),
        (sized(4), b"1234", "9" * 5000, "Inference-Header-Content-Length is"),
        (sized(4), b"1234", "10", "not JSON"),
    ],
)
def test_wrong_binary_tensors_are_refused(text: bytes, rest: bytes, length: str | None, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read_request(text + rest, str(len(text)) if length is None else length)
    assert reason in str(error.value)
    assert str(error.value).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size", "inputs"])
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(st.fixed_dictionaries({}, optional={
            "name": st.just("image") | JSON,
            "datatype": st.sampled_from(list(DATATYPES)) | JSON,
            "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
            "data": st.lists(st.integers(-1, 300) | st.text(max_size=2), max_size=9) | JSON,
            "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}) | JSON,
        }), max_size=2) | JSON},
        optional={"outputs": JSON, "id": JSON, "parameters": JSON},
    ) | JSON,
    st.binary(max_size=12),
    st.integers(-2, 2),
)  # fmt: skip
def test_any_request_is_read_or_refused(record: Any, rest: bytes, off: int) -> None:
    text = json.dumps(record).encode()
    try:
        found = read_request(text + rest, str(len(text) + off))
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert all(tensor.data.size for tensor in found.inputs.values())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.none() | st.integers(0, 70).map(str))
def test_any_bytes_are_read_or_refused(body: bytes, length: str | None) -> None:
    try:
        read_request(body, length)
    except DataError as error:
        assert str(error).isprintable()
