"""The preprocess record goes to JSON and back, and refuses what is no record."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.preprocess import PreprocessSpec
from rehead.errors import DataError, UnknownNameError

RECORD: dict[str, Any] = {"size": 224, "mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5]}
finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        PreprocessSpec,
        size=st.integers(1, 4096),
        mean=st.tuples(finite, finite, finite),
        std=st.tuples(positive, positive, positive),
        resize=st.sampled_from(["squash", "crop"]),
        crop_fraction=st.floats(0.01, 1.0),
        interpolation=st.sampled_from(["bilinear", "bicubic"]),
        channels=st.sampled_from(["RGB", "BGR"]),
        layout=st.sampled_from(["NCHW", "NHWC"]),
        grey_range=st.none() | st.tuples(st.floats(-1e6, 0), positive),
    )
)
def test_through_json_and_back(spec: PreprocessSpec) -> None:
    record = json.loads(json.dumps(spec.to_dict()))
    assert record == spec.to_dict()
    assert PreprocessSpec.from_dict(record) == spec
    fields = {field.name for field in dataclasses.fields(PreprocessSpec)}
    assert set(record) == (fields if spec.grey_range else fields - {"grey_range"})


def test_defaults() -> None:
    spec = PreprocessSpec.from_dict(RECORD)
    assert spec == PreprocessSpec(224, (127.5,) * 3, (127.5,) * 3)
    assert (spec.resize, spec.crop_fraction, spec.interpolation) == ("squash", 1.0, "bilinear")
    assert (spec.channels, spec.layout) == ("RGB", "NCHW")


def test_equal_records_have_equal_json_and_hash() -> None:
    whole = PreprocessSpec(np.int64(8), (0, 0, 0), (np.float32(1), 1, 1))  # type: ignore[arg-type]
    other = PreprocessSpec(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert json.dumps(whole.to_dict()) == json.dumps(other.to_dict())
    assert whole == other and hash(whole) == hash(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be .* 1 to 4096, not 0"),
        ({"size": 4097}, "size"),
        ({"size": 22.5}, "size"),
        ({"size": "224"}, "size must be .*, not '224'"),
        ({"size": True}, "size"),
        ({"size": None}, "size"),
        ({"mean": [1, 2]}, "mean must be three numbers"),
        ({"mean": 127.5}, "mean"),
        ({"mean": "abc"}, "mean"),
        ({"mean": [1, 2, math.nan]}, "mean"),
        ({"mean": [1, 2, "3"]}, "mean"),
        ({"std": [1, 0, 1]}, "std must be greater than 0"),
        ({"std": [1, -1, 1]}, "std"),
        ({"std": [1, math.inf, 1]}, "std"),
        ({"crop_fraction": 0}, "crop_fraction"),
        ({"crop_fraction": 1.01}, "crop_fraction"),
        ({"crop_fraction": "1"}, "crop_fraction"),
        ({"resize": None}, "resize must be one of squash, crop"),
        ({"layout": 3}, "layout"),
    ],
)
def test_bad_values(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        PreprocessSpec.from_dict(RECORD | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["size", "mean", "std"])
def test_missing_field(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} missing"):
        PreprocessSpec.from_dict({key: value for key, value in RECORD.items() if key != name})


def test_not_a_record() -> None:
    with pytest.raises(DataError, match="not list"):
        PreprocessSpec.from_dict([224])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"meen": 1}, "unknown preprocess field 'meen'; did you mean 'mean'?"),
        ({7: 1}, "unknown preprocess field '7'"),
        ({"resize": "squish"}, "unknown preprocess resize 'squish'; did you mean 'squash'?"),
        ({"interpolation": "bilinaer"}, "did you mean 'bilinear'?"),
        ({"channels": "rgb"}, "unknown preprocess channels 'rgb'"),
    ],
)
def test_unknown_names(change: dict[Any, Any], hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        PreprocessSpec.from_dict(RECORD | change)
    assert hint in str(caught.value)
