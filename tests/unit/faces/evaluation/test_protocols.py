"""LFW's folds, open-set identification, and groups of unknown faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.errors import DataError, DatasetError
from rehead.faces.clustering import cluster_faces
from rehead.faces.evaluation.identification import evaluate_open_set
from rehead.faces.evaluation.lfw import _best_threshold, evaluate_pairs, read_pairs
from rehead.faces.verification.pairs import Pairs


def people_of(
    count: int, each: int, *, seed: int = 0, spread: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(count), each)
    rows = rng.normal(size=(count, 32))[people] + spread * rng.normal(size=(count * each, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), people


# pairs.txt


def lfw(folder: Path, text: str, photos: list[str]) -> tuple[Path, Path]:
    for name in photos:
        path = folder / "lfw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "pairs.txt").write_text(text, "utf-8")
    return folder / "pairs.txt", folder / "lfw"


PHOTOS = ["A_B/A_B_0001.jpg", "A_B/A_B_0004.jpg", "C/C_0001.png", "D/D_0012.jpg", "E/E_0001.jpg"]


def test_lfws_own_form(tmp_path: Path) -> None:
    text = "2\t1\nA_B\t1\t4\nC\t1\tD\t12\nC\t1\t1\nE\t1\tD\t12\n"
    found = read_pairs(*lfw(tmp_path, text, PHOTOS))
    assert found.published
    assert found.fold.tolist() == [0, 0, 1, 1]
    assert (found.people[found.first] == found.people[found.second]).tolist() == [True, False, True, False]
    assert found.photos[found.second[1]].name == "D_0012.jpg"


def test_one_set_of_pairs_is_split_by_people(tmp_path: Path) -> None:
    text = "1 2\nA_B 1 4\nC 1 1\nC 1 D 12\nA_B 1 E 1\n"
    found = read_pairs(*lfw(tmp_path, text, PHOTOS))
    assert not found.published
    assert found.fold[0] == found.fold[3] != found.fold[1] == found.fold[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a list of pairs; expected LFW's form"),
        ("name,1\n", "not a list of pairs"),
        ("0 300\n", "not a list of pairs"),
        ("10 300\nC 1 1\n", r"1 pairs; its first line announces 10 x 2 x 300 = 6000"),
        ("1 1\nC 1 1\nC one D 12\n", r"pairs\.txt, line 3: 'C one D 12'; expected"),
        ("1 1\nC 1 7\nC 1 D 13\n", r"2 of 3 photos of pairs\.txt are not there, such as C/C_0007\.jpg"),
    ],
)
def test_what_is_wrong_with_a_list(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        read_pairs(*lfw(tmp_path, text, PHOTOS))


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_pairs(tmp_path / "none.txt", tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DatasetError, match="not text"):
        read_pairs(tmp_path / "photo.jpg", tmp_path)


# ten folds


def made_up(n: int, *, apart: float, seed: int = 0) -> tuple[Pairs, NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    same = np.arange(n) % 2 == 0
    score = rng.normal(size=n) + apart * same
    people = np.arange(2 * n).reshape(n, 2)
    people[same, 1] = people[same, 0]
    return Pairs(score, people[:, 0], people[:, 1]), np.arange(n) * 10 // n


def test_accuracy_of_known_scores() -> None:
    pairs, fold = made_up(6000, apart=2.0)
    result = evaluate_pairs(pairs, fold)
    # two normal distributions two deviations apart, told in the middle: Phi(1)
    assert result.accuracy.value == pytest.approx(0.8413, abs=0.015)
    assert result.accuracy.value == pytest.approx(float(np.mean(result.fold_accuracy)))
    assert result.accuracy.low < 0.8413 < result.accuracy.high
    assert len(result.fold_threshold) == 10
    assert 0 < result.standard_error < 0.02
    tenth = result.operating[0]
    # at a false-match rate of 0.1 the threshold is 1.2816 and Phi(1.2816 - 2) are missed
    assert tenth.fmr.value == pytest.approx(0.1, abs=0.02)
    assert tenth.fnmr.value == pytest.approx(0.2363, abs=0.03)
    assert [point.supported for point in result.operating] == [True, True, True]
    few = evaluate_pairs(*made_up(600, apart=2.0))
    assert [point.supported for point in few.operating] == [True, True, False]


def test_a_face_that_is_not_found_is_an_error() -> None:
    pairs, fold = made_up(600, apart=100.0)
    assert evaluate_pairs(pairs, fold).accuracy.value == 1
    pairs.score[[0, 1, 2]] = np.nan
    result = evaluate_pairs(pairs, fold)
    assert result.failures == 3
    assert result.accuracy.value == pytest.approx(597 / 600)
    assert not result.correct[:3].any()
    assert np.isnan(result.margin[:3]).all()
    # the two of one person are missed at every threshold
    assert result.operating[0].fnmr.value == pytest.approx(2 / 300)
    assert result.curve[-1, 1] == pytest.approx(2 / 300)


def test_the_threshold_never_sees_its_fold() -> None:
    pairs, fold = made_up(200, apart=4.0)
    whole = evaluate_pairs(pairs, fold)
    pairs.score[fold == 3] *= -50
    changed = evaluate_pairs(pairs, fold)
    assert changed.fold_threshold[3] == whole.fold_threshold[3]
    assert changed.fold_accuracy[3] < 0.7


def test_the_curve_goes_from_strict_to_loose() -> None:
    curve = evaluate_pairs(*made_up(300, apart=1.0)).curve
    assert curve[0].tolist() == [0, 1]
    assert curve[-1].tolist() == pytest.approx([1, 0])
    assert (np.diff(curve[:, 0]) >= 0).all()
    assert (np.diff(curve[:, 1]) <= 1e-12).all()


def test_pairs_of_one_kind_tell_nothing() -> None:
    pairs, fold = made_up(20, apart=1.0)
    with pytest.raises(DatasetError, match="both kinds"):
        evaluate_pairs(pairs.take(pairs.same), fold[pairs.same])


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=80, deadline=None)
def test_no_threshold_is_right_more_often(rows: list[tuple[int, bool]]) -> None:
    score = np.array([float(s) for s, _ in rows])
    same = np.array([s for _, s in rows])
    chosen = int(((score >= _best_threshold(score, same)) == same).sum())
    assert chosen == max(int(((score >= t) == same).sum()) for t in np.arange(-5.5, 6.5))


# strangers


def test_open_set_of_people_who_are_far_apart() -> None:
    result = evaluate_open_set(*people_of(80, 4, spread=0.2))
    assert result.enrolled == (20, 20)
    assert result.probes == 40 * 2
    assert result.strangers == 40 * 4
    assert result.rank_one.value == 1
    tenth = result.points[0]
    assert tenth.fpir.value < 0.2
    assert tenth.fnir.value < 0.05
    assert [point.supported for point in result.points] == [False, False, False, False]
    assert evaluate_open_set(*people_of(130, 2)).points[0].supported


def test_open_set_trades_strangers_for_misses() -> None:
    points = evaluate_open_set(*people_of(300, 3, spread=1.0)).points
    missed = [point.fnir.value for point in points]
    taken = [point.fpir.value for point in points]
    assert missed == sorted(missed)
    assert taken == sorted(taken, reverse=True)
    assert taken[0] == pytest.approx(0.1, abs=0.05)


def test_open_set_counts_failures_as_misses() -> None:
    rows, people = people_of(80, 4, spread=0.2)
    rows[::4] = math.nan
    result = evaluate_open_set(rows, people)
    assert result.failures == 80
    assert result.rank_one.value < 0.8


def test_open_set_needs_people() -> None:
    with pytest.raises(DataError, match="7 people, 7 of them with two photos or more; 8 and 4 are needed"):
        evaluate_open_set(*people_of(7, 3))
    with pytest.raises(DataError, match="0 of them"):
        evaluate_open_set(*people_of(20, 1))


# groups


def test_groups_are_the_people() -> None:
    rows, people = people_of(6, 5, spread=0.3)
    shuffled = np.random.default_rng(0).permutation(30)
    groups = cluster_faces(rows[shuffled], 0.5)
    pairs = {(g, p) for g, p in zip(groups.tolist(), people[shuffled].tolist(), strict=True)}
    assert len(pairs) == 6
    assert groups.min() == 0


def test_two_faces_of_one_photo_are_two_people() -> None:
    rows, _ = people_of(1, 4, spread=0.2)
    assert cluster_faces(rows, 0.5).tolist() == [0, 0, 0, 0]
    groups = cluster_faces(rows, 0.5, np.array([0, 0, 1, 2]))
    assert groups[0] != groups[1]


def test_two_faces_of_one_photo_are_two_people_also_where_many_photos_look_alike() -> None:
    rows, _ = people_of(1, 60, spread=0.2)
    photos = np.repeat(np.arange(20), 3)
    groups = cluster_faces(rows, 0.5, photos)
    assert len(set(zip(groups.tolist(), photos.tolist(), strict=True))) == 60
    assert groups.max() < 20


def test_few_faces() -> None:
    rows, _ = people_of(2, 1)
    assert cluster_faces(rows[:0], 0.5).tolist() == []
    assert cluster_faces(rows[:1], 0.5).tolist() == [0]
    assert cluster_faces(rows, 0.9).tolist() == [0, 1]
