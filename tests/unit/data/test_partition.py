from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.data import cv_folds, holdout_mask, split_fingerprint, stratified_group_partition

quick = settings(max_examples=80, deadline=None)

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 11)), min_size=1, max_size=60)
"""(label, group): classes of every size, and groups of several labels."""

sizes = st.lists(st.integers(1, 25), min_size=1, max_size=8)
"""Photos of each class."""

shares = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(
    lambda parts: [p / sum(parts) for p in parts]
)
seeds = st.integers(0, 9)


def columns(pairs: list[tuple[int, int]]) -> tuple[NDArray[Any], NDArray[Any]]:
    label, group = np.array(pairs).T
    return label, group


def singletons(counts: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    label = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(label), np.arange(len(label))


def groups_of(label: NDArray[Any], group: NDArray[Any], c: int) -> set[int]:
    return set(group[label == c].tolist())


@quick
@given(rows, shares, seeds)
def test_assign_divides_no_group_and_trains_on_every_class(
    pairs: list[tuple[int, int]], parts: list[float], seed: int
) -> None:
    label, group = columns(pairs)
    part = stratified_group_partition(label, group, parts, seed)
    assert part.shape == label.shape
    assert set(part.tolist()) <= set(range(len(parts)))
    for g in np.unique(group):
        assert len(set(part[group == g].tolist())) == 1
    for c in np.unique(label):
        assert np.any(part[label == c] == 0)


@quick
@given(sizes, shares, seeds)
def test_assign_keeps_the_proportions_of_single_photos(
    counts: list[int], parts: list[float], seed: int
) -> None:
    label, group = singletons(counts)
    part = stratified_group_partition(label, group, parts, seed)
    table = np.array([np.bincount(part[label == c], minlength=len(parts)) for c in range(len(counts))])
    quota = np.outer(counts, parts)
    assert np.all(np.abs(table - quota) <= 1 + 1e-9)
    assert np.all(table[quota >= 1] >= 1)


@quick
@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=9), min_size=1, max_size=5), shares, seeds)
def test_assign_reaches_every_part_that_a_class_has_groups_for(
    classes: list[list[int]], parts: list[float], seed: int
) -> None:
    label = np.repeat(np.arange(len(classes)), [sum(groups) for groups in classes])
    group = np.repeat(np.arange(sum(map(len, classes))), [size for groups in classes for size in groups])
    part = stratified_group_partition(label, group, parts, seed)
    for c, groups in enumerate(classes):
        # Part 0 comes first; it may take what another part was entitled to.
        spare = len(groups) - sum(share * len(groups) >= 1 for share in parts[1:]) >= 1
        for p, share in enumerate(parts):
            if spare and share * len(groups) >= 1 + 1e-6:
                assert np.any(part[label == c] == p)


def test_rounding_does_not_add_up_over_classes() -> None:
    label, group = singletons([2] * 100)
    assert np.bincount(stratified_group_partition(label, group, (0.8, 0.2), 0)).tolist() == [160, 40]
    label, group = singletons([7] * 60)
    assert np.ptp(np.bincount(cv_folds(label, group))) <= 1


def test_which_classes_are_rounded_up_depends_on_the_seed() -> None:
    label, group = singletons([2] * 20)
    tested = {
        frozenset(label[stratified_group_partition(label, group, (0.8, 0.2), seed) == 1].tolist())
        for seed in range(5)
    }
    assert len(tested) == 5


def test_the_largest_groups_go_first() -> None:
    label, group = [0] * 16, [0] * 8 + list(range(1, 9))
    for seed in range(5):
        assert np.bincount(stratified_group_partition(label, group, (0.5, 0.5), seed)).tolist() == [8, 8]


def test_a_part_is_reached_even_where_rounding_favours_another() -> None:
    classes = [[6, 5, 1], [7, 1, 5], [6, 4, 1, 2, 2, 1, 1, 1]]
    label = np.repeat(np.arange(3), [sum(groups) for groups in classes])
    group = np.repeat(np.arange(14), [size for groups in classes for size in groups])
    for seed in range(20):
        part = stratified_group_partition(label, group, (5 / 21, 4 / 21, 4 / 21, 8 / 21), seed)
        assert {0, 3} <= set(part[label == 0].tolist())
        assert {0, 3} <= set(part[label == 1].tolist())
        assert set(part[label == 2].tolist()) == {0, 1, 2, 3}


def test_rare_labels_weigh_as_much_as_frequent_ones() -> None:
    # Twenty groups of forty photos, half of label 0 and half of label 2; eight have one photo of label 1.
    group, label = np.repeat(np.arange(20), 40), np.tile([0, 2], 400)
    label[np.arange(8) * 40] = 1
    for seed in range(5):
        part = stratified_group_partition(label, group, (0.5, 0.5), seed)
        assert np.bincount(part[label == 1]).tolist() == [4, 4]


def test_groups_of_several_labels_are_balanced() -> None:
    # 50 patients with three photos of either label.
    label, group = np.tile([0, 1], 150), np.repeat(np.arange(50), 6)
    part = stratified_group_partition(label, group, (0.8, 0.2), 3)
    assert np.bincount(part[label == 0]).tolist() == np.bincount(part[label == 1]).tolist() == [120, 30]


@quick
@given(rows, seeds)
def test_a_split_depends_on_the_partition_and_not_on_its_names(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    label, group = columns(pairs)
    part = stratified_group_partition(label, group, (0.6, 0.4), seed)
    assert np.array_equal(part, stratified_group_partition(label, group, (0.6, 0.4), seed))
    assert np.array_equal(part, stratified_group_partition(label, 100 - 7 * group, (0.6, 0.4), seed))
    names = [f"group {g}" for g in group.tolist()]
    assert np.array_equal(part, stratified_group_partition(label, names, (0.6, 0.4), seed))


def test_seeds_differ() -> None:
    label, group = singletons([20, 30])
    assert len({holdout_mask(label, group, seed=seed).tobytes() for seed in range(5)}) == 5
    assert len({cv_folds(label, group, seed=seed).tobytes() for seed in range(5)}) == 5


@pytest.mark.parametrize("parts", [(0.5, 0.4), (1.2, -0.2), (1.0, 0.0), (), (float("nan"), 1.0)])
def test_shares_must_be_shares(parts: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected positive numbers with the sum 1"):
        stratified_group_partition([0, 1], [0, 1], parts, 0)


def test_columns_must_match() -> None:
    with pytest.raises(ValueError, match=r"labels have shape \(2,\), groups \(3,\)"):
        holdout_mask([0, 1], [0, 1, 2])


def test_no_rows_are_no_split() -> None:
    assert (
        len(stratified_group_partition([], [], (0.8, 0.2), 0))
        == len(holdout_mask([], []))
        == len(cv_folds([], []))
        == 0
    )


@quick
@given(rows, seeds, st.sampled_from([0.1, 0.2, 0.5]))
def test_training_keeps_two_groups_of_every_class(
    pairs: list[tuple[int, int]], seed: int, fraction: float
) -> None:
    label, group = columns(pairs)
    test = holdout_mask(label, group, fraction=fraction, seed=seed)
    assert test.dtype == np.bool_
    assert not set(group[test].tolist()) & set(group[~test].tolist())
    for c in np.unique(label):
        kept = groups_of(label[~test], group[~test], c)
        assert len(kept) >= min(2, len(groups_of(label, group, c)))


@quick
@given(sizes, seeds)
def test_a_fifth_is_held_out_of_every_class(counts: list[int], seed: int) -> None:
    label, group = singletons(counts)
    test = holdout_mask(label, group, seed=seed)
    for c, count in enumerate(counts):
        held = int(test[label == c].sum())
        assert held == 0 if count < 3 else abs(held - count / 5) < 1
        assert held >= 1 or count < 5


def test_nothing_is_held_out_where_every_class_is_thin() -> None:
    label, group = singletons([2, 2, 1])
    assert not holdout_mask(label, group).any()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_the_fraction_must_leave_both_sides(fraction: float) -> None:
    with pytest.raises(ValueError, match="expected more than 0 and less than 1"):
        holdout_mask([0, 1], [0, 1], fraction=fraction)


@quick
@given(rows, seeds, st.integers(2, 6))
def test_every_fold_leaves_every_class_to_learn_from(
    pairs: list[tuple[int, int]], seed: int, count: int
) -> None:
    label, group = columns(pairs)
    fold = cv_folds(label, group, count=count, seed=seed)
    used = np.unique(fold[fold >= 0])
    assert used.tolist() == list(range(len(used)))
    assert len(used) <= count
    for g in np.unique(group):
        assert len(set(fold[group == g].tolist())) == 1
    for left_out in used:
        assert set(label[fold != left_out].tolist()) == set(label.tolist())
    for c in np.unique(label):
        if len(groups_of(label, group, c)) == 1:
            assert np.all(fold[label == c] == -1)


@quick
@given(sizes, seeds)
def test_folds_of_single_photos_are_balanced(counts: list[int], seed: int) -> None:
    label, group = singletons(counts)
    fold = cv_folds(label, group, seed=seed)
    number = min(5, max(counts))
    for c, size in enumerate(counts):
        inside = fold[label == c]
        if size == 1:
            assert np.all(inside == -1)
        else:
            assert np.all(np.abs(np.bincount(inside, minlength=number) - size / number) < 1)


def test_two_photos_a_class_give_two_folds_of_one_each() -> None:
    label, group = singletons([2, 2, 2])
    fold = cv_folds(label, group)
    assert all(sorted(fold[label == c].tolist()) == [0, 1] for c in range(3))


def test_a_thin_class_does_not_lower_the_number_of_folds() -> None:
    label, group = singletons([40, 40, 2])
    fold = cv_folds(label, group)
    assert fold.max() == 4
    assert len(set(fold[label == 2].tolist())) == 2


def test_classes_of_one_group_have_no_folds() -> None:
    assert cv_folds([0, 0, 1, 1], [0, 0, 1, 1]).tolist() == [-1, -1, -1, -1]


def test_a_class_bound_to_others_is_still_learned() -> None:
    # Class 1 has two groups, both held by other classes too, which pull them into one fold.
    label = np.array([2, 0, 2, 0, 1, 0, 0, 0, 1])
    group = np.array([2, 3, 4, 4, 1, 1, 1, 4, 2])
    for seed in range(20):
        fold = cv_folds(label, group, seed=seed)
        assert len(set(fold[label == 1].tolist())) == 2


def test_folds_are_numbered_without_gaps() -> None:
    # Five groups of three labels: one fold stays empty before it is numbered away.
    label = np.array([0, 2, 0, 1, 1, 0, 2, 0, 2, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0])
    group = np.array([3, 5, 3, 4, 2, 5, 4, 2, 4, 1, 2, 4, 4, 1, 1, 1, 2, 4, 4])
    for seed in range(20):
        fold = cv_folds(label, group, seed=seed)
        used = np.unique(fold[fold >= 0])
        assert used.tolist() == list(range(len(used)))


def test_two_folds_are_the_fewest() -> None:
    with pytest.raises(ValueError, match="expected 2 folds or more"):
        cv_folds([0, 1], [0, 1], count=1)


def test_digest_names_the_split() -> None:
    ids, labels, parts = ["a.jpg", "b, c.jpg", "é.jpg"], ["x", "y", "x"], ["train", "test", "train"]
    name = split_fingerprint(ids, labels, parts)
    text = '[["a.jpg","x","train"],["b, c.jpg","y","test"],["\\u00e9.jpg","x","train"]]'
    assert name == hashlib.sha256(text.encode()).hexdigest()
    assert name == split_fingerprint(ids[::-1], labels[::-1], np.array(parts[::-1]))
    assert name != split_fingerprint(ids, labels, ["train", "train", "test"])
    assert name != split_fingerprint(ids, ["x", "x", "x"], parts)
    assert split_fingerprint(ids, labels, np.array([0, 1, 0])) == split_fingerprint(ids, labels, [0, 1, 0])
    with pytest.raises(ValueError, match="shorter"):
        split_fingerprint(ids, labels, parts[:2])
