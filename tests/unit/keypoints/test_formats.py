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
        ("a.jpg,1,2\n,3,4\n", "line 2: the photo's name is empty"),
        ('a.jpg,1,"2\n', "no valid CSV"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        read_table(table(tmp_path, text))


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


def test_pts_count_pixels_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    table(tmp_path, "version: 1\nn_points:  2\n{\n1 1\n10.5 20.5\n}\n", "a.pts")
    found = read_table(tmp_path)
    assert found.photos == ("a.png",)
    np.testing.assert_array_equal(found.points, [[[0.5, 0.5], [10, 20]]])
    (tmp_path / "capitals").mkdir()
    table(tmp_path / "capitals", "version: 1\nn_points: 2\n{\n1 1\n10.5 20.5\n}\n", "A.PTS")
    assert len(read_table(tmp_path / "capitals").photos) == 1
    table(tmp_path, "version: 1\nn_points: 3\n{\n1 1\n}\n", "b.pts")
    with pytest.raises(DatasetError, match=r"b\.pts: no valid \.pts file"):
        read_table(tmp_path)
