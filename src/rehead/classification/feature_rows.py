"""The photos of a folder of features: what is known of each, which belong together, and how they are divided.

Of a photo some 60 bytes are in memory; its features are read when they are needed, block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.feature_folder import Block, FeatureFolder
from ..core.parallel import map_in_order
from ..core.text import first_of
from ..data.duplicates import MIN_COSINE, connected_groups, l2_normalize, least_cosine, merge_groups
from ..data.hash_index import near_pairs
from ..errors import DatasetError
from ..heads.streamed import Chunk

__all__ = ["Division", "FeatureRows", "divide", "names_of"]

_PAIRS = 20_000  # pairs whose features are compared at a time: 40,000 rows of 1,280 are 200 MB
_MEAN_OF = 64  # blocks that the mean of features is taken of
_SPLITS = ("", "train", "val", "test")


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """What is known of n photos.

    Parameters
    ----------
    folder : FeatureFolder
    classes : tuple of str
        Sorted.
    target : intp ndarray (n,)
        Class of each, -1 where it has no features.
    split : uint8 ndarray (n,)
        0 where none is given, 1 train, 2 val, 3 test.
    given : int64 ndarray (n,)
        Photos of one given group share a number; -1 where none is given.
    digest, hash : uint64 ndarray (n,)
        First 8 bytes of the file's sha256, and perceptual hash.
    start : intp ndarray (blocks + 1,)
        Number of the first row of each block.
    """

    folder: FeatureFolder
    classes: tuple[str, ...]
    target: NDArray[np.intp]
    split: NDArray[np.uint8]
    given: NDArray[np.int64]
    digest: NDArray[np.uint64]
    hash: NDArray[np.uint64]
    start: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def class_counts(self) -> dict[str, int]:
        """Photos of each class."""
        counts = np.bincount(self.target[self.target >= 0]).tolist()
        return dict(zip(self.classes, counts, strict=True))

    @classmethod
    def of(cls, folder: FeatureFolder) -> FeatureRows:
        """The photos of a folder; DatasetError where one has no class."""
        numbers: dict[str, int] = {}
        groups: dict[str, int] = {}
        columns: list[tuple[NDArray[Any], ...]] = []
        for block in map_in_order(lambda e: folder.read(e.name, features=False), folder.record.blocks):
            there = block.readable
            for name, label, ok in zip(block.ids, block.labels, there.tolist(), strict=True):
                if ok and not label:
                    raise DatasetError(
                        f"{folder.path}: {name} has no class; give every photo of the source one"
                    )
            found = [numbers.setdefault(label, len(numbers)) for label in block.labels]
            given = [groups.setdefault(group, len(groups)) if group else -1 for group in block.groups]
            columns.append(
                (
                    np.where(there, found, -1),
                    np.array([_SPLITS.index(split) for split in block.splits], np.uint8),
                    np.array(given, np.int64),
                    np.ascontiguousarray(block.digests[:, :8]).view(">u8").ravel().astype(np.uint64),
                    block.hashes,
                )
            )
        target, split, group, digest, code = (np.concatenate(column) for column in zip(*columns, strict=True))
        kept = np.bincount(target[target >= 0], minlength=len(numbers)) > 0
        names = sorted(name for name, ok in zip(numbers, kept.tolist(), strict=True) if ok)
        place = np.full(len(numbers) + 1, -1, np.intp)
        for new, name in enumerate(names):
            place[numbers[name]] = new
        start = np.cumsum([0, *(entry.rows for entry in folder.record.blocks)])
        return cls(folder, tuple(names), place[target], split, group, digest, code, start)

    def read(self, wanted: NDArray[np.bool_], columns: slice = slice(None)) -> list[Callable[[], Chunk]]:
        """Functions that each read the wanted rows (n,) of one block, in order: numbers, and features."""
        found = []
        for n, entry in enumerate(self.folder.record.blocks):
            rows = np.flatnonzero(wanted[self.start[n] : self.start[n + 1]])
            if len(rows):
                found.append(_Reader(self.folder, entry.name, int(self.start[n]), rows, columns))
        return list(found)

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Number of the first row, and block without features, of each."""
        yield from zip(self.start[:-1].tolist(), self.folder.blocks(features=False), strict=True)

    def views(
        self, wanted: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        """Numbers of wanted rows that have views (v,), the style of each, and their features (v, D)."""
        numbers, styles, rows = [], [], []
        for n, entry in enumerate(self.folder.record.blocks):
            found = self.folder.arrays(entry.name, "viewed", "styles", "views")
            some = wanted[self.start[n] + found["viewed"]]
            numbers.append(self.start[n] + found["viewed"][some])
            styles.append(found["styles"][some])
            rows.append(found["views"][some].astype(np.float32))
        return np.concatenate(numbers), np.concatenate(styles), np.concatenate(rows)

    def groups(self, last_level: slice) -> NDArray[np.intp]:
        """Group number of each photo (n,): copies, near-copies by hash and features, and given groups."""
        digest = np.where(self.target >= 0, self.digest, 0).astype(np.uint64).view(np.int64)
        i, j, bits = near_pairs(np.where(self.target >= 0, self.hash, 0))
        alike = self._alike(i, j, bits, last_level)
        near = connected_groups(np.stack([i[alike], j[alike]], axis=1), len(self))
        return merge_groups(np.where(digest == 0, -1, digest), self.given, near)

    def _alike(
        self, i: NDArray[np.intp], j: NDArray[np.intp], bits: NDArray[np.uint8], last_level: slice
    ) -> NDArray[np.bool_]:
        """Which pairs of near hashes have features that are near, too, (m,)."""
        alike = np.zeros(len(i), bool)
        if not len(i):
            return alike
        centre = self._mean(last_level)
        for start in range(0, len(i), _PAIRS):
            some = slice(start, start + _PAIRS)
            rows = np.unique(np.concatenate([i[some], j[some]]))
            wanted = np.zeros(len(self), bool)
            wanted[rows] = True
            chunks = map_in_order(lambda chunk: chunk(), self.read(wanted, last_level))
            X = l2_normalize(np.concatenate([X for _, X in chunks]) - centre)
            one, two = np.searchsorted(rows, i[some]), np.searchsorted(rows, j[some])
            for at in range(0, len(one), 1024):
                part = slice(at, at + 1024)
                cosine = np.einsum("ij,ij->i", X[one[part]], X[two[part]])
                alike[start + at : start + at + len(cosine)] = cosine >= least_cosine(
                    bits[start + at : start + at + len(cosine)], MIN_COSINE
                )
        return alike

    def _mean(self, columns: slice) -> NDArray[np.float32]:
        chunks = self.read(self.target >= 0, columns)
        total, count = 0.0, 0
        for chunk in chunks[:: max(1, len(chunks) // _MEAN_OF)]:
            rows, X = chunk()
            total, count = total + X.sum(axis=0, dtype=np.float64), count + len(rows)
        mean: NDArray[np.float32] = np.asarray(total / max(count, 1), np.float32)
        return mean


@dataclass(frozen=True)
class _Reader:
    """Reads some rows of a block."""

    folder: FeatureFolder
    name: str
    start: int
    rows: NDArray[np.intp]
    columns: slice

    def __call__(self) -> Chunk:
        features = self.folder.arrays(self.name, "features")["features"]
        return self.start + self.rows, features[self.rows, self.columns].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Division:
    """How photos are divided into those to train and those to test on.

    Parameters
    ----------
    assignment : uint8 ndarray (n,)
        Number in `PARTS`.
    fold : intp ndarray (n,)
        Fold of each training photo; -1 for the others.
    group : intp ndarray (n,)
    order : uint64 ndarray (n,)
        A random number of each photo, the same wherever it is.
    notes : tuple of str
    """

    assignment: NDArray[np.uint8]
    fold: NDArray[np.intp]
    group: NDArray[np.intp]
    order: NDArray[np.uint64]
    notes: tuple[str, ...]

    PARTS = ("train", "test", "unreadable", "left out")

    def is_in(self, part: str) -> NDArray[np.bool_]:
        """Which photos are in a part, (n,)."""
        return np.asarray(self.assignment == self.PARTS.index(part))


def divide(
    photos: FeatureRows, group: NDArray[np.intp], *, test_share: float, folds: int, seed: int
) -> Division:
    """Divide photos by a hash of their group, so that each goes where it goes whatever others there are.

    A group's number is the smallest digest of its photos, turned into two random numbers with the seed: one
    says whether it is tested on, the other its fold. Given splits are kept, as `make_split` keeps them.

    Raises
    ------
    DatasetError
        Too few classes, or a class of one group.
    """
    there = photos.target >= 0
    least = np.full(int(group.max(initial=0)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, group[there], photos.digest[there])
    key = least[group]
    assignment = np.zeros(len(photos), np.uint8)
    notes = []
    train, test, unreadable, left_out = range(4)
    if (photos.split > 0).any():
        tested = 3 if (photos.split == 3).any() else 2
        assignment[photos.split == tested] = test
        if tested == 2:
            notes.append(
                "No test photos were given; the validation photos serve as such and are not trained on."
            )
    else:
        assignment[_uniform(key, seed, 1) < test_share] = test
    assignment[~there] = unreadable
    leaks = np.isin(group, group[assignment == test]) & (assignment == train)
    assignment[leaks] = left_out
    if leaks.any():
        notes.append(
            f"{int(leaks.sum()):,} photos were left out of training, because a near-duplicate or a photo of "
            "the same group is tested on."
        )
    fold = np.where(assignment == train, (_uniform(key, seed, 2) * folds).astype(np.intp), -1)
    _check(photos, assignment == train, group)
    return Division(assignment, fold, group, _mixed(photos.digest, seed, 3), tuple(notes))


def _check(photos: FeatureRows, trained: NDArray[np.bool_], group: NDArray[np.intp]) -> None:
    cells = np.unique(np.stack([photos.target[trained], group[trained]], axis=1), axis=0)
    groups = np.bincount(cells[:, 0], minlength=len(photos.classes))
    path = photos.folder.path
    if len(photos.classes) < 2:
        raise DatasetError(f"{path}: all photos are of one class; give at least two classes")
    if thin := [name for name, n in zip(photos.classes, groups.tolist(), strict=True) if n < 2]:
        raise DatasetError(
            f"{path}: {first_of(thin)} {'has' if len(thin) == 1 else 'have'} fewer than two different photos "
            "to train on; add photos, or take another --seed"
        )


def _mixed(key: NDArray[np.uint64], seed: int, purpose: int) -> NDArray[np.uint64]:
    """Random 64 bits of each key (SplitMix64: Steele et al. 2014)."""
    x = key ^ np.uint64((seed * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _uniform(key: NDArray[np.uint64], seed: int, purpose: int) -> NDArray[np.float64]:
    """A number of 0 to 1 for each key."""
    return (_mixed(key, seed, purpose) >> np.uint64(11)) / np.float64(2**53)


def names_of(photos: FeatureRows, rows: NDArray[np.intp]) -> Mapping[int, str]:
    """Ids of some rows."""
    wanted = set(rows.tolist())
    return {
        start + n: name
        for start, block in photos.blocks()
        for n, name in enumerate(block.ids)
        if start + n in wanted
    }
