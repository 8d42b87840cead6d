from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.backbones.weights.torch_checkpoint import read_state_dict
from rehead.errors import WeightsError

torch = pytest.importorskip("torch", reason="the files are written by torch itself")

CONTAINERS = pytest.mark.parametrize("zipped", [False, True], ids=["old", "zip"])


def save(path: Path, value: Any, zipped: bool, **options: Any) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def as_numpy(tensor: Any) -> NDArray[Any]:
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
    return array


def assert_same(path: Path, tensors: dict[str, Any]) -> None:
    arrays = read_state_dict(path)
    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        expected = as_numpy(tensor)
        assert arrays[name].dtype == expected.dtype
        assert arrays[name].shape == expected.shape
        np.testing.assert_array_equal(arrays[name], expected, err_msg=name)


@CONTAINERS
def test_every_dtype_comes_back_exactly(tmp_path: Path, zipped: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(3, 5, generator=generator) * 100
    names = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    tensors = {name: numbers.abs().clamp(max=100).to(getattr(torch, name)) for name in names}
    tensors["specials"] = torch.tensor([float("inf"), float("-inf"), -0.0, 1e-45])
    tensors["bfloat16 specials"] = tensors["specials"].to(torch.bfloat16)
    assert_same(save(tmp_path / "w.pth", tensors, zipped), tensors)


@CONTAINERS
def test_layouts_come_back_exactly(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        "transposed": base.permute(2, 0, 1),
        "strided": base[:, ::2, 1::2],
        "channels last": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "expanded": torch.ones(1, 3).expand(4, 3),
        "size one, odd stride": torch.as_strided(base, (1, 4), (17, 1), 3),
        "scalar": torch.tensor(7),
        "scalar inside": base[1, 2, 3],
        "empty": torch.empty(0),
        "empty wide": torch.empty(3, 0, 2),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "ünï.wéight": torch.ones(1),
    }
    assert_same(save(tmp_path / "w.pth", tensors, zipped), tensors)


@CONTAINERS
def test_tensors_of_one_storage_share_memory(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(10.0)
    arrays = read_state_dict(save(tmp_path / "w.pth", {"all": base, "tail": base[4:]}, zipped))
    assert np.shares_memory(arrays["all"], arrays["tail"])
    arrays["tail"][0] = -1  # and may be written to
    assert arrays["all"][4] == -1


@CONTAINERS
def test_state_dict_of_a_module_with_its_metadata(tmp_path: Path, zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    assert_same(save(tmp_path / "w.pth", module.state_dict(), zipped), module.state_dict())


@CONTAINERS
@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_state_dict_in_a_checkpoint(tmp_path: Path, zipped: bool, key: str) -> None:
    module = torch.nn.Linear(3, 2)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    checkpoint = {"epoch": 3, "optimizer": optimiser.state_dict(), key: module.state_dict(), "note": "x"}
    assert_same(save(tmp_path / "w.pth", checkpoint, zipped), module.state_dict())


@CONTAINERS
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_pickle_protocols(tmp_path: Path, zipped: bool, protocol: int) -> None:
    tensors = OrderedDict(a=torch.ones(2), b=torch.zeros(3, 3))
    assert_same(save(tmp_path / "w.pth", tensors, zipped, pickle_protocol=protocol), tensors)


@CONTAINERS
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_view_of_a_storage(
    tmp_path_factory: pytest.TempPathFactory, zipped: bool, data: st.DataObject
) -> None:
    base = torch.arange(60.0)
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    strides = tuple(data.draw(st.integers(0, 5)) for _ in shape)  # reaches 45 at the most
    offset = data.draw(st.integers(0, 14))
    tensors = {"view": torch.as_strided(base, shape, strides, offset), "base": base}
    assert_same(save(tmp_path_factory.mktemp("view") / "w.pth", tensors, zipped), tensors)


class Hostile:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@CONTAINERS
def test_hostile_object_saved_by_torch_itself(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "trace"
    path = save(tmp_path / "w.pth", {"a": torch.ones(2), "b": Hostile(os.mkdir, str(trace))}, zipped)
    with pytest.raises(WeightsError, match=r"refuses \w+\.mkdir"):
        read_state_dict(path)
    assert not trace.exists()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, bytes]:
    tensors = OrderedDict(a=torch.randn(3, 4), b=torch.arange(7), c=torch.ones(5, dtype=torch.bfloat16))
    folder = tmp_path_factory.mktemp("written")
    return {zipped: save(folder / "w.pth", tensors, zipped).read_bytes() for zipped in (False, True)}


@CONTAINERS
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_truncated_anywhere(
    written: dict[bool, bytes], tmp_path_factory: pytest.TempPathFactory, zipped: bool, data: st.DataObject
) -> None:
    whole = written[zipped]
    path = tmp_path_factory.getbasetemp() / f"cut-{zipped}.pth"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(WeightsError, match=rf"{path.name}: "):
        read_state_dict(path)


@CONTAINERS
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_altered_bytes_give_arrays_or_a_weights_error(
    written: dict[bool, bytes], tmp_path_factory: pytest.TempPathFactory, zipped: bool, data: st.DataObject
) -> None:
    altered = bytearray(written[zipped])
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"altered-{zipped}.pth"
    path.write_bytes(altered)
    try:
        arrays = read_state_dict(path)
    except WeightsError as error:
        assert path.name in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_a_picture_is_no_weight_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(
        WeightsError, match=r"photo\.png.*no torch weight file.*does not begin as torch's files do"
    ):
        read_state_dict(path)
