"""Features of a stream: as they are of files, in blocks that are found again after a kill."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead.backbones import extraction
from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.extraction import Extractor, features_record
from rehead.backbones.feature_folder import BlockEntry, FeatureFolder
from rehead.backbones.features import extract
from rehead.data.sources import open_source
from rehead.errors import DataError, DatasetError, OutputError
from source_files import photos_of, write_csv, write_parquet, write_tar


@pytest.fixture(scope="module")
def backbone(tiny_onnx: Path) -> Backbone:
    return load_backbone(tiny_onnx)


@pytest.fixture(scope="module")
def photos(photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes, str]]:
    found = photos_of(photo_folder(tmp_path_factory.mktemp("made"), {"red fish": 10, "blå": 10}))
    return [*found[:7], ("broken", b"no photo", "blå"), *found[7:]]


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "BLOCK", 4)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Photos of each block that was computed."""
    sizes: list[int] = []

    def counted(files: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(files))
        return extract(files, *args, **kwargs)

    monkeypatch.setattr(extraction, "extract", counted)
    return sizes


def folder_of(backbone: Backbone, path: Path, dtype: str = "float32") -> FeatureFolder:
    record = features_record(backbone, name=backbone.name, weights=None, dtype=dtype, source="photos")
    folder = FeatureFolder(path, record)
    folder.prepare()
    return folder


def run(backbone: Backbone, source: Path, folder: FeatureFolder, done: Any = None) -> FeatureFolder:
    extractor = Extractor(backbone, folder, threads=2)
    return folder.finish([e for part in open_source(source).parts() for e in extractor.part(part, done)])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_are_those_of_the_files(
    dtype: str, backbone: Backbone, photos: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    expected = extract([data for _, data, _ in photos], backbone, cache=False)
    run(backbone, write_tar(tmp_path / "a.tar", photos), folder_of(backbone, tmp_path / "features", dtype))
    folder = FeatureFolder.open(tmp_path / "features")
    blocks = list(folder.blocks())
    rows = np.concatenate([block.features for block in blocks])
    assert rows.dtype == dtype
    np.testing.assert_allclose(rows, expected.plain, rtol=0 if dtype == "float32" else 1e-3, atol=0)
    assert np.concatenate([block.hashes for block in blocks]).tolist() == expected.hashes.tolist()
    assert [len(block) for block in blocks] == [4, 4, 4, 4, 4, 1]
    assert [label for block in blocks for label in block.labels] == [label for _, _, label in photos]
    assert ["".join(f"{b:02x}" for b in row) for block in blocks for row in block.digests] == list(
        expected.digests
    )
    assert (folder.record.rows, folder.record.unreadable) == (21, 1)
    ((name, reason),) = folder.unreadable()
    assert name == "a.tar/broken"
    with (tmp_path / "features" / "unreadable.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["path", "reason"], [name, reason]]


def test_views_are_of_every_style(
    backbone: Backbone, photos: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    folder = run(backbone, write_tar(tmp_path / "a.tar", photos), folder_of(backbone, tmp_path / "features"))
    for block in folder.blocks():
        assert len(block.views) == len(block.viewed) == len(block.styles)
        assert block.readable[block.viewed].all()
        assert (np.abs(block.views - block.features[block.viewed]).max(axis=1) > 0).all()
    assert {int(s) for block in folder.blocks() for s in block.styles} == set(
        range(4)
    )  # of five, four a block


@pytest.mark.parametrize("write", [write_tar, write_parquet, write_csv])
def test_a_killed_extraction_goes_on(
    write: Any, backbone: Backbone, photos: list[tuple[str, bytes, str]], tmp_path: Path, computed: list[int]
) -> None:
    ending = {write_tar: "tar", write_parquet: "parquet", write_csv: "csv"}[write]
    source = write(tmp_path / f"a.{ending}", photos)
    whole = run(backbone, source, folder_of(backbone, tmp_path / "whole"))
    total = sum(computed)
    computed.clear()
    folder = folder_of(backbone, tmp_path / "features")

    def kill(photos: int) -> None:
        if len(computed) >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(backbone, source, folder, kill)
    with pytest.raises(DataError, match="the extraction was not finished"):
        FeatureFolder.open(tmp_path / "features")
    before = sum(computed)
    again = run(backbone, source, folder_of(backbone, tmp_path / "features"))
    assert sum(computed) == total
    assert before < total
    assert again.record.digest == whole.record.digest
    run(backbone, source, folder_of(backbone, tmp_path / "features"))
    assert sum(computed) == total


def test_a_shard_that_ends_early_loses_nothing(
    backbone: Backbone, photos: list[tuple[str, bytes, str]], tmp_path: Path, computed: list[int]
) -> None:
    source = write_tar(tmp_path / "a.tar", photos)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DatasetError, match="ends early"):
        run(backbone, source, folder_of(backbone, tmp_path / "features"))
    kept = sum(computed)
    assert kept >= 8
    source.write_bytes(whole)
    run(backbone, source, folder_of(backbone, tmp_path / "features"))
    assert sum(computed) == len(photos)
    assert kept < sum(computed)


def test_a_photo_that_changed_is_computed_and_its_old_block_goes(
    backbone: Backbone, photos: list[tuple[str, bytes, str]], tmp_path: Path, computed: list[int]
) -> None:
    source = write_csv(tmp_path / "a.csv", photos)
    first = run(backbone, source, folder_of(backbone, tmp_path / "features"))
    photo = tmp_path / "files" / photos[0][2] / f"{photos[0][0]}.jpg"
    photo.write_bytes(photos[-1][1])
    computed.clear()
    second = run(backbone, source, folder_of(backbone, tmp_path / "features"))
    assert len(computed) == 1
    files = {path.stem for path in (tmp_path / "features").glob("blocks/*/*.npz")}
    assert files == {entry.name for entry in second.record.blocks}
    assert len(files - {entry.name for entry in first.record.blocks}) == 1


def test_other_folders_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("")
    with pytest.raises(OutputError, match="something else is there"):
        folder_of(backbone, tmp_path / "mine")
    folder_of(backbone, tmp_path / "features")
    with pytest.raises(OutputError, match="another network, or in another --dtype"):
        folder_of(backbone, tmp_path / "features", "float16")
    with pytest.raises(DataError, match="holds no features"):
        FeatureFolder.open(tmp_path / "mine")


def test_a_damaged_block_is_one_line(
    backbone: Backbone, photos: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    folder = run(backbone, write_tar(tmp_path / "a.tar", photos), folder_of(backbone, tmp_path / "features"))
    place = folder.place(folder.record.blocks[0].name)
    data = bytearray(place.read_bytes())
    for damaged in (data[: len(data) // 2], data[:200] + b"\xff" + data[201:], b""):
        place.write_bytes(damaged)
        with pytest.raises(DataError, match="a block of features is missing or damaged"):
            folder.read(folder.record.blocks[0].name)
    about = json.loads((tmp_path / "features" / "features.json").read_text("utf-8"))
    for changed in ({**about, "format": 99}, {**about, "blocks": 3}, {}):
        (tmp_path / "features" / "features.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=r"features\.json"):
            FeatureFolder.open(tmp_path / "features")


def test_a_feature_beyond_float16_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    extractor = Extractor(backbone, folder_of(backbone, tmp_path / "features", "float16"))
    with pytest.raises(DataError, match="--dtype float32"):
        extractor._stored(np.array([[1e5]], np.float32))


def test_a_part_is_known_only_while_its_blocks_are_there(backbone: Backbone, tmp_path: Path) -> None:
    folder = folder_of(backbone, tmp_path / "features")
    entry = BlockEntry("ab" * 32, 3, 0)
    folder.write_part("a.tar", "12 34", [entry])
    assert folder.part_blocks("a.tar", "12 34") is None
    folder.place(entry.name).parent.mkdir(parents=True)
    folder.place(entry.name).write_bytes(b"")
    assert folder.part_blocks("a.tar", "12 34") == [entry]
    assert folder.part_blocks("a.tar", "12 35") is None
    assert folder.part_blocks("a.tar", "") is None
