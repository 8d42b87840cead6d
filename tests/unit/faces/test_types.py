"""Which of several faces is used, and which embeddings may be compared."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rehead.errors import DataError, UnknownNameError
from rehead.faces import Face, Quality, select_faces, spec_fingerprint


def face(*box: float) -> Face:
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    corners = np.array(box, dtype=np.float64)
    return Face(corners, corners[:2] + points * (corners[2:] - corners[:2]), 0.99, Quality(10, 20, 0, 0, 0))


def test_a_face_as_json() -> None:
    record = face(0, 0, 30, 50.004).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["box"] == [0, 0, 30, 50]
    assert record["points"][0] == [9, 20]
    assert record["score"] == 0.99
    assert record["quality"] == {"side": 10, "sharpness": 20, "yaw": 0, "pitch": 0, "roll": 0}


LARGE_ASIDE, SMALL_IN_THE_MIDDLE = face(0, 0, 90, 90), face(160, 110, 240, 190)
PHOTO = (400, 300)


def test_largest_and_centre() -> None:
    faces = [LARGE_ASIDE, SMALL_IN_THE_MIDDLE]
    assert select_faces(faces, "largest", PHOTO) == [LARGE_ASIDE]
    assert select_faces(faces, "centre", PHOTO) == [SMALL_IN_THE_MIDDLE]
    assert select_faces(faces, "all", PHOTO) == faces


def test_several_are_refused_where_asked() -> None:
    assert select_faces([LARGE_ASIDE], "error", PHOTO) == [LARGE_ASIDE]
    with pytest.raises(DataError, match="2 faces, expected one"):
        select_faces([LARGE_ASIDE, SMALL_IN_THE_MIDDLE], "error", PHOTO)


@pytest.mark.parametrize("selection", ["largest", "centre", "all", "error"])
def test_no_face_stays_no_face(selection: str) -> None:
    assert select_faces([], selection, PHOTO) == []  # type: ignore[arg-type]


def test_an_unknown_selection_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'centre'"):
        select_faces([LARGE_ASIDE], "center", PHOTO)  # type: ignore[arg-type]


def test_names_and_licences_do_not_make_embeddings_incomparable() -> None:
    spec = {"name": "a", "sha256": "00", "size": 112, "licences": {"code": "MIT"}}
    assert spec_fingerprint(spec) == spec_fingerprint({**spec, "name": "b", "licences": {}})
    assert spec_fingerprint(spec) != spec_fingerprint({**spec, "size": 150})
    assert spec_fingerprint(spec) != spec_fingerprint({**spec, "margin": 0.1})
