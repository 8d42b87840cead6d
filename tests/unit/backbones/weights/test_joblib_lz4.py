"""Arrays out of LZ4 and joblib's pickles: the same as joblib reads, and nothing is ever run."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.backbones.weights.joblib_lz4 import _unpacked, read_arrays
from rehead.errors import WeightsError

HEAD = b"\x04\x22\x4d\x18\x40\x40\xc0"
WRAPPER = (
    b"\x80\x04]\x94\x8c\x13joblib.numpy_pickle\x94\x8c\x11NumpyArrayWrapper\x94\x93)\x81}("
    b"\x8c\x05shape%s\x8c\x05order\x8c\x01%s"
    b"\x8c\x05dtype\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02f4\x89\x88\x87R(K\x03\x8c\x01%sNNNJ\xff\xff\xff\xff"
    b"J\xff\xff\xff\xffK\x00tb"
    b"\x8c\x1bnumpy_array_alignment_bytesK\x10ub%sa."
)


def frame(data: bytes) -> bytes:
    """An LZ4 frame of one block that is not compressed."""
    return HEAD + struct.pack("<I", len(data) | 1 << 31) + data + b"\0\0\0\0"


def written(path: Path, array: np.ndarray, *, order: bytes = b"C", endian: bytes = b"<") -> Path:
    shape = b"(" + b"".join(b"K" + bytes([n]) for n in array.shape) + b"t"
    raw = array.astype("<f4").tobytes(order="F" if order == b"F" else "C")
    path.write_bytes(frame(WRAPPER % (shape, order, endian, b"\x03\xff\xff\xff" + raw)))
    return path


@pytest.mark.parametrize("order", [b"C", b"F"])
def test_an_array_by_hand(tmp_path: Path, order: bytes) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    (found,) = read_arrays(written(tmp_path / "a.lz4", array, order=order))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.float32


def test_as_joblib_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("lz4", reason="joblib needs it for this container")
    import joblib

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 3, 8, 16)), np.zeros((200, 300)), rng.normal(size=7)]
    arrays = [array.astype(np.float32) for array in arrays]
    joblib.dump(arrays, tmp_path / "a.lz4", compress="lz4")
    for found, array in zip(read_arrays(tmp_path / "a.lz4"), arrays, strict=True):
        np.testing.assert_array_equal(found, array)


class TestLz4:
    def test_runs_copies_and_copies_of_themselves(self) -> None:
        # "abc", a copy of 4 + 9 bytes from 3 back, 5 letters; then 20 letters by a longer length
        block = b"\x39abc\x03\x00" + b"\x50hello"
        long = b"\xf0\x05" + b"01234567890123456789"
        packed = HEAD + struct.pack("<I", len(block)) + block + struct.pack("<I", len(long)) + long + bytes(4)
        assert _unpacked(packed) == (b"abc" * 6)[:16] + b"hello" + b"01234567890123456789"

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"PK\3\4 and more", "LZ4 frame"),
            (HEAD[:4] + b"\x80\x40\xc0" + bytes(4), "another version"),
            (HEAD + struct.pack("<I", 6) + b"\x10a\x05\x00\x00\x00" + bytes(4), "before the beginning"),
        ],
    )
    def test_damage_is_named(self, tmp_path: Path, data: bytes, words: str) -> None:
        (tmp_path / "bad.lz4").write_bytes(data)
        with pytest.raises(WeightsError, match=rf"bad\.lz4: is damaged.*{words}"):
            read_arrays(tmp_path / "bad.lz4")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_is_a_weights_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = written(tmp_path_factory.mktemp("x") / "a.lz4", np.ones((4, 5), np.float32))
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 90))]
    else:
        raw[data.draw(st.integers(0, 220))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    try:
        arrays = read_arrays(path)
    except WeightsError as error:
        assert str(path) in str(error)
    else:
        assert all(array.dtype == np.float32 for array in arrays)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("never",))


def test_nothing_is_called(tmp_path: Path) -> None:
    (tmp_path / "evil.lz4").write_bytes(frame(pickle.dumps([Evil()])))
    with pytest.raises(WeightsError, match=r"refuses \w*io\.open"):
        read_arrays(tmp_path / "evil.lz4")
    (tmp_path / "dict.lz4").write_bytes(frame(pickle.dumps([{"a": 1}])))
    with pytest.raises(WeightsError, match="dict stands where it cannot"):
        read_arrays(tmp_path / "dict.lz4")


def test_other_byte_orders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not little-endian"):
        read_arrays(written(tmp_path / "a.lz4", np.ones((2, 2)), endian=b">"))
    with pytest.raises(WeightsError, match="No such file"):
        read_arrays(tmp_path / "none.lz4")
