"""Which of several faces is meant, and which embeddings may be compared."""

from __future__ import annotations

import numpy as np
import pytest

from rehead.errors import DataError, UnknownNameError
from rehead.faces import Face, Quality, choose, same_space


def face(*box: float) -> Face:
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    corners = np.array(box, dtype=np.float64)
    return Face(corners, corners[:2] + points * (corners[2:] - corners[:2]), 0.99, Quality(10, 20, 0, 0, 0))


LARGE_ASIDE, SMALL_IN_THE_MIDDLE = face(0, 0, 90, 90), face(160, 110, 240, 190)
PHOTO = (400, 300)


def test_largest_and_centre() -> None:
    faces = [LARGE_ASIDE, SMALL_IN_THE_MIDDLE]
    assert choose(faces, "largest", PHOTO) == [LARGE_ASIDE]
    assert choose(faces, "centre", PHOTO) == [SMALL_IN_THE_MIDDLE]
    assert choose(faces, "all", PHOTO) == faces


def test_several_are_refused_where_asked() -> None:
    assert choose([LARGE_ASIDE], "error", PHOTO) == [LARGE_ASIDE]
    with pytest.raises(DataError, match="2 faces, expected one"):
        choose([LARGE_ASIDE, SMALL_IN_THE_MIDDLE], "error", PHOTO)


@pytest.mark.parametrize("rule", ["largest", "centre", "all", "error"])
def test_no_face_stays_no_face(rule: str) -> None:
    assert choose([], rule, PHOTO) == []  # type: ignore[arg-type]


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'centre'"):
        choose([LARGE_ASIDE], "center", PHOTO)  # type: ignore[arg-type]


def test_names_and_licences_do_not_part_spaces() -> None:
    contract = {"name": "a", "sha256": "00", "size": 112, "licences": {"code": "MIT"}}
    assert same_space(contract, {**contract, "name": "b", "licences": {}})
    assert not same_space(contract, {**contract, "size": 150})
    assert not same_space(contract, {**contract, "margin": 0.1})
