"""Copies by where they stand, bursts by clock and name, small classes, and the list of what to leave out."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rehead.audit import ISSUE_TYPES, Audit, Issue, check_issue_types, quick_checks, quick_warnings, write_csv
from rehead.audit.clean_csv import left_out
from rehead.audit.duplicates import duplicate_issues, leak_issues
from rehead.audit.issues import in_order
from rehead.audit.label_issues import balance_issues, outlier_issues
from rehead.data import Dataset, read_dataset
from rehead.data.bursts import burst_groups
from rehead.data.duplicates import iter_groups
from rehead.errors import UnknownNameError


def made(
    labels: Sequence[str],
    splits: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    root: Path = Path("photos"),
) -> Dataset:
    ids = tuple(f"{label}/{n}.jpg" for n, label in enumerate(labels))
    blank = [""] * len(labels)
    return Dataset(
        root,
        ids,
        tuple(root / name for name in ids),
        np.array(labels),
        np.array(splits or blank),
        np.array(groups or blank),
    )


FEATURES = np.eye(6, 8, dtype=np.float32)


def kinds(issues: Sequence[Issue]) -> list[tuple[str, tuple[str, ...]]]:
    return [(issue.kind, issue.photos) for issue in issues]


def test_copies_are_told_apart_by_where_they_stand() -> None:
    dataset = made(["a", "a", "a", "b", "b", "b"], ["train", "train", "test", "train", "test", ""])
    features = FEATURES.copy()
    features[1] = features[0]
    group = np.array([0, 0, 1, 1, 2, 2])
    found = duplicate_issues(dataset, group, ["x", "x", "p", "q", "r", "s"], features)
    assert kinds(found) == [
        ("copy", ("a/0.jpg", "a/1.jpg")),
        ("contradiction", ("a/2.jpg", "b/3.jpg")),
        ("leak", ("a/2.jpg", "b/3.jpg")),
        ("leak", ("b/4.jpg", "b/5.jpg")),  # a photo without a split is trained on
    ]
    assert found[0].detail == "the same bytes"
    assert found[0].score == 1
    assert found[1].labels == ("a", "b")
    assert "likeness 0.00" in found[1].detail


def test_photos_that_cannot_be_read_are_no_copies_of_each_other() -> None:
    assert duplicate_issues(made(["a", "a"]), np.array([-1, -1]), ["", ""], FEATURES[:2]) == []


def test_leaks_of_bursts_are_told_once() -> None:
    dataset = made(["a"] * 4, ["train", "test", "train", "test"])
    burst = np.array([0, 0, 1, 1])
    (leak,) = leak_issues(dataset, burst, np.array([0, 0, 1, 2]), "one burst")
    assert leak.photos == ("a/2.jpg", "a/3.jpg")


@given(st.lists(st.integers(-1, 4), max_size=30))
@settings(max_examples=30, deadline=None)
def test_members_are_the_groups_of_two_or_more(group: list[int]) -> None:
    found = [rows.tolist() for rows in iter_groups(np.array(group, dtype=np.intp))]
    assert found == sorted(found)
    expected = {g: [n for n, other in enumerate(group) if other == g] for g in set(group) - {-1}}
    assert sorted(found) == sorted(rows for rows in expected.values() if len(rows) > 1)


# bursts


def named(names: Sequence[str], labels: Sequence[str] | None = None) -> Dataset:
    blank = np.array([""] * len(names))
    return Dataset(
        Path("photos"),
        tuple(names),
        tuple(Path("photos", name) for name in names),
        np.array(labels or ["a"] * len(names)),
        blank,
        blank,
    )


def alike(*scenes: int, common: float = 0.0) -> np.ndarray:
    """Features in which photos of one scene are nearly the same, and those of a class have much in common."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(max(scenes) + 1, 64))[list(scenes)]
    rows += common * rng.normal(size=64)
    return (rows + 0.1 * rng.normal(size=rows.shape)).astype(np.float32)


OTHERS = list(range(20, 80))  # scenes of one photo each, under names without a number
OTHER_NAMES = [f"b/{chr(97 + n // 26)}{chr(97 + n % 26)}.jpg" for n in range(len(OTHERS))]


def test_bursts_by_name_need_a_number_and_a_scene() -> None:
    names = [
        "a/IMG_1.jpg",
        "a/IMG_2.jpg",
        "a/IMG_4.jpg",
        "a/IMG_9.jpg",
        "b/IMG_3.jpg",
        "a/IMG_10.jpg",
        "a/x.jpg",
    ]
    group = burst_groups(named(names + OTHER_NAMES), alike(0, 0, 0, 0, 0, 1, 0, *OTHERS))
    assert group[0] == group[1] == group[2]
    assert len(set(group.tolist())) == 5 + len(OTHERS)


def test_numbers_say_nothing_where_all_photos_of_a_class_are_alike() -> None:
    n = 40
    names = [f"{label}/{number:04d}.jpg" for label in "ab" for number in range(n)]
    labels = [name[0] for name in names]
    scenes = alike(*range(n), common=5.0), alike(*range(n), common=-5.0)
    features = np.concatenate(scenes)
    dataset = named(names, labels)
    assert len(set(burst_groups(dataset, features).tolist())) > 70
    each = np.concatenate([features[:n].repeat(2, axis=0)[:n], features[n:].repeat(2, axis=0)[:n]])
    pairs = burst_groups(dataset, each + np.float32(0.01) * features)
    assert all(
        pairs[row] == pairs[row + 1] for row in range(0, 2 * n, 2)
    )  # here the numbers follow the scenes


def test_numbers_that_follow_something_else_than_scenes_are_no_bursts() -> None:
    # digits in the order of their writers: neighbours share a manner of writing, and no scene
    rng = np.random.default_rng(1)
    writers, each, width = 30, 6, 64
    manner = np.repeat(rng.normal(size=(writers, width)), each, axis=0)
    common = 1.5 * rng.normal(size=width)
    rows = (common + 0.45 * manner + 0.9 * rng.normal(size=manner.shape)).astype(np.float32)
    digits = np.concatenate([rows, -rows])  # another class, so that the mean is that of none
    names = [f"{label}/{n:04d}.png" for label in "ab" for n in range(writers * each)]
    group = burst_groups(named(names, [name[0] for name in names]), digits)
    in_bursts = np.unique(group, return_counts=True)[1]
    assert in_bursts[in_bursts > 1].sum() <= 0.01 * len(names)


def test_long_scenes_are_bursts_though_all_photos_of_a_scene_are_alike() -> None:
    names = [f"a/{n:03d}.jpg" for n in range(30)] + OTHER_NAMES
    group = burst_groups(named(names), alike(*np.repeat([0, 1, 2], 10).tolist(), *OTHERS))
    assert len(set(group.tolist())) == 3 + len(OTHERS)


def test_bursts_by_clock_need_one_camera_and_a_scene() -> None:
    names = [f"{letter}.jpg" for letter in "pqrstu"]
    taken = np.array([100.0, 101.0, 101.5, 200.0, 201.0, np.nan])
    camera = np.array([1, 1, 2, 1, 1, 1], dtype=np.uint64)
    taken, camera = np.append(taken, np.full(len(OTHERS), np.nan)), np.append(camera, [1] * len(OTHERS))
    group = burst_groups(named(names + OTHER_NAMES), alike(0, 0, 0, 1, 2, 0, *OTHERS), taken, camera)
    assert group[0] == group[1]
    assert len(set(group.tolist())) == 5 + len(OTHERS)


def test_a_photo_that_cannot_be_read_breaks_no_burst() -> None:
    features = alike(0, 0)
    features[1] = np.nan
    assert len(set(burst_groups(named(["1.jpg", "2.jpg"]), features).tolist())) == 2
    assert burst_groups(named([]), np.zeros((0, 4), np.float32)).tolist() == []


# classes


def test_copies_do_not_make_a_class_larger() -> None:
    dataset = made(["big"] * 120 + ["small"] * 12 + ["fine"] * 14)
    groups = np.arange(len(dataset))
    groups[120:124] = 120
    (small,) = balance_issues(dataset, groups, np.ones(len(dataset), dtype=bool))
    assert small.labels == ("small",)
    assert small.detail == "9 different pictures, the largest class has 120"


# the whole


def test_kinds_are_checked_with_a_hint() -> None:
    check_issue_types(ISSUE_TYPES)
    with pytest.raises(UnknownNameError, match="unknown type of issue 'leaks'; did you mean 'leak'"):
        check_issue_types(["label", "leaks"])


def test_the_summary_speaks_plainly() -> None:
    dataset = made(["a", "b"])
    found = (
        Issue("unreadable", ("a/0.jpg",), "the file is empty"),
        Issue("dark", (), "9 of 12 photos are very dark"),
        Issue("tiny", ("a/0.jpg",), "8 x 8 pixels"),
    )
    audit = Audit(dataset, found, np.arange(2))
    assert audit.counts == {"unreadable": 1, "dark": 1, "tiny": 1}
    assert audit.summary() == [
        "1 file cannot be read, first 'a/0.jpg'.",
        "9 of 12 photos are very dark.",
        "1 photo is tiny.",
    ]
    assert Audit(dataset, (), np.arange(2)).summary() == []


def test_bursts_are_said_plainly_and_that_they_were_kept_together() -> None:
    dataset = made(["a"] * 6)
    found = (Issue("burst", ("a/0.jpg", "a/1.jpg"), "2 photos", 2.0),)
    seen = "2 photos show the same scene, one right after the other by time or number (bursts)"
    audit = Audit(dataset, found, np.arange(6))
    assert audit.summary() == [f"{seen}; `rehead train` keeps each burst on one side of its split."]
    kept = quick_warnings(audit)["burst"]
    assert kept.startswith(f"{seen}; those of a scene were kept on one side of the split.")
    assert "were not kept" in quick_warnings(audit, keeps_bursts=False)["burst"]
    two = Audit(dataset, (*found, Issue("burst", ("a/3.jpg", "a/4.jpg"), "2 photos", 2.0)), np.arange(6))
    assert two.summary()[0].startswith("4 photos show only 2 scenes")


def test_names_of_classes_are_said_before_labels_in_doubt() -> None:
    found = (
        Issue("label", ("a/0.jpg",), "", 1.0, ("a",), "b"),
        Issue("name", (), "differ in case or spaces only (1 and 2 photos)", 3.0, ("Cat", "cat")),
    )
    audit = Audit(made(["a", "b"]), in_order(found), np.arange(2))
    assert list(quick_warnings(audit)) == ["name", "label"]
    assert audit.summary()[0] == "The classes 'Cat' and 'cat' differ in case or spaces only (1 and 2 photos)."


def test_an_outlier_score_is_told_apart_from_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.0001] * 29 + [0.0004])
    monkeypatch.setattr("rehead.audit.label_issues.held_out_scores", lambda *_: scores)
    dataset, z, zeros = made(["a"] * 30), np.ones((30, 4), np.float32), np.zeros(30, np.intp)
    (found,) = outlier_issues(dataset, z, zeros, zeros)
    first, second = re.findall(r"\d\.\d+", found.detail)
    assert float(first) > float(second)
    monkeypatch.setattr("rehead.audit.label_issues.held_out_scores", lambda *_: 1e-5 * scores)
    assert outlier_issues(dataset, z, zeros, zeros) == []  # photos of one colour: rounding


def test_in_short_it_says_what_training_knows_already(tmp_path: Path) -> None:
    dataset = made(["a"] * 10 + ["b"] * 10, root=tmp_path)
    shades = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    for n, pixels in ((0, shades), (11, shades[:, ::-1]), (12, shades.T)):
        dataset.paths[n].parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(dataset.paths[n], quality=95)
    logits = np.zeros((20, 2))
    logits[:10, 0] = logits[10:, 1] = 4
    logits[3] = logits[3, ::-1]
    group = np.arange(20)
    group[[11, 12]] = 0  # the last of them only resembles the others
    trained = np.ones(20, dtype=bool)
    found = quick_checks(dataset, group, np.arange(20), trained=trained, held_out=logits)
    assert found.counts == {"contradiction": 1, "label": 1}
    assert found.of("contradiction")[0].photos == ("a/0.jpg", "b/11.jpg")
    assert found.of("label")[0].photos == ("a/3.jpg",)
    assert list(quick_warnings(found)) == ["contradiction", "label"]
    assert quick_warnings(found)["contradiction"].endswith("`rehead audit` shows which.")
    given_group = made(["a"] * 10 + ["b"] * 10, groups=["person 1"] * 20)
    nothing = quick_checks(
        given_group, np.arange(20), np.arange(20), trained=trained, held_out=np.full((20, 2), np.nan)
    )
    assert nothing.counts == {}
    assert quick_warnings(nothing) == {}


# what to leave out


def test_what_is_left_out_and_why() -> None:
    dataset = made(["a", "a", "a", "b", "b", "a"], ["train", "train", "test", "train", "train", "test"])
    found = [
        Issue("unreadable", ("b/4.jpg",), "the file is empty"),
        Issue("leak", ("a/0.jpg", "a/2.jpg"), "the same picture"),
        Issue("label", ("b/3.jpg",), "", suggested="a"),
        Issue("copy", ("a/0.jpg", "a/1.jpg"), "the same bytes"),
    ]
    why = left_out(dataset, found, ["x", "x", "y", "z", "", "x"])
    assert why == {
        "b/4.jpg": "the file is empty",
        "a/0.jpg": "what is nearly the same stands in 'test'",
        "a/1.jpg": "the same bytes as a/0.jpg",
    }


def test_the_list_can_be_read_as_a_dataset(tmp_path: Path) -> None:
    root = tmp_path / "my photos"
    dataset = made(["größe, 1"] * 3 + ["b"] * 3, groups=["", "same-1", "", "", "", ""], root=root)
    for path in dataset.paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = (Issue("label", ("b/3.jpg",), "", suggested="größe, 1"),)
    audit = Audit(dataset, found, np.array([0, 1, 1, 2, 3, 3]), {"b/5.jpg": "blank"})
    for place in (tmp_path / "clean.csv", tmp_path / "out" / "clean.csv"):
        write_csv(audit, place)
        again = read_dataset(place)
        assert sorted(path.resolve() for path in again.paths) == sorted(
            path.resolve() for path in dataset.paths[:-1]
        )
        assert len(again.left_out) == 1
        by_name = dict(zip((path.name for path in again.paths), again.groups.tolist(), strict=True))
        assert by_name == {"0.jpg": "", "1.jpg": "same-1", "2.jpg": "same-1", "3.jpg": "", "4.jpg": "same-2"}
    rows = list(csv.DictReader((tmp_path / "clean.csv").read_text("utf-8").splitlines()))
    assert [row["suggested"] for row in rows] == ["", "", "", "größe, 1", "", ""]
    assert [row["keep"] for row in rows] == ["yes"] * 5 + ["no"]
    assert rows[0]["path"] == "my photos/größe, 1/0.jpg"
