from __future__ import annotations

import base64
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.errors import (
    DamagedGalleryError,
    GalleryError,
    OutputError,
    UnknownNameError,
    WrongKeyError,
)
from rehead.faces.gallery import encryption
from rehead.faces.gallery.records import NewTemplate, Removal, Templates
from rehead.faces.gallery.schema import PROTOCOL
from rehead.faces.gallery.store import GalleryStore

SPEC: dict[str, Any] = {
    "name": "fake",
    "sha256": "ab" * 32,
    "dimensions": 8,
    "distance": "cosine",
    "licences": {"weights": "CC0"},
}
KEY = bytes(range(32))


def unit(*seed: int) -> NDArray[np.float32]:
    row = np.random.default_rng(seed).normal(size=8)
    return (row / np.linalg.norm(row)).astype(np.float32)


def template(number: int, person: int = 0) -> NewTemplate:
    return NewTemplate(f"{person}-{number}", f"{number}.jpg", unit(person, number), {"box": [0, 0, 9, 9]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "people.db", embedding_spec=SPEC, key=KEY, create=True) as made:
        yield made


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_search_is_the_best_scores_person(counts: list[int], probes: int) -> None:
    rows = [unit(p, n) for p, count in enumerate(counts) for n in range(count)]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    held = Templates(tuple(map(str, range(len(counts)))), np.stack(rows), starts)
    wanted = np.stack([unit(99, n) for n in range(probes)])
    expected = [
        [
            max(float(row @ probe) for row, owner in zip(rows, held.people, strict=True) if owner == p)
            for p in range(len(counts))
        ]
        for probe in wanted
    ]
    np.testing.assert_allclose(held.best_scores(wanted), expected, atol=1e-6)


def test_templates_cannot_be_read_in_the_file(store: GalleryStore) -> None:
    store.enroll("a", [template(0)])
    store.close()
    assert unit(0, 0).tobytes() not in store.path.read_bytes()
    plain = store.path.with_name("plain.db")
    with GalleryStore(plain, embedding_spec=SPEC, create=True) as clear:
        clear.enroll("a", [template(0)])
        assert not clear.encrypted
    assert unit(0, 0).tobytes() in plain.read_bytes()


def test_only_the_owner_may_read_the_file(store: GalleryStore) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_removing_a_person_destroys_the_key_and_overwrites_the_rows(store: GalleryStore) -> None:
    store.enroll("a", [template(0), template(1)])
    store.enroll("b", [template(0, 1)])
    with closing(sqlite3.connect(store.path)) as raw:
        (sealed,) = raw.execute("SELECT key FROM people WHERE name = 'a'").fetchone()
    (removal,) = store.remove(["a"])
    assert removal == Removal("a", 2, 2, key_destroyed=True, journal_cleared=True, key_replaced=False)
    files = [path.read_bytes() for path in store.path.parent.iterdir()]
    assert not any(sealed in data or b"0-0" in data for data in files)
    assert store.templates().names == ("b",)
    with pytest.raises(UnknownNameError, match="unknown person 'a'"):
        store.remove(["b", "a"])
    assert store.templates().names == ("b",), "all or nobody"


def test_exchanged_rows_are_noticed(store: GalleryStore) -> None:
    store.enroll("a", [template(0)])
    store.enroll("b", [template(0, 1)])
    store.close()
    with closing(sqlite3.connect(store.path)) as raw, raw:
        raw.execute("UPDATE templates SET vector = (SELECT vector FROM templates ORDER BY id LIMIT 1)")
    with GalleryStore(store.path, key=KEY) as again, pytest.raises(DamagedGalleryError, match="changed or"):
        again.templates()


def damaged(kind: str) -> Callable[[bytes], bytes]:
    return {
        "text": lambda data: b"hello, I am text" * 300,
        "half": lambda data: data[: len(data) // 2],
        "flipped": lambda data: data[:5000] + bytes(255 - b for b in data[5000:14000]) + data[14000:],
    }[kind]


@pytest.mark.parametrize("kind", ["text", "half", "flipped"])
def test_damaged_files_are_told(store: GalleryStore, kind: str) -> None:
    for person in range(20):
        store.enroll(f"p{person}", [template(n, person) for n in range(4)])
    store.close()
    store.path.write_bytes(damaged(kind)(store.path.read_bytes()))
    with (
        pytest.raises(DamagedGalleryError, match="restore a copy") as caught,
        GalleryStore(store.path, key=KEY) as again,
    ):
        again.templates()
    assert "\n" not in str(caught.value)


def test_what_is_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such gallery; `rehead faces enroll`"):
        GalleryStore(tmp_path / "none.db", key=KEY)
    with pytest.raises(GalleryError, match="a folder"):
        GalleryStore(tmp_path, key=KEY)
    other = tmp_path / "accounts.db"
    with closing(sqlite3.connect(other)) as raw, raw:
        raw.execute("CREATE TABLE accounts (id)")
    for create in (True, False):
        with pytest.raises(DamagedGalleryError, match="not a gallery of rehead"):
            GalleryStore(other, key=KEY, embedding_spec=SPEC, create=create)


def test_a_later_gallery_is_refused(store: GalleryStore) -> None:
    store.close()
    with closing(sqlite3.connect(store.path)) as raw, raw:
        raw.execute(f"PRAGMA user_version = {PROTOCOL + 1}")
    with pytest.raises(GalleryError, match="pip install --upgrade rehead"):
        GalleryStore(store.path, key=KEY)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the super-user may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        GalleryStore(tmp_path / "people.db", embedding_spec=SPEC, key=KEY, create=True)


def test_a_gallery_on_a_read_only_disk_can_be_read(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.enroll("Ráni", [template(0)])
    store.close()
    before = store.path.read_bytes()
    monkeypatch.setattr("rehead.faces.gallery.schema.os.access", lambda path, mode: False)
    with GalleryStore(store.path, key=KEY, embedding_spec=SPEC) as frozen:
        assert frozen.templates().names == ("Ráni",)
        assert frozen.photos("Ráni")
        with pytest.raises(OutputError, match="cannot be opened or written"):
            frozen.enroll("blå", [template(0, 1)])
        with pytest.raises(OutputError, match="cannot be opened or written"):
            frozen.remove(["Ráni"])
        assert list(store.path.parent.iterdir()) == [store.path]  # no journal beside it
    assert store.path.read_bytes() == before


def test_keys_from_files_and_the_environment(tmp_path: Path) -> None:
    made = encryption.write_key_file(tmp_path / "keys/people.key")
    key = made.value
    assert stat.S_IMODE((tmp_path / "keys/people.key").stat().st_mode) == 0o600
    assert encryption.find_key(tmp_path / "keys/people.key", environ={}) == made
    assert key.hex() not in repr(made)
    for text in (key.hex(), base64.b64encode(key).decode(), (tmp_path / "keys/people.key").read_text()):
        found = encryption.find_key(environ={encryption.KEY_VARIABLE: text})
        assert found == encryption.GalleryKey(key), "of more than one gallery perhaps, and in no file"
    assert encryption.find_key(environ={}) is None
    with pytest.raises(OutputError, match="never overwritten"):
        encryption.write_key_file(tmp_path / "keys/people.key")
    for name, content in {"short": b"abc", "odd": b"z" * 64, "binary": bytes(range(200, 232))}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WrongKeyError, match="expected 32 bytes as 64 hexadecimal digits"):
            encryption.find_key(tmp_path / name)
    with pytest.raises(WrongKeyError, match="No such file"):
        encryption.find_key(tmp_path / "none")
    (tmp_path / "cut off").write_bytes(b"")
    with pytest.raises(WrongKeyError, match=r"is empty, as a kill .* remove the file and enrol again"):
        encryption.find_key(tmp_path / "cut off")


@given(st.binary(max_size=200), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_what_is_encrypted_decrypts_only_as_it_was(data: bytes, at: int) -> None:
    sealed = encryption.encrypt(KEY, data, "here")
    assert encryption.decrypt(KEY, sealed, "here") == data
    assert encryption.decrypt(KEY, sealed, "there") is None
    assert encryption.decrypt(bytes(32), sealed, "here") is None
    changed = bytearray(sealed)
    changed[at % len(changed)] ^= 1
    assert encryption.decrypt(KEY, bytes(changed), "here") is None
    assert encryption.decrypt(KEY, sealed[: at % len(sealed)], "here") is None
