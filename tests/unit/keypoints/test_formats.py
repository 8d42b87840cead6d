"""Annotation files: every form is read as it is meant, and refused where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.errors import DatasetError
from rehead.keypoints.formats import read_table, to_csv

coordinates = st.floats(-500, 5000, allow_nan=False).map(lambda v: round(v, 3))


def table(tmp_path: Path, text: str, name: str = "points.csv") -> Path:
    (tmp_path / name).write_text(text, "utf-8")
    return tmp_path / name


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.none() | st.tuples(coordinates, coordinates), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[float, float] | None]]
) -> None:
    points = np.array([[(np.nan, np.nan) if p is None else p for p in row] for row in rows])
    names = [f"a, {n}é.jpg" for n in range(len(rows))]
    found = read_table(table(tmp_path_factory.mktemp("csv"), to_csv(names, points)))
    assert found.photos == tuple(names)
    np.testing.assert_allclose(found.points, points, atol=1e-3)


def test_headers_are_optional_and_may_be_numbers(tmp_path: Path) -> None:
    body = "a.jpg,1,2,3,4\nb.jpg,5,6,7,8\n"
    expected = np.arange(1, 9).reshape(2, 2, 2) + 0.5  # pixel 1's centre is at 1.5 from the corner
    for header in ("", ",0,1,2,3\n", "name,x0,y0,x1,y1\n", "image,0,1,2,3\n"):
        found = read_table(table(tmp_path, header + body))
        np.testing.assert_array_equal(found.points, expected)
        assert found.names == ()


def test_names_and_groups_come_from_the_header(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "name;eye_x;eye_y;person;nose_x;nose_y\na.jpg;1;2;Ann;;4\n"))
    assert found.names == ("eye", "nose")
    assert found.groups == ("Ann",)
    assert np.isnan(found.points[0, 1]).all(), "a point with one coordinate is missing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("name,x0,y0\n", "only a header"),
        ("a.jpg,1,2,3\n", "3 coordinates, an odd number"),
        ("a.jpg,1,2\nb.jpg,1,2,3,4\n", "line 2: 2 points, the first line has 1"),
        ("a.jpg,1,zwei\n", "line 1: 'zwei' is no coordinate"),
        ("a.jpg,1,inf\n", "line 1: 'inf' is no coordinate"),
        ("a.jpg,1," + "9" * 400 + "\n", "line 1: '9+' is no coordinate"),
        ("a.jpg,1,2\n,3,4\n", "line 2: the photo's name is empty"),
        ('a.jpg,1,"2\n', "no valid CSV"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        read_table(table(tmp_path, text))


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("name,y0,x0,y1,x1", "2,1,4,3"),
        ("name,x0,x1,y0,y1", "1,3,2,4"),
        ("name,x1,y1,x0,y0", "3,4,1,2"),
        ("name,row0,col0,row1,col1", "2,1,4,3"),
        ("name,x,x,y,y", "1,3,2,4"),
        ("name,y,x,y.1,x.1", "2,1,4,3"),
        ("name,x0,y0,quality,x1,y1,reason", "1,2,0.5,3,4,unlike"),
    ],
)
def test_the_header_says_which_column_is_which(tmp_path: Path, header: str, cells: str) -> None:
    found = read_table(table(tmp_path, f"{header}\na.jpg,{cells}\n"))
    np.testing.assert_array_equal(found.points, [[[1.5, 2.5], [3.5, 4.5]]])
    assert found.names == ()
    passed = "Columns that name no coordinate were passed over: 'quality', 'reason'."
    assert found.notes == ((passed,) if "quality" in header else ())


def test_names_may_come_in_any_order_of_axes(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "name,eyebrow_y,nose.Y,eyebrow_x,nose.X\na.jpg,2,4,1,3\n"))
    assert found.names == ("eyebrow", "nose")
    np.testing.assert_array_equal(found.points, [[[1.5, 2.5], [3.5, 4.5]]])
    with pytest.raises(DatasetError, match="names 'y1', but not the other coordinate"):
        read_table(table(tmp_path, "name,x0,y0,z1,y1\na.jpg,1,2,3,4\n"))


def coco(tmp_path: Path, annotations: list[dict[str, object]]) -> Path:
    record = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "annotations": annotations,
        "categories": [{"keypoints": ["left_eye", "right_eye"]}],
    }
    return table(tmp_path, json.dumps(record), "coco.json")


def test_coco(tmp_path: Path) -> None:
    annotations: list[dict[str, object]] = [
        {"image_id": 7, "keypoints": [10, 20, 2, 0, 0, 0]},
        {"image_id": 8, "keypoints": [1, 2, 2, 3, 4, 1]},
        {"image_id": 8, "keypoints": [5, 6, 2, 3, 4, 1]},
    ]
    found = read_table(coco(tmp_path, annotations))
    assert found.photos == ("a.jpg",)
    assert found.names == ("left_eye", "right_eye")
    np.testing.assert_array_equal(found.points[0, 0], [10.5, 20.5])
    assert np.isnan(found.points[0, 1]).all()
    assert found.notes == ("1 photos of several objects were left out; crop them to one each.",)
    with pytest.raises(DatasetError, match="different numbers of keypoints"):
        read_table(coco(tmp_path, [annotations[0], {"image_id": 8, "keypoints": [1, 2, 2]}]))
    with pytest.raises(DatasetError, match="not a COCO keypoints file"):
        read_table(table(tmp_path, "[1, 2]", "bad.json"))


@pytest.mark.parametrize(
    "keypoints",
    [
        "text",
        ["a", "b", 2],
        [[1, 2, 2]],
        [[1], 2, 2],
        [10**400, 2, 2],
        [1e300, 2, 2],
        [{}, 2, 2],
        [[], [], [1]],
    ],
    ids=lambda v: str(v)[:12],
)
def test_coco_of_anything_but_numbers(tmp_path: Path, keypoints: object) -> None:
    with pytest.raises(DatasetError, match=r"no list of coordinates|no photo with the keypoints"):
        read_table(coco(tmp_path, [{"image_id": 7, "keypoints": keypoints}]))


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"images": 1}', '{"images": [{"id": [1], "file_name": 1}]}', "1" * 9999]
)
def test_json_that_is_no_coco(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match="not a COCO keypoints file"):
        read_table(table(tmp_path, text, "bad.json"))


def test_coco_without_coordinates_of_a_visible_point(tmp_path: Path) -> None:
    found = read_table(coco(tmp_path, [{"image_id": 7, "keypoints": [None, 20, 2, 3, 4, 2]}]))
    assert np.isnan(found.points[0, 0]).all()
    np.testing.assert_array_equal(found.points[0, 1], [3.5, 4.5])


@pytest.mark.parametrize("numbers", ["9" * 5000 + " {\n1 1\n}", "1 {\n1 inf\n}", "1 {\nnan 1e300\n}"])
def test_pts_of_impossible_numbers(tmp_path: Path, numbers: str) -> None:
    with pytest.raises(DatasetError, match=r"no valid \.pts file"):
        read_table(table(tmp_path, f"n_points: {numbers}\n", "a.pts"))


def test_pts_count_pixels_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    table(tmp_path, "version: 1\nn_points:  2\n{\n1 1\n10.5 20.5\n}\n", "a.PTS")
    found = read_table(tmp_path)
    assert found.photos == ("a.png",)
    np.testing.assert_array_equal(found.points, [[[0.5, 0.5], [10, 20]]])
    (tmp_path / "capitals").mkdir()
    table(tmp_path / "capitals", "version: 1\nn_points: 2\n{\n1 1\n10.5 20.5\n}\n", "A.PTS")
    assert len(read_table(tmp_path / "capitals").photos) == 1
    table(tmp_path, "version: 1\nn_points: 3\n{\n1 1\n}\n", "b.pts")
    with pytest.raises(DatasetError, match=r"b\.pts: no valid \.pts file"):
        read_table(tmp_path)
