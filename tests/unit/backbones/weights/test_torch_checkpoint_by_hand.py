from __future__ import annotations

import copy
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead.backbones.weights.torch_checkpoint import read_state_dict
from rehead.errors import WeightsError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


# What torch would write, with any pickle and any storage in it


@dataclass(frozen=True)
class Word:
    """Pickled as a bare global, whatever it names."""

    module: str
    name: str


class Id(tuple[Any, ...]):
    """Pickled as a persistent id."""

    __slots__ = ()


class Call:
    def __init__(self, function: Word, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


def instructions(value: Any) -> bytes:
    match value:
        case Word():
            return f"c{value.module}\n{value.name}\n".encode()
        case Id():
            return instructions(tuple(value)) + b"Q"
        case Call():
            return instructions(value.function) + instructions(value.arguments) + b"R"
        case tuple():
            return b"(" + b"".join(map(instructions, value)) + b"t"
        case list():
            return b"](" + b"".join(map(instructions, value)) + b"e"
        case dict():
            return b"}(" + b"".join(instructions(key) + instructions(value[key]) for key in value) + b"u"
        case _:
            return pickle.dumps(value, 2)[2:-1]


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + instructions(value) + b"."


FLOAT = Word("torch", "FloatStorage")


def tensor(shape: Any = (2,), strides: Any = (1,), offset: Any = 0, storage: Any = None) -> Call:
    stored = storage or Id(("storage", FLOAT, "0", "cpu", 2))
    return Call(Word("torch._utils", "_rebuild_tensor_v2"), stored, offset, shape, strides, False, {})


def write_old(path: Path, pickle_bytes: bytes, raw: bytes = struct.pack("<q2f", 2, 1, 2)) -> Path:
    header = [MAGIC_NUMBER, PROTOCOL_VERSION, {"little_endian": True}]
    path.write_bytes(b"".join(pickled(value) for value in header) + pickle_bytes + pickled(["0"]) + raw)
    return path


def write_zip(
    path: Path,
    pickle_bytes: bytes,
    raw: bytes = struct.pack("<2f", 1, 2),
    order: bytes = b"little",
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle_bytes)
        archive.writestr("archive/byteorder", order)
        archive.writestr("archive/data/0", raw)
    return path


WRITERS = pytest.mark.parametrize("write", [write_old, write_zip], ids=["old", "zip"])
Writer = Callable[[Path, bytes], Path]


def test_big_endian_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "w.pth", pickled({"a": tensor()}), struct.pack(">2f", 1.5, -2), b"big")
    np.testing.assert_array_equal(read_state_dict(path)["a"], np.array([1.5, -2], np.float32))


def test_ordered_dict_of_python_2(tmp_path: Path) -> None:
    ordered = Call(Word("collections", "OrderedDict"), [["b", tensor()], ["a", tensor()]])
    assert list(read_state_dict(write_old(tmp_path / "w.pth", pickled(ordered)))) == ["b", "a"]


# What nobody should write


class Hostile:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@WRITERS
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrapped", [False, True])
def test_os_system_is_refused_and_not_run(
    tmp_path: Path, write: Writer, protocol: int, wrapped: bool
) -> None:
    trace = tmp_path / "trace"
    hostile: Any = Hostile(os.system, f"touch '{trace}'")
    path = write(tmp_path / "w.pth", pickle.dumps({"a": hostile} if wrapped else hostile, protocol))
    with pytest.raises(WeightsError, match=rf"w\.pth: refuses {os.system.__module__}\.system: a weight file"):
        read_state_dict(path)
    assert not trace.exists()


@WRITERS
@pytest.mark.parametrize(
    "word",
    [
        "builtins.eval", "builtins.getattr", "__builtin__.exec", "os.system", "copyreg._reconstructor",
        "copyreg.__newobj__", "torch.load", "torch.storage.UntypedStorage", "torch._utils._rebuild_tensor",
        "numpy.core.multiarray._reconstruct", "collections.defaultdict", "collections.OrderedDict.fromkeys",
        "torch.serialization._STORAGES", "functools.partial", "pickle.loads",
    ],
)  # fmt: skip
def test_every_other_word_is_refused_by_name(tmp_path: Path, write: Writer, word: str) -> None:
    module, _, name = word.rpartition(".")
    for value in (Word(module, name), Call(Word(module, name), "1"), {"a": [Word(module, name)]}):
        with pytest.raises(WeightsError, match=rf"refuses {word}: a weight file holds tensors only"):
            read_state_dict(write(tmp_path / "w.pth", pickled(value)))


@WRITERS
@pytest.mark.parametrize(
    ("instruction", "raw"),
    [
        ("EXT1", b"\x80\x02\x82\x01."),
        ("NEWOBJ", b"\x80\x02ccollections\nOrderedDict\n)\x81."),
        ("INST", b"(ios\nsystem\n."),
        ("OBJ", b"(ccollections\nOrderedDict\no."),
        ("PERSID", b"Pstorage\n."),
        ("DUP", b"}2."),
        ("LONG", b"L12L\n."),
        ("BYTEARRAY8", b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a."),
    ],
)
def test_other_instructions_are_refused(tmp_path: Path, write: Writer, instruction: str, raw: bytes) -> None:
    with pytest.raises(WeightsError, match=f"refuses the pickle instruction {instruction}: "):
        read_state_dict(write(tmp_path / "w.pth", raw))


@WRITERS
@pytest.mark.parametrize(
    "stored",
    [
        Id(("module", FLOAT, "0", "cpu", 2)),
        Id(("storage", FLOAT, "0")),
        Id(("storage", FLOAT, "0", "cpu", 2, ("1", 0, 1))),
        Id(("storage", FLOAT, "0", "cpu", 2, None, None)),
        Id(("storage", FLOAT, 0, "cpu", 2)),
        Id(("storage", FLOAT, "0", "cpu", "2")),
        Id(("storage", FLOAT, "0", "cpu", -2)),
        Id(("storage", FLOAT, "0", "cpu", True)),
        Id(("storage", "torch.FloatStorage", "0", "cpu", 2)),
        Id(("storage", Word("collections", "OrderedDict"), "0", "cpu", 2)),
        Id(("storage", FLOAT, "missing", "cpu", 2)),
        Id(("storage", FLOAT, "../data.pkl", "cpu", 2)),
        Id(("storage", Word("torch", "DoubleStorage"), "0", "cpu", 2)),
        "0",
        FLOAT,
    ],
)
def test_odd_storages_are_refused(tmp_path: Path, write: Writer, stored: Any) -> None:
    path = write(tmp_path / "w.pth", pickled({"a": tensor(storage=stored)}))
    with pytest.raises(WeightsError, match=r"w\.pth: is damaged or no torch weight file"):
        read_state_dict(path)


@WRITERS
def test_one_storage_of_two_types_is_refused(tmp_path: Path, write: Writer) -> None:
    other = Id(("storage", Word("torch", "IntStorage"), "0", "cpu", 2))
    with pytest.raises(WeightsError, match="or of two"):
        read_state_dict(write(tmp_path / "w.pth", pickled({"a": tensor(), "b": tensor(storage=other)})))


@WRITERS
@pytest.mark.parametrize(
    "bad",
    [
        tensor(shape=(3,)),
        tensor(shape=(2,), offset=1),
        tensor(shape=(2,), strides=(2,)),
        tensor(shape=(1,), offset=2),
        tensor(shape=(), strides=(), offset=2),
        tensor(shape=(2,), offset=-1),
        tensor(shape=(2,), strides=(-1,), offset=1),
        tensor(shape=(-1,)),
        tensor(shape=(2, 1)),
        tensor(shape=(1 << 40,), strides=(0,)),
        tensor(shape=(0, 1 << 62, 1 << 62), strides=(1, 1, 1)),
        tensor(shape=(1,) * 80, strides=(1,) * 80),
        tensor(shape=(1.0,)),
        tensor(shape=(True,)),
        tensor(shape=((1,),)),
        tensor(shape=[2]),
        tensor(shape=2),
        tensor(offset=None),
        tensor(shape=(1 << 70,), strides=(1 << 70,)),
        Call(Word("torch._utils", "_rebuild_tensor_v2")),
        Call(Word("torch._utils", "_rebuild_parameter"), "x", True, {}),
        Call(FLOAT, 3),
        Call(Word("collections", "OrderedDict"), [[(1, 2), 3]]),
        Call(Word("collections", "OrderedDict"), 3),
    ],
)
def test_no_tensor_reaches_beyond_its_storage(tmp_path: Path, write: Writer, bad: Call) -> None:
    path = write(tmp_path / "w.pth", pickled({"good": tensor(), "bad": bad}))
    with pytest.raises(WeightsError, match=r"w\.pth: is damaged or no torch weight file"):
        read_state_dict(path)


@WRITERS
def test_state_cannot_be_set_on_what_is_admitted(tmp_path: Path, write: Writer) -> None:
    raw = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x01aK\x01sb."
    with pytest.raises(WeightsError, match="stands where it cannot"):
        read_state_dict(write(tmp_path / "w.pth", raw))


@WRITERS
@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02" + b")" + b"\x85" * 200_000 + b".",  # nested: repr, == or hash of it would overflow
        b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",  # the same as a key
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo index for which Python's Unpickler makes 16 GB
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x02\x8a\xff.",
        b"\x80\x02.",
        b"\x80\x02tttt.",
        b"\x80\x02h\x07.",
        b"\x80\x02}q\x00U\x01ah\x00s.",  # a dict that holds itself
    ],
)
def test_degenerate_pickles(tmp_path: Path, write: Writer, raw: bytes) -> None:
    with pytest.raises(WeightsError, match=r"w\.pth: "):
        read_state_dict(write(tmp_path / "w.pth", raw))


@WRITERS
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([tensor()], "holds list, not a dict of tensors"),
        (3, "holds int, not a dict"),
        ({"a": tensor(), "epoch": 3}, "holds int under 'epoch', not a tensor"),
        ({"state_dict": {"a": {"b": tensor()}}}, "holds dict under 'a', not a tensor"),
        ({1: tensor()}, "holds tensor under 1"),
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path: Path, write: Writer, value: Any, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        read_state_dict(write(tmp_path / "w.pth", pickled(value)))


def test_compressed_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "w.pth", pickled({"a": tensor()}), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed"):
        read_state_dict(path)


def test_overlapping_zip_members_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "w.pth", pickled({"a": tensor()}), bytes(4000))
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(1, 50):
            twin = copy.copy(archive.getinfo("archive/data/0"))
            twin.filename = f"archive/data/{number}"
            archive.filelist.append(twin)
        archive.comment = b"the directory is written anew"
    with pytest.raises(WeightsError, match="larger than the file"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n" + bytes(99), b"<html>no</html>", bytes(99), pickled(1)],
    ids=["empty", "two letters", "zip head", "png", "html", "zeros", "a pickled 1"],
)
def test_what_is_no_torch_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pth: "):
        read_state_dict(path)


def test_zip_without_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"a zip without data\.pkl"):
        read_state_dict(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(WeightsError, match=f"{path.name}: cannot be read"):
            read_state_dict(path)
