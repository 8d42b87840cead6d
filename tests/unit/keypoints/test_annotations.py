"""Photos and points together: units, people, and what is said of odd ones."""

from __future__ import annotations

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
    assert any("1 points lie outside of their photo, in 1 photos ('a_0.png')" in note for note in rows.notes)


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
    assert "1 photos without any point were left out." in rows.notes
    source = listed(folder)
    source.write_text(source.read_text() + "\na_0.png,1,2,3,4", "utf-8")
    with pytest.raises(DatasetError, match=r"listed twice: 'a_0\.png'"):
        read_annotations(source)
