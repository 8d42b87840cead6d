from __future__ import annotations

import gc
import shutil
import tracemalloc
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from rehead.backbones import features as module
from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.features import Features, extract, extract_views
from rehead.core.runtime import open_session
from rehead.data import perceptual_hash
from rehead.errors import MachineError
from rehead.images import camera_view, file_digest, load_image, read_bytes


class PhotoFolder(Protocol):
    def __call__(self, folder: Path, counts: dict[str, int], *, seed: int = 0) -> Path: ...


@pytest.fixture(scope="module")
def backbone(tiny_onnx: Path) -> Backbone:
    return load_backbone(tiny_onnx)


@pytest.fixture
def photos(photo_folder: PhotoFolder, tmp_path: Path) -> list[Path]:
    folder = photo_folder(tmp_path / "photos", {"red fish": 12, "blå": 12})
    return sorted(folder.rglob("*.jpg"))


def spoil(photo: Path) -> Path:
    photo.write_bytes(photo.read_bytes()[:200])
    return photo


def assert_same(one: Features, two: Features) -> None:
    np.testing.assert_array_equal(one.plain, two.plain)
    np.testing.assert_array_equal(one.hashes, two.hashes)
    assert one.digests == two.digests
    assert (one.mirrored is None) == (two.mirrored is None)
    if one.mirrored is not None and two.mirrored is not None:
        np.testing.assert_array_equal(one.mirrored, two.mirrored)


def test_rows_are_in_the_order_asked_for(backbone: Backbone, photos: list[Path], tmp_path: Path) -> None:
    order = [5, 0, 23, 0, 17, 11]
    found = extract([photos[n] for n in order], backbone, cache_root=tmp_path)
    session = open_session(backbone.features_graph(), threads=1)
    pixels = [load_image(photos[n], backbone.preprocess) for n in order]
    expected = np.concatenate([session.run(None, {"image": image[None]})[0] for image in pixels])
    np.testing.assert_array_equal(found.plain, expected)
    assert found.plain.dtype == np.float32
    assert found.plain.shape == (6, 32)
    assert found.hashes.tolist() == [perceptual_hash(image) for image in pixels]
    assert found.digests[1] == found.digests[3]
    assert len({row.tobytes() for row in found.plain}) == 5
    assert found.mirrored is None
    assert found.errors == ()
    assert found.readable.all()


def test_warm_is_cold_to_the_bit(backbone: Backbone, photos: list[Path], tmp_path: Path) -> None:
    cold = extract(photos, backbone, mirror=True, cache_root=tmp_path / "cache")
    warm = extract(photos, backbone, mirror=True, cache_root=tmp_path / "cache")
    without = extract(photos, backbone, mirror=True, cache=False, cache_root=tmp_path / "none")
    one_thread = extract(photos, backbone, mirror=True, cache=False, threads=1)
    assert (cold.computed, warm.computed, without.computed) == (24, 0, 24)
    assert not (tmp_path / "none").exists()
    for other in (warm, without, one_thread):
        assert_same(cold, other)


def test_mirrored_is_the_plain_of_the_flipped_photo(backbone: Backbone, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for side, pictures in (("plain", noise), ("flipped", noise[:, :, ::-1])):
        (tmp_path / side).mkdir()
        for n, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / side / f"{n}.png")
    plain, flipped = (
        extract(sorted((tmp_path / side).iterdir()), backbone, mirror=True, cache_root=tmp_path / "cache")
        for side in ("plain", "flipped")
    )
    assert plain.mirrored is not None
    assert flipped.mirrored is not None
    np.testing.assert_array_equal(plain.mirrored, flipped.plain)
    np.testing.assert_array_equal(plain.plain, flipped.mirrored)
    assert np.abs(plain.plain - plain.mirrored).max() > 1e-3


def test_mirrored_rows_are_computed_beside_plain_ones_that_are_known(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    plain = extract(photos, backbone, cache_root=tmp_path / "cache")
    both = extract(photos, backbone, mirror=True, cache_root=tmp_path / "cache")
    assert both.computed == 24
    np.testing.assert_array_equal(plain.plain, both.plain)
    np.testing.assert_array_equal(plain.hashes, both.hashes)
    assert extract(photos, backbone, mirror=True, cache_root=tmp_path / "cache").computed == 0


def test_unreadable_photos_are_listed_and_their_rows_are_nan(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    spoil(photos[3])
    photos[7].write_bytes(b"")
    photos[9].write_text("not a photo")
    asked = [*photos, tmp_path / "gone.jpg"]
    first = extract(asked, backbone, mirror=True, cache_root=tmp_path / "cache")
    again = extract(asked, backbone, mirror=True, cache_root=tmp_path / "cache")
    for found in (first, again):
        assert [row for row, _ in found.errors] == [3, 7, 9, 24]
        assert [error.path for _, error in found.errors] == [str(asked[row]) for row in (3, 7, 9, 24)]
        reasons = [error.reason for _, error in found.errors]
        assert "truncated" in reasons[0]
        assert reasons[1] == "the file is empty"
        assert "not an image" in reasons[2]
        assert reasons[3] == "there is no such file"
        assert found.mirrored is not None
        for rows in (found.plain, found.mirrored):
            assert np.isnan(rows[~found.readable]).all()
            assert np.isfinite(rows[found.readable]).all()
        assert found.readable.sum() == 21
        assert (found.hashes[~found.readable] == 0).all()
        assert found.digests[24] == found.digests[7] == ""
    assert_same(first, again)
    assert again.computed == 2, "only photos that cannot be decoded are tried again"


def test_all_unreadable_is_an_answer_too(backbone: Backbone, tmp_path: Path) -> None:
    found = extract([tmp_path / "a.jpg", tmp_path / "b.jpg"], backbone, mirror=True, cache_root=tmp_path)
    assert not found.readable.any()
    assert np.isnan(found.plain).all()
    assert len(found.errors) == 2
    assert extract([], backbone, cache_root=tmp_path).plain.shape == (0, 32)


def test_moved_photos_cost_nothing(backbone: Backbone, photos: list[Path], tmp_path: Path) -> None:
    before = extract(photos, backbone, cache_root=tmp_path / "cache")
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    moved = sorted((tmp_path / "elsewhere").rglob("*.jpg"))
    moved = [path.rename(path.with_name(f"new {path.name}")) for path in moved]
    after = extract(moved, backbone, cache_root=tmp_path / "cache")
    assert after.computed == 0
    assert_same(before, after)


def test_a_photo_that_changed_is_computed_again(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    before = extract(photos, backbone, cache_root=tmp_path / "cache")
    shutil.copy(photos[1], photos[0])
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(photos[2])
    after = extract(photos, backbone, cache_root=tmp_path / "cache")
    assert after.computed == 1
    np.testing.assert_array_equal(after.plain[0], before.plain[1])
    assert np.abs(after.plain[2] - before.plain[2]).max() > 1e-3
    np.testing.assert_array_equal(after.plain[3:], before.plain[3:])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("at", [4, 13, 19])
def test_an_interrupted_run_continues_where_it_was(
    backbone: Backbone,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    mirror: bool,
) -> None:
    monkeypatch.setattr(module, "_PHOTOS", 4)
    monkeypatch.setattr(module, "_SHARD", 8)
    seen = []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if done >= at:
            raise KeyboardInterrupt

    root = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        extract(photos, backbone, mirror=mirror, cache_root=root, progress=interrupt)
    assert at <= seen[-1] < 24
    rest = extract(photos, backbone, mirror=mirror, cache_root=root)
    assert rest.computed == 24 - seen[-1], "every row that was told of is kept"
    assert_same(rest, extract(photos, backbone, mirror=mirror, cache=False))


def test_progress_counts_every_photo_to_the_last(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    spoil(photos[3])
    photos[7].unlink()
    extract(photos[:10], backbone, cache_root=tmp_path / "cache")
    told: list[tuple[int, int]] = []
    extract(photos, backbone, cache_root=tmp_path / "cache", progress=lambda *pair: told.append(pair))
    counts = [done for done, _ in told]
    assert {total for _, total in told} == {24}
    assert counts[0] == 9, "eight rows are known and one file is missing"
    assert counts[-1] == 24
    assert counts == sorted(set(counts))


def test_a_cache_that_cannot_be_written_fails_nothing(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    found = extract(photos, backbone, mirror=True, cache_root=tmp_path / "cache")
    assert found.computed == 24
    assert_same(found, extract(photos, backbone, mirror=True, cache=False))


def test_a_read_only_cache_is_read_and_fails_nothing(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    extract(photos[:10], backbone, cache_root=root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        found = extract(photos, backbone, cache_root=root)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert found.computed == 14
    assert_same(found, extract(photos, backbone, cache=False))


def test_a_damaged_cache_heals(backbone: Backbone, photos: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "cache"
    before = extract(photos, backbone, cache_root=root)
    for shard in root.rglob("*.rows"):
        data = bytearray(shard.read_bytes())
        data[-5] ^= 64
        shard.write_bytes(data)
    after = extract(photos, backbone, cache_root=root)
    assert after.computed == 24
    assert_same(before, after)
    assert extract(photos, backbone, cache_root=root).computed == 0


def test_another_network_never_gets_these_rows(
    backbone: Backbone, photos: list[Path], tmp_path: Path, tiny_onnx: Path
) -> None:
    extract(photos, backbone, mirror=True, cache_root=tmp_path / "cache")
    record = tmp_path / "other.json"
    record.write_text('{"size": 32, "mean": [124, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}')
    other = load_backbone(tiny_onnx, preprocess=record)
    assert extract(photos, other, cache_root=tmp_path / "cache").computed == 24


def living_pictures() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Image.Image) for thing in gc.get_objects())


def test_errors_that_are_kept_hold_no_pixels(backbone: Backbone, tmp_path: Path) -> None:
    """Of 100 damaged photos, neither the bytes nor what was decoded of them stay in memory."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.png")
    data = (tmp_path / "0.png").read_bytes()
    photos = [tmp_path / f"{n}.png" for n in range(100)]
    for photo in photos:
        photo.write_bytes(data[: len(data) // 2])
    extract(photos[:4], backbone, cache=False)
    before = living_pictures()
    tracemalloc.start()
    found = extract(photos, backbone, cache=False)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.errors) == 100
    assert taken < len(data)  # it was half of it for each of them
    assert living_pictures() == before
    for _, error in found.errors:
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


def test_a_file_that_changes_meanwhile_does_not_poison_the_cache(
    backbone: Backbone, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features go into the cache by the digest of the bytes that they were computed from."""
    old, new = photos[0].read_bytes(), photos[1].read_bytes()

    def digest_then_change(path: Path) -> str:
        digest = file_digest(path)
        path.write_bytes(new)
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(module, "file_digest", digest_then_change)
        changed = extract(photos[:1], backbone, mirror=True, cache_root=tmp_path / "cache")
    photos[0].write_bytes(old)
    again = extract(photos[:1], backbone, mirror=True, cache_root=tmp_path / "cache")
    expected = extract(photos[:2], backbone, mirror=True, cache=False)
    np.testing.assert_array_equal(again.plain[0], expected.plain[0])
    np.testing.assert_array_equal(changed.plain[0], expected.plain[1])
    assert (changed.digests[0], again.digests[0]) == (expected.digests[1], expected.digests[0])


def test_a_fault_of_the_machine_is_no_unreadable_photo(
    backbone: Backbone, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> bytes:
        if path == photos[5]:
            raise MachineError(f"{path}: the disk failed")
        return read_bytes(path)

    monkeypatch.setattr(module, "read_bytes", fails)
    with pytest.raises(MachineError, match="the disk failed"):
        extract(photos, backbone, cache=False)


def test_range_of_grey_values_is_part_of_the_key(backbone: Backbone, tmp_path: Path) -> None:
    for n, value in enumerate((900, 4000)):
        Image.fromarray(np.full((40, 40), value, np.uint16)).save(tmp_path / f"{n}.png")
    photos = [tmp_path / "0.png", tmp_path / "1.png"]
    ranged = backbone.for_photos(photos)
    assert list(ranged.preprocess.grey_range or ()) == [0, 4095]
    assert ranged.for_photos(photos[:1]) == ranged
    one = extract(photos, backbone, cache_root=tmp_path / "cache")
    two = extract(photos, ranged, cache_root=tmp_path / "cache")
    assert two.computed == 2
    assert not np.array_equal(one.plain, two.plain)


def test_a_view_has_the_features_of_its_pixels_and_is_kept(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    paths, views = [photos[n] for n in (5, 0, 5, 9)], ["grey", "grey", "dark", "bright"]
    digests = extract(paths, backbone, cache_root=tmp_path).digests
    found = extract_views(paths, views, digests, backbone, cache_root=tmp_path)
    session = open_session(backbone.features_graph(), threads=1)
    for row, path, view in zip(found, paths, views, strict=True):
        pixels = camera_view(load_image(path, backbone.preprocess), view)
        np.testing.assert_array_equal(row, session.run(None, {"image": pixels[None]})[0][0])
    for path in set(paths):
        path.unlink()  # so that what comes now comes from the cache
    again = extract_views(paths[::-1], views[::-1], digests[::-1], backbone, cache_root=tmp_path)
    np.testing.assert_array_equal(again, found[::-1])
    assert np.isnan(extract_views(paths, views, digests, backbone, cache=False)).all()


def test_views_of_unreadable_photos_are_not_kept(
    backbone: Backbone, photos: list[Path], tmp_path: Path
) -> None:
    digests = extract(photos[:2], backbone, cache_root=tmp_path).digests
    whole = photos[0].read_bytes()
    spoil(photos[0])
    found = extract_views(photos[:2], ["grey", "grey"], digests, backbone, cache_root=tmp_path)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    photos[0].write_bytes(whole)
    assert np.isfinite(
        extract_views(photos[:2], ["grey", "grey"], digests, backbone, cache_root=tmp_path)
    ).all()
