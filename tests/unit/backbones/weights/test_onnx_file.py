"""Networks of others whose weights lie in another file, as torch's exporter writes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from rehead.backbones.weights.onnx_file import read_onnx
from rehead.core.runtime import open_session
from rehead.errors import WeightsError

PHOTO = np.random.default_rng(1).normal(size=(1, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def split(tiny_onnx: Path, tmp_path: Path) -> Path:
    """The tiny network with its weights in a file of their own."""
    (tmp_path / "nets").mkdir()
    path = tmp_path / "nets" / "net.onnx"
    onnx.save(
        onnx.load(tiny_onnx), path, save_as_external_data=True, location="net.data", size_threshold=0,
        convert_attribute=True,
    )  # fmt: skip
    return path


def answers(network: bytes) -> np.ndarray:
    return np.asarray(open_session(network, threads=1).run(["last"], {"input": PHOTO})[0])


def test_weights_of_another_file_are_read_in(
    split: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, digest = read_onnx(tiny_onnx)
    monkeypatch.chdir(tmp_path)
    for path in (split, Path("nets/net.onnx")):
        network, found = read_onnx(path)
        np.testing.assert_array_equal(answers(network), answers(whole))
        assert found != digest
    (split.parent / "net.data").unlink()
    np.testing.assert_array_equal(answers(network), answers(whole))
    assert whole == tiny_onnx.read_bytes()


def test_the_digest_is_of_the_weights_too(split: Path) -> None:
    before, first = read_onnx(split)
    data = split.parent / "net.data"
    weights = bytearray(data.read_bytes())
    weights[3] ^= 1
    data.write_bytes(weights)
    after, second = read_onnx(split)
    assert first != second
    assert before != after


def renamed(path: Path, **entry: str) -> None:
    """Let all tensors say that they lie elsewhere."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.external_data:
            del tensor.external_data[:]
            for key, value in entry.items():
                tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("outside", ["../secret.bin", "{root}/secret.bin", "link.bin"])
def test_only_the_networks_own_folder_is_read(split: Path, tmp_path: Path, outside: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    os.symlink(tmp_path / "secret.bin", split.parent / "link.bin")  # noqa: PTH211
    renamed(split, location=outside.format(root=tmp_path))
    with pytest.raises(WeightsError, match=r"net\.onnx: names .*, and only files in its own folder are read"):
        read_onnx(split)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"location": "gone.data"}, "lie in gone.data, which is not there"),
        ({"location": "."}, "which is not there"),
        ({}, "which is not there"),
        ({"location": "net.data", "offset": "900000000"}, "too short"),
        ({"location": "net.data", "offset": "-5"}, "too short"),
        ({"location": "net.data", "offset": "0", "length": "900000000"}, "too short"),
        ({"location": "net.data", "length": "many"}, "does not say where"),
        ({"location": "net.data", "length": "12"}, "do not belong together"),
        ({"location": "a\x00b"}, "does not say where"),
    ],
)
def test_weights_that_are_not_there_are_named(split: Path, entry: dict[str, str], said: str) -> None:
    renamed(split, **entry)
    with pytest.raises(WeightsError, match=said):
        read_onnx(split)


def test_a_file_that_grows_too_large_is_not_read(split: Path) -> None:
    with (split.parent / "net.data").open("r+b") as file:
        file.truncate(3 * 2**30)  # a hole: it takes no room on the disk
    renamed(split, location="net.data")
    with pytest.raises(WeightsError, match="2 GiB"):
        read_onnx(split)
    with split.open("r+b") as file:
        file.truncate(60 * 2**30)
    with pytest.raises(WeightsError, match="2 GiB"):
        read_onnx(split)
