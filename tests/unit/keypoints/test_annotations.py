"""Photos and points together: units, people, and what is said of odd ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.errors import DatasetError, ImageError
from rehead.keypoints.annotations import read_annotations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for person in "abcdef":
        for number in range(2):
            Image.new("RGBA", (40, 20)).save(tmp_path / f"{person}_{number}.png")
    return tmp_path


def listed(folder: Path, point: str = "10,5,30,15", **other: str) -> Path:
    names = sorted(path.name for path in folder.glob("*.png"))
    (folder / "p.csv").write_text("\n".join(f"{n},{other.get(n[:3], point)}" for n in names), "utf-8")
    return folder / "p.csv"


def test_points_in_units_of_the_side(folder: Path) -> None:
    rows = read_annotations(listed(folder))
    np.testing.assert_allclose(rows.units[0], [[10.5 / 40, 5.5 / 20], [30.5 / 40, 15.5 / 20]])
    assert rows.take([3, 1]).ids == ("b_1.png", "a_1.png")


def test_people_are_told_by_names_a_column_or_a_pattern(folder: Path) -> None:
    rows = read_annotations(listed(folder))
    assert rows.groups.tolist()[:3] == ["a", "a", "b"]
    assert "6 people in 12 photos" in rows.notes[0]
    assert len(set(read_annotations(listed(folder), group="none").groups)) == 12
    assert set(read_annotations(listed(folder), group=r"_(\d)").groups) == {"0", "1"}
    with pytest.raises(DatasetError, match="not a regular expression"):
        read_annotations(listed(folder), group="(")
    with pytest.raises(DatasetError, match=r"does not match 'a_0\.png'"):
        read_annotations(listed(folder), group="b_(.)")


def test_shares_instead_of_pixels_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"shares of the side.*multiply x by the photo's width"):
        read_annotations(listed(folder, "0.1,0.2,0.3,0.4"))


def test_points_of_larger_photos_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"far outside of their photos.*40 x 20 pixels"):
        read_annotations(listed(folder, "100,50,300,150"))


def test_a_point_outside_is_reported_and_kept(folder: Path) -> None:
    rows = read_annotations(listed(folder, a_0="-3,5,30,15"))
    assert rows.points[0, 0, 0] == -2.5
    assert any("1 point outside of the photo, in 1 photo ('a_0.png')" in note for note in rows.notes)


def test_missing_and_unreadable_photos(folder: Path) -> None:
    source = listed(folder)
    (folder / "a_0.png").write_bytes(b"no image")
    rows = read_annotations(source)
    assert len(rows) == 11
    assert rows.unreadable[0][0] == "a_0.png"
    with pytest.raises(ImageError, match="a_0"):
        read_annotations(source, strict=True)
    (folder / "a_1.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 12 photos are not in .*'a_1\.png'.*--images"):
        read_annotations(source)
    with pytest.raises(DatasetError, match="no such folder"):
        read_annotations(source, folder / "nowhere")


def test_photos_listed_twice_or_without_points(folder: Path) -> None:
    rows = read_annotations(listed(folder, b_0=",,,"))
    assert "b_0.png" not in rows.ids
    assert "Left out: 1 photo without any point." in rows.notes
    source = listed(folder)
    source.write_text(source.read_text() + "\na_0.png,1,2,3,4", "utf-8")
    with pytest.raises(DatasetError, match=r"listed twice: 'a_0\.png'"):
        read_annotations(source)


def faces(count: int, seed: int = 0) -> np.ndarray:
    """Five points of faces in photos of 100 x 100 pixels, somewhere, of any size and turn: (n, 5, 2)."""
    rng = np.random.default_rng(seed)
    shape = np.array([[-10, -10], [10, -10], [0, 0], [-7, 10], [7, 10.0]])
    turn, size = rng.normal(scale=0.2, size=count), np.exp(rng.normal(scale=0.2, size=count))
    c, s = size * np.cos(turn), size * np.sin(turn)
    linear = np.stack([np.stack([c, -s], 1), np.stack([s, c], 1)], 1)
    varied = shape + rng.normal(scale=1.0, size=(count, 5, 2))
    return np.asarray(varied @ linear.transpose(0, 2, 1) + rng.uniform(35, 65, size=(count, 1, 2))).round(1)


def annotated(folder: Path, points: np.ndarray) -> Path:
    lines = ["name," + ",".join(f"x{k},y{k}" for k in range(points.shape[1]))]
    for n, row in enumerate(points):
        Image.new("L", (100, 100)).save(folder / f"{n}.png")
        lines.append(",".join([f"{n}.png", *("" if np.isnan(v) else f"{v:g}" for v in row.ravel())]))
    (folder / "p.csv").write_text("\n".join(lines), "utf-8")
    return folder / "p.csv"


@pytest.mark.parametrize(
    ("place", "share"), [((0, 0), 0.1), ((-1, -1), 0.01), ((50, 50), 0.3), ((-999, -999), 0.1)]
)
def test_places_that_stand_for_missing(tmp_path: Path, place: tuple[float, float], share: float) -> None:
    points = faces(60)
    missing = np.random.default_rng(1).random(points.shape[:2]) < share
    points[missing] = place
    rows = read_annotations(annotated(tmp_path, points), group="none")
    assert np.isnan(rows.points[:, :, 0]).sum() == missing.sum()
    assert rows.notes[0].startswith(f"Taken for missing: {missing.sum()} point")
    assert f"({place[0]}, {place[1]})" in rows.notes[0]


def test_points_that_are_often_in_a_corner_stay(tmp_path: Path) -> None:
    """Corners of documents that mostly fill the photo; some are exactly in its corner."""
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [99, 0], [99, 99], [0, 99.0]])
    points = (corners + rng.uniform(-1, 1, (40, 4, 2)) * 15 * (rng.random((40, 1, 1)) < 0.5)).clip(0, 99)
    rows = read_annotations(annotated(tmp_path, points.round(1)), group="none")
    assert len(rows) == 40
    assert not np.isnan(rows.points).any()


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (lambda p: 40 * p, "far outside of the photo"),
        (lambda p: p[:, ::-1], "another shape"),
        (lambda p: p[[1, 0, 2, 4, 3]], "another shape"),
        (lambda p: p / 100, "shares of the side"),
    ],
    ids=["times 40", "y before x", "left for right", "shares"],
)
def test_a_photo_with_wrong_points_is_left_out_and_listed(
    tmp_path: Path, photo: Callable[[np.ndarray], np.ndarray], reason: str
) -> None:
    points = faces(60)
    points[7] = photo(points[7])
    source = annotated(tmp_path, points)
    rows = read_annotations(source, group="none")
    assert len(rows) == 59
    ((name, why),) = rows.unreadable
    assert (name, reason in why) == ("7.png", True)
    assert rows.notes[0].startswith("Left out: 1 photo whose points are wrong ('7.png')")
    with pytest.raises(DatasetError, match=r"'7\.png': .*; correct its points"):
        read_annotations(source, group="none", strict=True)


def test_what_varies_much_is_not_wrong(tmp_path: Path) -> None:
    """No shape at all, one or two points, missing ones, and a tenth of photos of another kind."""
    rng = np.random.default_rng(0)
    for k in (1, 2, 3, 12):
        points = rng.uniform(1, 98, (80, k, 2))
        points[rng.random((80, k)) < 0.2] = np.nan
        points[:, 0] = rng.uniform(1, 98, (80, 2))
        rows = read_annotations(annotated(tmp_path, points), group="none")
        assert (len(rows), rows.notes) == (80, ())
    hands = faces(80)
    hands[:8, :, 0] = 100 - hands[:8, :, 0]
    rows = read_annotations(annotated(tmp_path, hands), group="none")
    assert len(rows) == 80
    assert "the points of 8 photos, of another shape than most, but one in common" in rows.notes[0]


def test_points_stand_in_the_order_that_is_asked_for(folder: Path) -> None:
    source = listed(folder)
    source.write_text("name,b_x,b_y,a_x,a_y\n" + source.read_text("utf-8"), "utf-8")
    rows = read_annotations(source)
    np.testing.assert_array_equal(rows.ordered_as(("a", "b")).points, rows.points[:, ::-1])
    assert rows.ordered_as(("a", "c")) is rows


def test_a_name_that_no_file_can_have(folder: Path) -> None:
    source = folder / "p.csv"
    source.write_text("x" * 300 + ".png,1,2\na\0b.png,3,4\n", "utf-8")
    with pytest.raises(DatasetError, match=r"photos are not in|no valid CSV"):
        read_annotations(source)
