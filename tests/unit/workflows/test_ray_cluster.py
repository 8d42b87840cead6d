"""The list of blocks that workers made, without Ray."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.backbones.feature_folder import BlockEntry, FeatureFolder, FeaturesRecord
from rehead.errors import ClusterError, DataError, MissingExtraError
from rehead.workflows import ray_cluster
from rehead.workflows.ray_cluster import Cluster, blocks_in_order, parse_place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> FeatureFolder:
    """A folder that holds 30 blocks."""
    record = FeaturesRecord({"context": "x"}, [("last", 2)], "float16", [], "photos")
    made = FeatureFolder(tmp_path_factory.mktemp("features"), record)
    for n in range(30):
        place = made.place(entry(n).name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    return made


def entry(n: int) -> BlockEntry:
    return BlockEntry(f"{n:064x}", n + 1, n % 2)


@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=10),
    again=st.lists(st.integers(0, 9), max_size=6),
    seed=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=50)
def test_every_block_once_in_the_sources_order(
    sizes: list[int], again: list[int], seed: Any, folder: FeatureFolder
) -> None:
    """In whatever order parts come, and however often: a worker that was killed did some twice."""
    numbers = iter(range(30))
    parts = [(n, [entry(next(numbers)) for _ in range(size)]) for n, size in enumerate(sizes)]
    expected = [block for _, blocks in parts for block in blocks]
    came = parts + [parts[n] for n in again if n < len(parts)]
    seed.shuffle(came)
    assert blocks_in_order(came, len(parts), folder) == expected


def test_parts_that_are_missing_or_differ(folder: FeatureFolder) -> None:
    with pytest.raises(ClusterError, match="1 parts are missing"):
        blocks_in_order([(0, [entry(0)])], 2, folder)
    with pytest.raises(ClusterError, match="had other photos the second time"):
        blocks_in_order([(0, [entry(0)]), (0, [entry(1)])], 1, folder)
    with pytest.raises(ClusterError, match="a folder that all machines of the cluster share"):
        blocks_in_order([(0, [entry(99)])], 1, folder)


def test_places() -> None:
    assert parse_place("ray") == ""
    assert parse_place("ray:10.0.0.1:6379") == "10.0.0.1:6379"
    assert parse_place("ray:ray://host:10001") == "ray://host:10001"
    for wrong in ("", "spark", "ray:", "rays"):
        with pytest.raises(DataError, match="expected ray, or ray:ADDRESS"):
            parse_place(wrong)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rehead\[ray\]'"):
        Cluster("ray")


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: name)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(ClusterError, match="nobody answers there"):
            Cluster(f"ray:127.0.0.1:{port}")
