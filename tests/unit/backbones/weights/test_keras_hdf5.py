"""Keras files that would keep the reader busy, or have it read other files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead.backbones.weights.keras_hdf5 import read_keras_arrays
from rehead.errors import WeightsError

h5py = pytest.importorskip("h5py")


def deep(file: Any) -> None:
    group = file
    for _ in range(1000):
        group = group.create_group("g")


def external(file: Any) -> None:
    file.create_dataset("a/w", (2,), "f4", external=[("other.bin", 0, 8)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "w", (2,))
    file.create_virtual_dataset("a/w", layout)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (deep, "deeper in each other than those of Keras"),
        (external, "a/w is to be read from other files"),
        (virtual, "a/w is to be read from other files"),
    ],
)
def test_nothing_but_plain_groups_and_arrays_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], None], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.bin").write_bytes(bytes(8))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["w"] = np.ones(2, np.float32)
    with h5py.File(tmp_path / "net.h5", "w") as file:
        make(file)
    with pytest.raises(WeightsError, match=said):
        read_keras_arrays("net.h5")


def test_no_link_to_another_file_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("other.h5", "w") as file:
        file["a/w"] = np.ones(2, np.float32)
    with h5py.File("net.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink("other.h5", "/")
    assert read_keras_arrays("other.h5").keys() == {"a/w"}
    assert read_keras_arrays("net.h5") == {}


def test_whatever_h5py_raises_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*_: Any) -> None:
        raise TypeError("argument should be integer\nor bytes")

    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["a/w"] = np.ones(2, np.float32)
    monkeypatch.setattr("h5py.Group.visititems", odd)
    with pytest.raises(WeightsError, match=r"net\.h5: is damaged .*\(argument should be integer\)$"):
        read_keras_arrays(tmp_path / "net.h5")
