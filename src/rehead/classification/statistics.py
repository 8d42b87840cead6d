"""What a classifier keeps of the photos it learnt, so that it can learn and forget without the others.

Sums over features (`heads.statistics`), and of each photo its digest, its class and one number that tells
whether its features are still those that were summed. docs/statistics.md describes the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import blocks_of
from ..backbones.features import Features
from ..core.text import count, first_of
from ..errors import DataError, DatasetError
from ..heads import FittedHead, SearchPoint
from ..heads.mahalanobis import RelativeMahalanobis
from ..heads.statistics import Statistics, rounded
from .training_data import TrainingFeatures

__all__ = ["Learnt", "PhotoStatistics", "first_of_each", "rows_of"]

_SAME = 1e-3  # share by which the squares of a photo's features may differ where another processor took them:
# of bf16 they do by 1e-2, of other versions of ONNX Runtime by 1e-6


@dataclass(frozen=True, eq=False)
class Learnt:
    """n photos whose features are in the sums, each once, by digest.

    Parameters
    ----------
    digests : tuple of str
        Sha256 of each file, sorted.
    target : int ndarray (n,)
        Class of each.
    squares : float64 ndarray (n,)
        Sum of the squares of its features, rounded as they are summed.
    """

    digests: tuple[str, ...]
    target: NDArray[np.intp]
    squares: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.digests)

    @cached_property
    def row(self) -> dict[str, int]:
        """The row of each digest."""
        return {digest: n for n, digest in enumerate(self.digests)}

    @classmethod
    def of(cls, digests: Sequence[str], target: NDArray[np.intp], squares: NDArray[np.float64]) -> Learnt:
        """Photos in any order."""
        order = sorted(range(len(digests)), key=digests.__getitem__)
        return cls(tuple(digests[n] for n in order), target[order], squares[order])

    def take(self, rows: NDArray[np.bool_]) -> Learnt:
        """Some of them."""
        kept = tuple(digest for digest, keep in zip(self.digests, rows.tolist(), strict=True) if keep)
        return Learnt(kept, self.target[rows], self.squares[rows])


@dataclass(frozen=True, eq=False)
class PhotoStatistics:
    """What was learnt of photos, as sums.

    Parameters
    ----------
    context : mapping
        What their features depend on, as `Backbone.context`.
    widths : tuple of int
        Features of each level, first to last.
    classes : ndarray (K,)
        Sorted, of str or numbers.
    learnt : Learnt
    plain : Statistics
        Of the photos, all levels: what the outlier score needs.
    own : Statistics or None
        What the head needs where that is more: its levels alone, of mirrored photos too, or by class; None
        where `plain` has it.
    point : SearchPoint
        Levels, mirroring, and strength of the ridge head, as the first training chose them.
    levels : tuple of int
        Numbers of last levels that may be chosen for the head.
    balanced : bool
        Whether every class weighs the same.
    styles : tuple of str
        Names of the S styles that the outlier score sees.
    shifts : float32 ndarray (S, D)
        What each adds to the features, by the photos of the first training.
    """

    context: Mapping[str, Any]
    widths: tuple[int, ...]
    classes: NDArray[Any]
    learnt: Learnt
    plain: Statistics
    own: Statistics | None
    point: SearchPoint
    levels: tuple[int, ...]
    balanced: bool
    styles: tuple[str, ...]
    shifts: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        data: TrainingFeatures,
        point: SearchPoint,
        levels: Sequence[int],
        *,
        balanced: bool,
        by_class: bool,
    ) -> PhotoStatistics:
        """Those of training features, each photo counted once; DatasetError where one has two classes."""
        rows = first_of_each(data.digests, data.target, data.classes)
        styles = data.views.names if data.views is not None else ()
        shifts = (
            data.views.shifts if data.views is not None else np.zeros((0, data.plain.shape[1]), np.float32)
        )
        widths = tuple(level.width for level in data.backbone.levels)
        empty = cls(
            data.backbone.context,
            widths,
            data.classes,
            Learnt((), np.zeros(0, np.intp), np.zeros(0)),
            Statistics.empty(len(data.classes), sum(widths), by_class=by_class),
            None,
            point,
            tuple(levels),
            balanced,
            styles,
            shifts,
        )
        if empty.needs_own:
            d, of_each = sum(widths[-point.n_levels :]), balanced or by_class
            empty = replace(empty, own=Statistics.empty(len(data.classes), d, by_class=of_each))
        mirrored = None if data.mirrored is None else data.mirrored[rows]
        digests = [data.digests[n] for n in rows.tolist()]
        return empty.with_photos(digests, data.target[rows], data.plain[rows], mirrored)

    @property
    def blocks(self) -> list[slice]:
        """Columns of each level in the features of all levels."""
        return blocks_of(self.widths)

    @property
    def by_class(self) -> bool:
        """Whether a whole class can be forgotten without its photos."""
        return self.plain.by_class

    @property
    def needs_own(self) -> bool:
        """Whether the head needs more than the outlier score."""
        return self.point.mirrored or (self.balanced and not self.by_class)

    @property
    def class_counts(self) -> dict[str, int]:
        """Photos of each class."""
        counts = np.bincount(self.learnt.target, minlength=len(self.classes)).tolist()
        return dict(zip(map(str, self.classes), counts, strict=True))

    @property
    def _of_the_head(self) -> Statistics:
        return self.plain if self.own is None else self.own

    def head(self) -> FittedHead:
        """The ridge head of the sums."""
        return self.heads([self.point])[0]

    def heads(self, points: Sequence[SearchPoint]) -> list[FittedHead]:
        """The ridge heads of the sums at points of one number of levels."""
        widths = self.widths[-points[0].n_levels :]
        sums = self._of_the_head
        sums = sums.last_columns(sums.sums.shape[1] - sum(widths))
        path = sums.solve_path([point.l2 for point in points], blocks_of(widths), balanced=self.balanced)
        none = np.zeros((0, len(self.classes)))
        return [
            FittedHead(weight.astype(np.float32), bias.astype(np.float32), point, (point,), none)
            for point, (weight, bias) in zip(points, path, strict=True)
        ]

    @property
    def level_choices(self) -> tuple[int, ...]:
        """Of `levels`, those that the sums for the head have, and that which it has."""
        d = self._of_the_head.sums.shape[1]
        most = [n for n in self.levels if sum(self.widths[-n:]) <= d]
        return tuple(sorted({*most, self.point.n_levels}))

    def outlier_model(self) -> RelativeMahalanobis:
        """The outlier score of the sums; limit and allowances of its styles are 0."""
        return self.plain.distance(self.blocks, (self.styles, self.shifts) if self.styles else None)

    def with_photos(
        self,
        digests: Sequence[str],
        target: NDArray[np.intp],
        plain: NDArray[np.float32],
        mirrored: NDArray[np.float32] | None,
    ) -> PhotoStatistics:
        """What more photos, none of them learnt before, add: classes (m,) and features (m, D)."""
        learnt = Learnt.of(
            [*self.learnt.digests, *digests],
            np.concatenate([self.learnt.target, target]),
            np.concatenate([self.learnt.squares, _squares(plain)]),
        )
        added = self._sums(target, plain, mirrored)
        own = None if self.own is None or added[1] is None else self.own + added[1]
        return replace(self, learnt=learnt, plain=self.plain + added[0], own=own)

    def without_photos(
        self, digests: Sequence[str], plain: NDArray[np.float32], mirrored: NDArray[np.float32] | None
    ) -> PhotoStatistics:
        """What is left without photos that were learnt, of features (m, D).

        DataError where their features are not those that were summed.
        """
        rows = np.array([self.learnt.row[digest] for digest in digests], np.intp)
        known, found = self.learnt.squares[rows], _squares(plain)
        if (np.abs(known - found) > _SAME * np.maximum(known, found)).any():
            raise DataError(
                "the photos have other features here than those that were summed: another engine or "
                "processor took them; forget them where they were learnt"
            )
        gone = self._sums(self.learnt.target[rows], plain, mirrored)
        return self._left(rows, gone)

    def differing(self, digests: Sequence[str], plain: NDArray[np.float32]) -> int:
        """Of how many photos that were learnt the features (m, D) differ in any bit from those summed."""
        known = self.learnt.squares[[self.learnt.row[digest] for digest in digests]]
        return int((known != _squares(plain)).sum())

    def without_class(self, number: int) -> PhotoStatistics:
        """What is left without a class, whose sums must be kept apart."""
        rows = np.flatnonzero(self.learnt.target == number)
        gone = self.plain.of_class(number), None if self.own is None else self.own.of_class(number)
        return self._left(rows, gone)

    def _left(self, rows: NDArray[np.intp], gone: tuple[Statistics, Statistics | None]) -> PhotoStatistics:
        keep = np.ones(len(self.learnt), bool)
        keep[rows] = False
        own = None if self.own is None or gone[1] is None else self.own - gone[1]
        return replace(self, learnt=self.learnt.take(keep), plain=self.plain - gone[0], own=own)

    def _sums(
        self, target: NDArray[np.intp], plain: NDArray[np.float32], mirrored: NDArray[np.float32] | None
    ) -> tuple[Statistics, Statistics | None]:
        classes = len(self.classes)
        sums = Statistics.from_rows(plain, target, classes, by_class=self.plain.by_class)
        if self.own is None:
            return sums, None
        d = self.own.sums.shape[1]
        views = [plain] if mirrored is None or not self.point.mirrored else [plain, mirrored]
        blocks = [(view[:, -d:], target) for view in views]
        return sums, Statistics.from_blocks(blocks, classes, d, by_class=self.own.by_class)

    def with_classes(self, classes: NDArray[Any]) -> PhotoStatistics:
        """The same with classes (K',), sorted, that hold all that have photos."""
        place = np.searchsorted(classes, self.classes)
        there = np.zeros(len(self.classes), bool)
        inside = place < len(classes)
        there[inside] = classes[place[inside]] == self.classes[inside]
        place = np.where(there, place, -1)
        sums = [None if s is None else s.with_classes(place, len(classes)) for s in (self.plain, self.own)]
        learnt = replace(self.learnt, target=place[self.learnt.target])
        assert sums[0] is not None
        return replace(self, classes=classes, learnt=learnt, plain=sums[0], own=sums[1])

    def merged(self, other: PhotoStatistics) -> PhotoStatistics:
        """What both learnt, with levels and strength of whoever learnt more photos.

        DataError where they are not of the same network, the same kind of head, or of different photos.
        """
        if differing := [name for name in self.context if self.context[name] != other.context.get(name)]:
            raise DataError(
                f"their features are not the same: other {', '.join(differing)}; train both with the same "
                "backbone, size and preprocessing"
            )
        kinds = [
            (s.balanced, s.point.mirrored, s.by_class, s.own.sums.shape[1] if s.own else None)
            for s in (self, other)
        ]
        if kinds[0] != kinds[1]:
            raise DataError(
                "their heads need different sums (mirrored photos, balanced classes, levels, sums by class); "
                "train both with the same --mirror, --n-levels, --balanced and --statistics-by-class"
            )
        if both := sorted(self.learnt.row.keys() & other.learnt.row.keys()):
            raise DataError(
                f"both learnt {count(len(both), 'photo')} (sha256 {first_of([d[:12] for d in both])}); they "
                "would count twice: `rehead forget` them in one of both first"
            )
        classes = np.unique(np.concatenate([self.classes, other.classes]))
        one, two = self.with_classes(classes), other.with_classes(classes)
        first = max((self, other), key=lambda s: (len(s.learnt), s.point.n_levels, s.point.l2))
        learnt = Learnt.of(
            [*one.learnt.digests, *two.learnt.digests],
            np.concatenate([one.learnt.target, two.learnt.target]),
            np.concatenate([one.learnt.squares, two.learnt.squares]),
        )
        own = None if one.own is None or two.own is None else one.own + two.own
        return replace(first, classes=classes, learnt=learnt, plain=one.plain + two.plain, own=own)


def first_of_each(
    digests: Sequence[str], target: NDArray[np.intp], classes: NDArray[Any]
) -> NDArray[np.intp]:
    """The first row of each digest; DatasetError where a photo is in two classes."""
    _, first, which = np.unique(np.array(digests), return_index=True, return_inverse=True)
    other = np.flatnonzero(target[first[which]] != target)
    if len(other):
        row = int(other[0])
        both = sorted({str(classes[target[row]]), str(classes[target[first[which[row]]]])})
        raise DatasetError(
            f"a photo (sha256 {digests[row][:12]}) is in two classes, {' and '.join(both)}, one of "
            f"{len(other)}; statistics count a photo once: leave it in one (`rehead audit` names it)"
        )
    return np.sort(first)


def rows_of(
    found: Features, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The features of some rows, and of their mirror images."""
    return found.plain[rows], None if found.mirrored is None else found.mirrored[rows]


def _squares(plain: NDArray[np.float32]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = (rounded(plain) ** 2).sum(axis=1)
    return squares
