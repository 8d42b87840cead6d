"""Headers, light, contrast and blur of photos, kept in the cache; and the faults that they show."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from rehead.audit import image_stats
from rehead.audit.image_issues import image_issues
from rehead.audit.image_stats import IMAGE_STATS, blur_effect, compute_image_stats
from rehead.data import Dataset
from rehead.images import Header, read_header


def scene(size: tuple[int, int] = (320, 240), seed: int = 0) -> Image.Image:
    """Sharp blocks of many sizes."""
    rng = np.random.default_rng(seed)
    photo = Image.new("RGB", size, "grey")
    for _ in range(60):
        x, y = (int(rng.integers(0, side)) for side in size)
        w, h = rng.integers(4, 60, 2).tolist()
        photo.paste(tuple(rng.integers(0, 256, 3).tolist()), (x, y, x + w, y + h))
    return photo


def saved(photo: Image.Image, path: Path, **options: object) -> Path:
    photo.save(path, "JPEG", quality=92, **options)
    return path


def digests(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


# headers


def exif(**fields: object) -> Image.Exif:
    made = Image.Exif()
    made[0x010F], made[0x0110] = "Maker", "Model 1\0"
    inner = made.get_ifd(0x8769)
    inner[0x9003] = fields.get("when", "2024:03:05 10:11:12")
    if "part" in fields:
        inner[0x9291] = fields["part"]
    return made


def test_header_has_size_time_and_camera() -> None:
    buffer = io.BytesIO()
    oriented = exif(part="250")
    oriented[0x0112] = 6
    scene().save(buffer, "JPEG", exif=oriented)
    header = read_header(buffer.getvalue())
    assert (header.width, header.height, header.camera) == (240, 320, "Maker Model 1")
    assert header.taken == pytest.approx(1709633472.25)


@pytest.mark.parametrize("when", ["", "0000:00:00 00:00:00", "yesterday", "    :  :     :  :  "])
def test_a_time_that_is_none_is_none(when: str) -> None:
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG", exif=exif(when=when))
    assert read_header(buffer.getvalue()).taken is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_without_exif_there_is_only_a_size(kind: str) -> None:
    buffer = io.BytesIO()
    scene().save(buffer, kind)
    assert read_header(buffer.getvalue()) == Header(320, 240, None, "")


def test_damaged_exif_counts_as_none() -> None:
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG", exif=exif())
    data = buffer.getvalue()
    start = data.index(b"Exif") + 6
    damaged = data[:start] + b"II*\0\xff\xff\xff\xff" + data[start + 8 :]
    assert read_header(damaged) == Header(320, 240, None, "")


# looks


def test_blur_grows_with_blurring_and_is_0_for_one_colour() -> None:
    grey = [
        np.asarray(scene().filter(ImageFilter.GaussianBlur(radius)).convert("L"), dtype=np.float32)
        for radius in (0, 1, 3)
    ]
    values = [blur_effect(one) for one in grey]
    assert values == sorted(values)
    assert values[0] < 0.4 < 0.75 < values[-1] <= 1
    assert blur_effect(np.full((64, 64), 7, dtype=np.float32)) == 0
    swept = np.asarray(scene().filter(ImageFilter.BoxBlur((8, 0))).convert("L"), dtype=np.float32)
    assert blur_effect(swept) == pytest.approx(blur_effect(swept.T))
    assert blur_effect(swept) > 0.6, "moved in one direction only"


def test_looks_come_from_the_cache_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [saved(scene(seed=n), tmp_path / f"{n}.jpg") for n in range(3)]
    (tmp_path / "empty.jpg").touch()
    told: list[tuple[int, int]] = []
    files, names = [*paths, tmp_path / "empty.jpg"], [*digests(paths), ""]
    first = compute_image_stats(
        files, names, cache_root=tmp_path / "cache", progress=lambda done, total: told.append((done, total))
    )
    assert told == [(2, 4), (3, 4), (4, 4)]
    assert first["width"].tolist() == [320, 320, 320, 0]
    assert np.isnan(first["taken"]).all()
    monkeypatch.setattr(image_stats, "_image_stats", lambda path: pytest.fail("looked again"))
    again = compute_image_stats(files, names, cache_root=tmp_path / "cache")
    assert first.tobytes() == again.tobytes()


def test_a_damaged_photo_has_no_looks_and_is_not_kept(tmp_path: Path) -> None:
    path = saved(scene(), tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[:2000])
    rows = compute_image_stats([path], digests([path]), cache_root=tmp_path / "cache")
    assert rows["width"].tolist() == [0]
    assert not (tmp_path / "cache").exists()


# faults


def looked(**columns: Sequence[float]) -> tuple[Dataset, np.ndarray]:
    n = len(next(iter(columns.values())))
    rows = np.zeros(n, IMAGE_STATS)
    usual = {"width": 640, "height": 480, "light": 230, "contrast": 200, "blur": 0.3}
    for name, value in usual.items():
        rows[name] = columns.get(name, [value] * n)
    ids = tuple(f"a/{k}.jpg" for k in range(n))
    text = np.full(n, "a")
    return Dataset(Path("p"), ids, tuple(map(Path, ids)), text, np.full(n, ""), np.full(n, "")), rows


def named(dataset: Dataset, rows: np.ndarray) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for issue in image_issues(dataset, rows):
        found.setdefault(issue.kind, []).extend(name[2:-4] for name in issue.photos)
    return found


def test_faults_are_told_apart() -> None:
    dataset, rows = looked(
        width=[640, 24, 640, 640, 640, 640, 0, *[640] * 8],
        height=[480, 30, 200, 480, 480, 480, 0, *[480] * 8],
        light=[230, 230, 230, 50, 20, 230, 0, *[230] * 8],
        contrast=[200, 200, 200, 50, 2, 200, 0, *[200] * 8],
        blur=[0.3, 0.8, 0.3, 0.3, 0.9, 0.75, 0, *[0.3] * 8],
    )
    assert named(dataset, rows) == {
        "blank": ["4"],
        "dark": ["3"],
        "blurred": ["5"],
        "tiny": ["1"],
        "shape": ["2"],
    }
    rows["unended"][[3, 9]] = True
    assert named(dataset, rows)["unended"] == ["3", "9"]


def test_blur_is_measured_by_the_others() -> None:
    soft = [0.62, 0.66, 0.7, 0.74, 0.78] * 4
    dataset, rows = looked(blur=[*soft, 0.8, 0.85])
    assert named(dataset, rows) == {"blurred": ["21"]}


def test_what_most_photos_have_is_said_once() -> None:
    dataset, rows = looked(width=[8] * 9 + [640], height=[8] * 9 + [480])
    (issue,) = image_issues(dataset, rows)
    assert (issue.kind, issue.photos) == ("tiny", ())
    assert issue.detail == "9 of 10 photos are tiny"


def test_jpeg_without_its_end_marker_is_read_and_named(tmp_path: Path) -> None:
    paths = [saved(scene(seed=n), tmp_path / f"{n}.jpg") for n in range(3)]
    whole = compute_image_stats(paths, digests(paths), cache=False)
    paths[1].write_bytes(paths[1].read_bytes()[:-2])
    rows = compute_image_stats(paths, digests(paths), cache_root=tmp_path / "cache")
    assert rows["unended"].tolist() == [False, True, False]
    assert rows["contrast"].tolist() == whole["contrast"].tolist()
    kept = compute_image_stats(paths, digests(paths), cache_root=tmp_path / "cache")
    assert kept.tobytes() == rows.tobytes()


def test_grey_photos_of_12_bits_are_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    grey = np.asarray(scene().convert("L")).astype(np.uint16) * 16
    Image.fromarray(grey).save(path)
    (row,) = compute_image_stats([path], digests([path]), grey_range=(0, 4095), cache_root=tmp_path / "cache")
    assert row["contrast"] > 100
    (other,) = compute_image_stats([path], digests([path]), cache_root=tmp_path / "cache")
    assert other["contrast"] < 20


def test_statistics_of_a_file_that_has_changed_are_not_kept(tmp_path: Path) -> None:
    path = saved(scene(), tmp_path / "0.jpg")
    before = digests([path])
    saved(scene(seed=1).point(lambda level: level // 8), path)
    compute_image_stats([path], before, cache_root=tmp_path / "cache")
    saved(scene(), path)
    (row,) = compute_image_stats([path], before, cache_root=tmp_path / "cache")
    assert row["light"] > 100
