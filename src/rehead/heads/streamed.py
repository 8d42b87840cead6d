"""A linear head for more rows than memory holds: from sums, and passes over rows that are read again.

The folds' sums (`Statistics`) give the ridge head of any l2 and any number of last levels in closed form,
without those of a fold too. Held-out logits of some rows judge them. Logistic regression needs a pass over
all rows for each evaluation, by L-BFGS: it is tried where those are affordable, and kept where it is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise
from operator import add
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order, one_blas_thread
from .logistic import Labelled, Passes, fit_streamed
from .mahalanobis import RelativeMahalanobis
from .model_selection import (
    HOPELESS,
    LOGISTIC_START,
    RIDGE_STEPS,
    FittedHead,
    SearchPoint,
    best_step,
    climb,
    l2_of,
    point_order,
)
from .pca import Block
from .statistics import Statistics
from .temperature import fit_temperature, log_loss

__all__ = ["Chunk", "SomeRows", "StreamedSearch", "distance_of_present", "training_sums"]

Chunk: TypeAlias = tuple[NDArray[np.intp], NDArray[np.float32]]
"""Numbers of rows (m,), and their features (m, D)."""

ReadRows: TypeAlias = Callable[[NDArray[np.bool_]], Iterable[Callable[[], Chunk]]]
"""Of a mask of rows (n,), functions that each read some of them, in order; they run side by side."""

_LOGITS = 2**23  # numbers of held-out logits while searching, 64 MB: 8,388 photos of 1,000 classes
_PHOTOS = 20_000  # at most: the log loss then has a standard error of some 0.7 %
_PRODUCTS = 10**10  # rows x features x classes up to which logistic regression is tried: 1 s an evaluation


@dataclass(frozen=True, eq=False)
class SomeRows:
    """Rows that are held in memory.

    Parameters
    ----------
    rows : intp ndarray (m,)
        Their numbers.
    X : float32 ndarray (m, D)
    """

    rows: NDArray[np.intp]
    X: NDArray[np.float32]

    @classmethod
    def read(cls, read: ReadRows, mask: NDArray[np.bool_]) -> SomeRows:
        """Those of a mask (n,)."""
        chunks = list(map_in_order(lambda chunk: chunk(), read(mask)))
        return cls(np.concatenate([rows for rows, _ in chunks]), np.concatenate([X for _, X in chunks]))

    def take(self, mask: NDArray[np.bool_]) -> SomeRows:
        """Some of them, by a mask (m,)."""
        return SomeRows(self.rows[mask], self.X[mask])


def training_sums(
    read: ReadRows,
    y: NDArray[np.intp],
    fold: NDArray[np.intp],
    classes: int,
    d: int,
    folds: int,
    *,
    shares: int = 4,
) -> list[Statistics]:
    """The sums over the rows of each fold; those of fold -1 are in none.

    Parameters
    ----------
    read : ReadRows
    y, fold : int ndarray (n,)
        Class and fold of each row.
    classes, d, folds : int
        How many classes, features and folds.
    shares : int
        The rows are summed in so many shares, whose sums are added in order.
    """
    found = []
    for number in range(folds):
        chunks = list(read(fold == number))
        cuts = [len(chunks) * n // shares for n in range(shares + 1)]
        parts = [chunks[a:b] for a, b in pairwise(cuts)]

        def sums(part: Sequence[Callable[[], Chunk]]) -> Statistics:
            blocks = ((X, y[rows]) for rows, X in (chunk() for chunk in part))
            return Statistics.from_blocks(blocks, classes, d)

        found.append(reduce(add, map_in_order(sums, parts)))
    return found


def distance_of_present(
    sums: Statistics,
    blocks: Sequence[Block],
    styles: tuple[tuple[str, ...], NDArray[np.float32]] | None = None,
) -> RelativeMahalanobis:
    """`Statistics.distance` of the classes that have rows."""
    there = sums.counts > 0
    if not there.all():
        sums = sums.with_classes(np.where(there, np.cumsum(there) - 1, -1), int(there.sum()))
    return sums.distance(blocks, styles)


class StreamedSearch:
    """Chooses and fits a linear head.

    Parameters
    ----------
    sums : sequence of Statistics
        Of each fold.
    read : ReadRows
    y, fold : int ndarray (n,)
    order : uint64 ndarray (n,)
        The rows with the smallest numbers are held out to be judged by, where not all are.
    blocks : sequence of slice
        Columns of each feature level.
    n_levels : sequence of int
        Numbers of last feature levels to try.
    logistic : bool
        Whether logistic regression is tried, where it is affordable.
    """

    def __init__(
        self,
        sums: Sequence[Statistics],
        read: ReadRows,
        y: NDArray[np.intp],
        fold: NDArray[np.intp],
        order: NDArray[np.uint64],
        blocks: Sequence[Block],
        n_levels: Sequence[int],
        *,
        logistic: bool = True,
    ) -> None:
        self.sums, self.read, self.y, self.fold, self.order = sums, read, y, fold, order
        self.blocks, self.n_levels, self.logistic = blocks, n_levels, logistic
        self.total = reduce(add, sums)
        self.classes = len(self.total.counts)

    def run(self) -> tuple[FittedHead, SomeRows]:
        """The head, whose `held_out` are logits of the rows that are returned with it."""
        with one_blas_thread:
            judged = SomeRows.read(self.read, self.some(self.fold == 0))
            rest = self.total - self.sums[0]
            points = [point for levels in self.n_levels for point in self._ridge(levels, rest, judged)]
            best = min(points, key=point_order)
            beyond = self._logistic(best, rest, judged) if self.logistic else None
            if beyond is not None:
                points += beyond.points
                if point_order(beyond.best) < point_order(best):
                    return self._fitted(beyond.best, points, judged, beyond.held_out, beyond.refit())
            held = SomeRows.read(self.read, self.some(self.fold >= 0))
            return self._fitted(best, points, held, self.held_out(best, held), None)

    def some(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As many of the wanted rows (n,) as are judged by: those that are first in `order`."""
        # rows of a class that the other folds lack say nothing
        others = (
            self.total.counts[self.y] > np.stack([s.counts for s in self.sums])[self.fold.clip(0), self.y]
        )
        wanted = wanted & others & (self.fold >= 0)
        rows = np.flatnonzero(wanted)
        most = max(1, min(_PHOTOS, _LOGITS // self.classes))
        if len(rows) > most:
            rows = rows[np.argpartition(self.order[rows], most)[:most]]
        mask = np.zeros(len(wanted), bool)
        mask[rows] = True
        return mask

    def held_out(self, point: SearchPoint, held: SomeRows) -> NDArray[np.float64]:
        """Logits (m, K) of rows, each by a ridge head that was fitted without its fold."""
        start, blocks = self._last(point.n_levels)
        logits = np.empty((len(held.rows), self.classes))
        fold = self.fold[held.rows]
        for number in np.unique(fold).tolist():
            weight, bias = (self.total - self.sums[number]).last_columns(start).solve(point.l2, blocks)
            logits[fold == number] = held.X[fold == number, start:] @ weight + bias
        return logits

    def _last(self, levels: int) -> tuple[int, list[Block]]:
        chosen = self.blocks[-levels:]
        start = chosen[0].start
        return start, [slice(block.start - start, block.stop - start) for block in chosen]

    def _ridge(self, levels: int, rest: Statistics, judged: SomeRows) -> Iterator[SearchPoint]:
        start, blocks = self._last(levels)
        sums, X, y = rest.last_columns(start), judged.X[:, start:], self.y[judged.rows]
        found: dict[int, SearchPoint] = {}

        def solved(step: int) -> SearchPoint:
            weight, bias = sums.solve(l2_of(step), blocks)
            logits = (X @ weight.astype(np.float32) + bias.astype(np.float32)).astype(np.float64)
            loss = _scaled_loss(logits, y)
            return SearchPoint(levels, False, "ridge", l2_of(step), loss)

        for step in RIDGE_STEPS:
            found[step] = solved(step)
        best = best_step({step: point.log_loss for step, point in found.items()})
        for step in (best - 1, best + 1):
            found[step] = solved(step)
        yield from found.values()

    def _logistic(self, ridge: SearchPoint, rest: Statistics, judged: SomeRows) -> _Logistic | None:
        start, _ = self._last(ridge.n_levels)
        if len(self.total) * (self.total.sums.shape[1] - start) * self.classes > _PRODUCTS:
            return None
        found = _Logistic(self, ridge.n_levels, rest, judged)
        found.search(ridge.log_loss)
        return found

    def _fitted(
        self,
        best: SearchPoint,
        points: list[SearchPoint],
        held: SomeRows,
        logits: NDArray[np.float64],
        head: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    ) -> tuple[FittedHead, SomeRows]:
        y = self.y[held.rows]
        loss = _scaled_loss(logits, y)
        judged = SearchPoint(best.n_levels, False, best.loss, best.l2, loss)
        points[points.index(best)] = judged
        start, blocks = self._last(best.n_levels)
        weight, bias = head or self.total.last_columns(start).solve(best.l2, blocks)
        fitted = FittedHead(weight.astype(np.float32), bias.astype(np.float32), judged, tuple(points), logits)
        return fitted, held


class _Logistic:
    """The path of logistic regression."""

    def __init__(self, search: StreamedSearch, levels: int, rest: Statistics, judged: SomeRows) -> None:
        self._of, self._levels = search, levels
        self._start, blocks = search._last(levels)
        self._judged = judged
        self._passes = self._over(search.fold > 0, rest, blocks)
        self._blocks = blocks
        self._losses: dict[int, float] = {}
        self._theta: NDArray[np.float64] | None = None
        self.points: list[SearchPoint] = []
        self.held_out = np.zeros((0, 0))

    def _over(self, mask: NDArray[np.bool_], sums: Statistics, blocks: Sequence[Block]) -> Passes:
        search, start = self._of, self._start

        def of(chunk: Callable[[], Chunk]) -> Labelled:
            rows, X = chunk()
            return X[:, start:], search.y[rows]

        def chunks() -> Iterable[Callable[[], Labelled]]:
            return [partial(of, chunk) for chunk in search.read(mask)]

        return Passes.of(chunks, sums.last_columns(start), blocks)

    @property
    def best(self) -> SearchPoint:
        """The best point."""
        return min(self.points, key=point_order)

    def search(self, ridge: float) -> None:
        """Try strengths, up and down from the start."""
        self._try(LOGISTIC_START)
        if self._losses[LOGISTIC_START] > HOPELESS * ridge:
            return
        climb(self._losses, self._try)

    def _try(self, step: int) -> None:
        self._theta = fit_streamed(self._passes, l2_of(step), self._theta, final=False)
        weight, bias = self._passes.head(self._theta)
        logits = self._judged.X[:, self._start :] @ weight + bias
        y = self._of.y[self._judged.rows]
        loss = _scaled_loss(logits, y)
        self._losses[step] = loss
        point = SearchPoint(self._levels, False, "logistic", l2_of(step), loss)
        if not self.points or point_order(point) < point_order(self.best):
            self.held_out = logits
        self.points.append(point)

    def refit(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight and bias of the best point, fitted to all rows."""
        passes = self._over(self._of.fold >= 0, self._of.total, self._blocks)
        return passes.head(fit_streamed(passes, self.best.l2, None, final=True))


def _scaled_loss(logits: NDArray[np.float64], y: NDArray[np.intp]) -> float:
    """Log loss of held-out logits (m, K) after temperature scaling, as `ridge.HeldOut` has it."""
    return log_loss(logits / fit_temperature(logits, y), y)
