"""Stratified partitions of groups: by label, groups never divided, seeded.

A greedy apportionment. Every class c has a quota in every part p, its rows times the part's fraction.
Groups that hold several labels go first, largest first, to the part where they fill most of what
is lacking of their classes; then, class after class, the groups of one label, largest first, to
the part that lacks most of the class. Where no part lacks a whole group any more, the part that is
furthest behind over the classes seen so far gets it, so that rounding does not add up: of a
hundred classes with two photos, forty have one of them in a fifth of the data. Where groups are
single photos this is largest-remainder rounding, and each class is within one photo of its quota.

Results depend on the order of the rows. Datasets are sorted by id, so that the same photos give
the same split wherever they lie; callers with other data sort it first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["cv_folds", "holdout_mask", "split_fingerprint", "stratified_group_partition"]

_NOISE = 1e-9  # fractions are decimal fractions: 0.1 * 30 is 3.0000000000000004


def stratified_group_partition(
    labels: ArrayLike, groups: ArrayLike, fractions: Sequence[float], seed: int, *, keep: int = 1
) -> NDArray[np.intp]:
    """Partition rows into parts of given fractions.

    - No group is in two parts.
    - Part 0 has `keep` groups of every class, all of them where it has fewer.
    - Every other part has a group of each class whose groups times the part's fraction are one or
      more, where those groups hold that one label and suffice for part 0 as well.
    - Where all groups are single rows and `keep` is 1, the rows of each class in each part differ
      from rows times fraction by at most one.

    Parameters
    ----------
    labels : array-like, shape (n,)
        The classes.
    groups : array-like, shape (n,)
        Rows with equal values stay together.
    fractions : sequence of float
        (parts,) Positive, with the sum 1.
    seed : int
        Which of equally good divisions; 0 or more.
    keep : int
        How many groups of each class part 0 has at the least.

    Returns
    -------
    parts : array of intp, shape (n,)
        The part of each row, 0 to parts - 1. The same for the same rows in the same order,
        whatever the groups are called.

    Raises
    ------
    ValueError
        The columns differ in length, or the fractions are not positive or do not sum to 1.
    """
    quota = np.asarray(fractions, dtype=np.float64)
    if quota.ndim != 1 or not np.all(quota > 0) or abs(quota.sum() - 1) > _NOISE:
        raise ValueError(f"fractions are {list(fractions)}; expected positive numbers with the sum 1")
    group, label, count = _cells(labels, groups)
    if not len(group):
        return np.zeros(0, dtype=np.intp)
    part = np.zeros(group[-1] + 1, dtype=np.intp)
    rng = np.random.default_rng(seed)
    state = _State.of(label, count, quota, keep)
    pure = np.bincount(group)[group] == 1
    _place_mixed(state, part, rng, group[~pure], label[~pure], count[~pure])
    behind = [0.0] * len(quota)
    for c in rng.permutation(state.lack.shape[1]):
        own = pure & (label == c)
        behind = _place_class(state, part, rng, int(c), group[own], count[own], behind)
    return part[_numbers(groups)]


def holdout_mask(
    labels: ArrayLike, groups: ArrayLike, *, fraction: float = 0.2, seed: int = 0
) -> NDArray[np.bool]:
    """Choose test rows.

    Training keeps at least two groups of every class, because cross-validation needs one to learn
    from and one to check on. So a class of one or two groups is trained on wholly and has no test
    row, and where all classes are so small there is no test row at all: the caller says so, and
    takes the cross-validated result for what it is. A class of 1 / `fraction` groups or more has
    a test row; between the two it has one where rounding over the classes gives it one.

    Parameters
    ----------
    labels, groups : array-like, shape (n,)
        As in `stratified_group_partition`.
    fraction : float
        The test rows' fraction, above 0 and below 1.
    seed : int
        Which of equally good choices; 0 or more.

    Returns
    -------
    test : array of bool, shape (n,)
        True where the row is held out.

    Raises
    ------
    ValueError
        The columns differ in length, or the fraction is none.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; expected more than 0 and less than 1")
    part = stratified_group_partition(labels, groups, (1 - fraction, fraction), seed, keep=2)
    return np.asarray(part == 1)


def cv_folds(labels: ArrayLike, groups: ArrayLike, *, count: int = 5, seed: int = 0) -> NDArray[np.intp]:
    """Assign rows to cross-validation folds.

    Whichever fold is left out, the others and the rows at -1 hold every class. A class of fewer
    groups than folds is checked on in as many folds as it has groups; it does not lower the
    number of folds for the others, who would learn from less. Only where no class has as many
    groups as `count` asks for are there as many folds as the largest has.

    Parameters
    ----------
    labels, groups : array-like, shape (n,)
        As in `stratified_group_partition`.
    count : int
        How many folds are wanted, 2 or more.
    seed : int
        Which of equally good divisions; 0 or more.

    Returns
    -------
    fold : array of intp, shape (n,)
        0 to folds - 1, none of them empty, or -1: always trained on, because a class of the
        row's group has no other group. All -1 where no class has two groups.

    Raises
    ------
    ValueError
        The columns differ in length, or count is below 2.
    """
    if count < 2:
        raise ValueError(f"count is {count}; expected 2 folds or more")
    group, label, _ = _cells(labels, groups)
    per_class = np.bincount(label)
    alone = np.unique(group[per_class[label] == 1])
    number = _numbers(groups)
    fold = np.full(len(number), -1, dtype=np.intp)
    free = ~np.isin(number, alone)
    if not free.any():
        return fold
    count = min(count, int(per_class.max()))
    fractions = [1 / count] * count
    fold[free] = stratified_group_partition(np.asarray(labels)[free], number[free], fractions, seed)
    _free_bound(fold, group, label, number)
    used = fold >= 0
    fold[used] = np.unique(fold[used], return_inverse=True)[1]
    return fold


def split_fingerprint(ids: Sequence[str], labels: Iterable[object], parts: Iterable[object]) -> str:
    """Digest of a split, independent of the order of its rows.

    Parameters
    ----------
    ids : sequence of str
        (n,) The rows' names.
    labels, parts : iterable
        (n,) Their classes and parts, numbers or names, compared as text.

    Returns
    -------
    str
        sha256, as 64 hexadecimal digits, of the sorted rows [id, label, part] as JSON.
    """
    rows = sorted([row, str(label), str(part)] for row, label, part in zip(ids, labels, parts, strict=True))
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode("ascii")).hexdigest()


@dataclass
class _State:
    """What is still to be placed, a row a part and a column a class."""

    rows: NDArray[np.int64]  # (classes,) rows of each class in all
    lack: NDArray[np.float64]  # (parts, classes) quota less what was placed
    need: NDArray[np.int64]  # (parts, classes) groups that the part must still get
    left: NDArray[np.int64]  # (classes,) groups not yet placed

    @classmethod
    def of(
        cls, label: NDArray[np.intp], count: NDArray[np.int64], quota: NDArray[np.float64], keep: int
    ) -> _State:
        rows = np.bincount(label, weights=count).astype(np.int64)
        left = np.bincount(label).astype(np.int64)
        need = (np.outer(quota, left) >= 1 - _NOISE).astype(np.int64)
        need[0] = np.minimum(left, keep)
        return cls(rows, np.outer(quota, rows), need, left)


def _numbers(groups: ArrayLike) -> NDArray[np.intp]:
    """Number groups in the order in which they first occur, so that their names do not matter."""
    _, first, inverse = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _cells(
    labels: ArrayLike, groups: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
    """The cells of the table of groups and classes that hold rows: group, class, number of rows."""
    number = _numbers(groups)
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    if label.shape != number.shape or label.ndim != 1:
        raise ValueError(f"labels have shape {label.shape}, groups {number.shape}; expected (n,) and (n,)")
    cell, count = np.unique(number * len(classes) + label, return_counts=True)
    group, label = np.divmod(cell, max(len(classes), 1))
    return group, label, count


def _place_mixed(
    state: _State,
    part: NDArray[np.intp],
    rng: np.random.Generator,
    group: NDArray[np.intp],
    label: NDArray[np.intp],
    count: NDArray[np.int64],
) -> None:
    """Place the groups of several labels, given as cells sorted by group."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    cells = [slice(*bounds) for bounds in pairwise([*starts.tolist(), len(group)])]
    sizes = np.bincount(group, weights=count)[group[starts]].astype(np.int64)
    for i in _largest_first(sizes, rng):
        here, rows = label[cells[i]], count[cells[i]]
        scarce = (state.need[0, here] > 0) & (state.left[here] <= state.need[0, here])
        chosen = 0 if scarce.any() else int(np.argmax(state.lack[:, here] @ (rows / state.rows[here])))
        part[group[starts[i]]] = chosen
        state.lack[chosen, here] -= rows
        state.need[chosen, here] = np.maximum(state.need[chosen, here] - 1, 0)
        state.left[here] -= 1


def _place_class(
    state: _State,
    part: NDArray[np.intp],
    rng: np.random.Generator,
    c: int,
    group: NDArray[np.intp],
    size: NDArray[np.int64],
    behind: list[float],
) -> list[float]:
    """Place the groups that hold class `c` alone; return how far each part is behind after it."""
    lack, need = state.lack[:, c].tolist(), state.need[:, c].tolist()
    parts = range(len(lack))
    for i, left in zip(_largest_first(size, rng), range(len(size), 0, -1), strict=True):
        if need[0] >= left:
            chosen = 0
        elif sum(need) >= left:
            chosen = max((p for p in parts if need[p]), key=lack.__getitem__)
        else:
            chosen = max(parts, key=lack.__getitem__)
            if lack[chosen] < size[i] - _NOISE:
                chosen = max((p for p in parts if lack[p] > _NOISE), key=lambda p: lack[p] + behind[p])
        part[group[i]] = chosen
        lack[chosen] -= size[i]
        need[chosen] = max(need[chosen] - 1, 0)
    return [already + more for already, more in zip(behind, lack, strict=True)]


def _largest_first(size: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """Indices by descending size, equal ones in random order."""
    shuffled = rng.permutation(len(size))
    order: list[int] = shuffled[np.argsort(-size[shuffled], kind="stable")].tolist()
    return order


def _free_bound(
    fold: NDArray[np.intp], group: NDArray[np.intp], label: NDArray[np.intp], number: NDArray[np.intp]
) -> None:
    """Train always on one group of each class whose groups all fell into one fold.

    That happens only to groups of several labels: those of one label are spread.
    """
    of_group = np.zeros(group[-1] + 1, dtype=np.intp)
    of_group[number] = fold
    for c in range(label.max() + 1):
        own = of_group[group[label == c]]
        if own[0] >= 0 and np.all(own == own[0]):
            of_group[group[label == c][0]] = -1
    fold[:] = of_group[number]
