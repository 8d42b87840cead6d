"""Photos are divided into folds by person, sampled where they are too many, refused where too few."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from rehead.errors import DataError, DatasetError
from rehead.keypoints.annotations import Annotations, checked, read_annotations
from rehead.keypoints.training_data import TrainingData, annotate, prepare_data


class DrawnFaces(Protocol):
    def __call__(self, folder: Path, people: int, *, each: int = 2) -> Path: ...


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, drawn_faces: DrawnFaces) -> Annotations:
    return read_annotations(drawn_faces(tmp_path_factory.mktemp("faces"), 10))


def prepared(rows: Annotations, *, cv: int = 3, mirror: object = "auto", most: int = 100) -> TrainingData:
    return prepare_data(rows, cv=cv, mirror=mirror, max_photos=most, seed=0)  # type: ignore[arg-type]


def test_a_person_is_in_one_fold(rows: Annotations) -> None:
    data = prepared(rows)
    assert set(data.fold.tolist()) == {0, 1, 2}
    assert len(set(zip(rows.groups.tolist(), data.fold.tolist(), strict=True))) == 10
    assert data.flip_idx == (1, 0, 2, 4, 3)
    assert data.warnings == ["20 photos are few to train on; expect large errors."]


def test_a_sample_is_drawn_of_too_many_photos(rows: Annotations) -> None:
    data = prepared(rows, most=12)
    assert len(data.rows) == len(data.fold) == 12
    assert "20 photos are more than the closed form takes" in data.warnings[0]
    assert prepared(rows, most=12).rows.ids == data.rows.ids


def test_what_cannot_be_trained_on_is_refused(rows: Annotations) -> None:
    with pytest.raises(DatasetError, match="3 photos with points; at least 4"):
        prepared(rows.take([0, 1, 2]))
    with pytest.raises(DatasetError, match="all 20 photos belong to one person"):
        prepared(replace(rows, groups=np.full(20, "one")))
    with pytest.raises(DataError, match="mirror table"):
        prepared(rows, mirror=(1, 2, 0, 3, 4))
    points = rows.points.copy()
    points[rows.groups != rows.groups[0], 2] = np.nan
    with pytest.raises(DatasetError, match=r"point 2 \(nose\) is given in 2 photos"):
        prepared(replace(rows, points=points))


def test_arrays_are_annotations_too(rows: Annotations) -> None:
    photos = [str(path) for path in rows.paths]
    made = annotate(photos, (rows.points - 0.5).reshape(20, 10), rows.groups)
    np.testing.assert_allclose(made.units, rows.units)
    assert made.groups.tolist() == rows.groups.tolist()
    assert len(set(annotate(photos, rows.points).groups.tolist())) == 20
    for y, message in (
        (rows.points[:3], "20 photos, and points of shape"),
        (np.full((20, 2, 2), np.inf), "infinite numbers"),
        (np.full((20, 2, 2), np.nan), "has no point, one of 20"),
    ):
        with pytest.raises(DatasetError, match=message):
            annotate(photos, y)
    for nested in ([["a"]] * 20, [[10**400, 1]] * 20, [[[1, 2]], [1]] * 10):
        with pytest.raises(DatasetError, match="points are no array of numbers"):
            annotate(photos, nested)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="groups of shape"):
        annotate(photos, rows.points, rows.groups[:3])


def test_arrays_are_checked_as_files_are(rows: Annotations) -> None:
    points = rows.points - 0.5
    points[3, :2] = 0
    points[4] *= 40
    found = checked(annotate([str(path) for path in rows.paths], points))
    assert np.isnan(found.points[3, :2]).all()
    assert [name for name, _ in found.unreadable] == [str(rows.paths[4])]
    assert [note.split(":")[0] for note in found.notes] == ["Taken for missing", "Left out"]
