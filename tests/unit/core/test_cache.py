from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.core import cache
from rehead.core.cache import RowCache, cache_root, digest_of

ROW = np.dtype([("hash", "<u8"), ("features", "<f4", (3,))])
CONTEXT = {"weights": "abc", "preprocess": {"size": 32, "mean": [1.0, 2.0, 3.0]}, "view": "plain", "graph": 1}


def photo(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def rows(numbers: list[int]) -> NDArray[Any]:
    made = np.zeros(len(numbers), ROW)
    made["hash"] = numbers
    made["features"] = np.outer(numbers, [1, 2, 3])
    return made


def fetched(store: RowCache, names: list[str]) -> tuple[NDArray[Any], list[bool]]:
    out = np.zeros(len(names), ROW)
    return out, store.fetch(names, out).tolist()


def kept(root: Path, **other: object) -> tuple[RowCache, list[str], Path]:
    """A store of five rows in one shard."""
    names = [photo(n) for n in range(5)]
    store = RowCache({**CONTEXT, **other}, ROW, root)
    store.put(names, rows([*range(5)]))
    (shard,) = store.folder.glob("*.rows")
    return store, names, shard


@settings(max_examples=25, deadline=None)
@given(
    shards=st.lists(
        st.lists(st.integers(0, 30), unique=True, max_size=8), max_size=4
    ),  # the same photo in several shards, too
    asked=st.lists(st.integers(0, 40), max_size=12),
)
def test_what_was_put_comes_back_in_the_order_asked_for(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[int]], asked: list[int]
) -> None:
    root = tmp_path_factory.mktemp("cache")
    writer = RowCache(CONTEXT, ROW, root)
    for numbers in shards:
        writer.put([photo(n) for n in numbers], rows(numbers))
    known = {n for numbers in shards for n in numbers}
    for store in (writer, RowCache(CONTEXT, ROW, root)):
        out, found = fetched(store, [photo(n) for n in asked])
        assert found == [n in known for n in asked]
        np.testing.assert_array_equal(out[found], rows([n for n in asked if n in known]))
        assert not out[~np.array(found, bool)].view("u1").any(), "rows that are not known are left alone"
        assert len(store) == len(known)
        assert all((photo(n) in store) == (n in known) for n in range(41))


def test_nothing_is_made_before_the_first_row(tmp_path: Path) -> None:
    store = RowCache(CONTEXT, ROW, tmp_path / "cache")
    fetched(store, [photo(1), ""])
    store.put([], rows([]))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "abd"},
        {"preprocess": {"size": 33, "mean": [1.0, 2.0, 3.0]}},
        {"preprocess": {"size": 32, "mean": [1.0, 2.0, 3.5]}},
        {"view": "mirrored"},
        {"graph": 2},
        {"levels": ["last"]},
    ],
    ids=str,
)
def test_another_context_never_gets_an_old_row(tmp_path: Path, change: dict[str, object]) -> None:
    _, names, _ = kept(tmp_path)
    other = RowCache({**CONTEXT, **change}, ROW, tmp_path)
    assert len(other) == 0
    assert fetched(other, names)[1] == [False] * 5
    other.put(names, rows([10, 11, 12, 13, 14]))
    assert fetched(RowCache(CONTEXT, ROW, tmp_path), names)[0]["hash"].tolist() == [0, 1, 2, 3, 4]
    assert fetched(other, names)[0]["hash"].tolist() == [10, 11, 12, 13, 14]


def test_another_row_type_or_format_never_gets_an_old_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path)
    narrower = np.dtype([("hash", "<u8"), ("features", "<f2", (6,))])  # of the same size in bytes
    assert narrower.itemsize == ROW.itemsize
    assert len(RowCache(CONTEXT, narrower, tmp_path)) == 0
    monkeypatch.setattr(cache, "FORMAT_VERSION", cache.FORMAT_VERSION + 1)
    assert len(RowCache(CONTEXT, ROW, tmp_path)) == 0


def test_the_order_of_a_contexts_keys_does_not_matter(tmp_path: Path) -> None:
    kept(tmp_path)
    assert len(RowCache(dict(reversed(CONTEXT.items())), ROW, tmp_path)) == 5
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest_of({"a": "blå"}) != digest_of({"a": "bla"})


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10**6))
def test_a_shard_cut_short_anywhere_is_forgotten(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    root = tmp_path_factory.mktemp("cache")
    _, names, shard = kept(root)
    data = shard.read_bytes()
    shard.write_bytes(data[: cut % len(data)])
    assert fetched(RowCache(CONTEXT, ROW, root), names)[1] == [False] * 5
    assert not shard.exists()


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_one_byte_changed_anywhere_is_never_returned(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    root = tmp_path_factory.mktemp("cache")
    before, names, shard = kept(root)
    data = bytearray(shard.read_bytes())
    data[place % len(data)] ^= flip
    shard.write_bytes(data)
    early, known = fetched(before, names)  # it read the head when the shard was whole
    np.testing.assert_array_equal(early[known], rows([*range(5)])[known])
    shard.write_bytes(data)
    fresh = RowCache(CONTEXT, ROW, root)
    out, found = fetched(fresh, names)
    assert not any(found)
    assert not out.view("u1").any()
    assert not shard.exists()
    # and the store heals
    fresh.put(names, rows([*range(5)]))
    assert fetched(RowCache(CONTEXT, ROW, root), names)[1] == [True] * 5


def test_a_shard_that_vanishes_costs_only_its_own_rows(tmp_path: Path) -> None:
    store, names, shard = kept(tmp_path)
    store.put([photo("other")], rows([9]))
    shard.unlink()
    out, found = fetched(store, [*names, photo("other")])
    assert found == [False] * 5 + [True]
    assert out["hash"][5] == 9
    assert len(store) == 1


def test_a_killed_writers_leftover_is_not_read(tmp_path: Path) -> None:
    store, _, shard = kept(tmp_path)
    left = shard.with_name(f".{photo('x')[:32]}.rows.1-abcd.part")
    left.write_bytes(shard.read_bytes()[:40])
    assert len(RowCache(CONTEXT, ROW, tmp_path)) == len(store) == 5


def test_writers_at_once_leave_every_row_whole(tmp_path: Path) -> None:
    numbers = [*range(40)]

    def write(worker: int) -> None:
        store = RowCache(CONTEXT, ROW, tmp_path)
        for start in range(0, 40, 5):  # some of the shards have the same name for all workers
            part = numbers[start : start + 5] if worker % 2 else numbers[start : start + 4 + worker]
            store.put([photo(n) for n in part], rows(part))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out, found = fetched(RowCache(CONTEXT, ROW, tmp_path), [photo(n) for n in numbers])
    assert all(found)
    np.testing.assert_array_equal(out, rows(numbers))
    assert not [*tmp_path.rglob("*.part")]


def test_the_root_is_the_environments_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine"
    monkeypatch.setenv("REHEAD_CACHE", "~/mine")
    assert cache_root() == Path.home() / "mine"
    monkeypatch.delenv("REHEAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    assert cache_root().name == "rehead"
    assert not (tmp_path / "users").exists()
