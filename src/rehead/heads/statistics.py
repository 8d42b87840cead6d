"""Sums over rows of features: all that the ridge head and the outlier score need of them.

They are counts and sums of each class, and the Gram matrix of all rows or of each class. Sums of the rows of
one place plus those of another are the sums of both, and sums minus those of some rows are what the others
would have given, so photos are added, forgotten and merged without the other photos.

Features are rounded to multiples of 2^-14 first. Their products are then multiples of 2^-28, which float64
adds without any rounding while sums stay below 2^25: in whatever order rows came and went, the sums are the
same to the bit. Beyond, each addition rounds, by 1e-16 of the sum (`Statistics.exact` tells). Rounding moves
a feature by at most 3e-5, less than float16 does from 0.125 on (benchmarks/sums.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import one_blas_thread
from ..errors import DataError
from .linear_algebra import add_gram, solve_centred
from .mahalanobis import COMPONENTS, RelativeMahalanobis, distance_of, fit_styles
from .pca import Block, block_scale, main_directions

__all__ = ["STEP", "Statistics", "rounded"]

STEP = 2.0**-14
"""What features are rounded to multiples of."""

_EXACT = STEP**2 * 2.0**53  # float64 holds every multiple of STEP**2 up to here
_ROWS = 1024  # rows at a time, 10 MB of 1,280 features


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over n rows of d features, of K classes.

    Parameters
    ----------
    counts : int64 ndarray (K,)
        Rows of each class.
    sums : float64 ndarray (K, d)
        Sum of the rows of each class.
    gram : float64 ndarray (1, d, d) or (K, d, d)
        Sum of x x' over all rows x, or over those of each class; symmetric.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    gram: NDArray[np.float64]

    @classmethod
    def empty(cls, classes: int, d: int, *, by_class: bool = False) -> Statistics:
        """The sums over no rows."""
        grams = classes if by_class else 1
        return cls(np.zeros(classes, np.int64), np.zeros((classes, d)), np.zeros((grams, d, d)))

    @classmethod
    def from_rows(
        cls, features: NDArray[np.floating], y: NDArray[np.intp], classes: int, *, by_class: bool = False
    ) -> Statistics:
        """The sums over rows of features (n, d) of classes y (n,), 0..classes-1.

        `by_class` keeps a Gram matrix of each class, as balanced heads and forgetting a whole class need.
        DataError where a feature is not finite.
        """
        return cls.from_blocks([(features, y)], classes, features.shape[1], by_class=by_class)

    @classmethod
    @one_blas_thread
    def from_blocks(
        cls,
        blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.intp]]],
        classes: int,
        d: int,
        *,
        by_class: bool = False,
    ) -> Statistics:
        """The sums over blocks of rows as they come, as `from_rows` of all of them; no block is kept."""
        total = cls.empty(classes, d, by_class=by_class)
        grams = [np.zeros((d, d), order="F") for _ in total.gram]
        for features, y in blocks:
            for start in range(0, len(y), _ROWS):
                rows, of = rounded(features[start : start + _ROWS]), y[start : start + _ROWS]
                for c in np.unique(of).tolist():
                    some = rows[of == c]
                    total.counts[c] += len(some)
                    total.sums[c] += some.sum(axis=0)
                    if by_class:
                        grams[c] = add_gram(grams[c], some)
                if not by_class:
                    grams[0] = add_gram(grams[0], rows)
        for whole, gram in zip(total.gram, grams, strict=True):
            _fill_upper(gram)
            whole += gram.T
        return total

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def by_class(self) -> bool:
        """Whether there is a Gram matrix of each class (of one class it is both)."""
        return len(self.gram) == len(self.counts)

    @property
    def exact(self) -> bool:
        """Whether no sum was rounded, so that any order of the same rows gives the same bits."""
        largest = float(np.diagonal(self.gram, axis1=1, axis2=2).max(initial=0.0))
        return largest <= _EXACT and float(np.abs(self.sums).max(initial=0.0)) <= _EXACT

    def __add__(self, other: Statistics) -> Statistics:
        self._check(other)
        return Statistics(self.counts + other.counts, self.sums + other.sums, self.gram + other.gram)

    def __sub__(self, other: Statistics) -> Statistics:
        """What the other rows alone give; DataError where a class has fewer rows than are taken from it."""
        self._check(other)
        if (self.counts < other.counts).any():
            raise DataError("more rows would be taken from the statistics of a class than were added to it")
        return Statistics(self.counts - other.counts, self.sums - other.sums, self.gram - other.gram)

    def _check(self, other: Statistics) -> None:
        if (self.sums.shape, self.gram.shape) != (other.sums.shape, other.gram.shape):
            raise DataError(
                f"statistics of {self.sums.shape} class sums and {len(self.gram)} Gram matrices do not go "
                f"with {other.sums.shape} and {len(other.gram)}; expected the same classes and features"
            )

    def with_classes(self, place: NDArray[np.intp], classes: int) -> Statistics:
        """The same where class k is class `place[k]` of so many; the others are empty.

        A class of place -1 must have no rows.
        """
        kept = np.flatnonzero(place >= 0)
        gone = np.flatnonzero(place < 0)
        if self.counts[gone].any():
            raise DataError("a class that is left out has rows in the statistics")
        by_class = self.by_class and len(self.counts) > 1
        found = Statistics.empty(classes, self.sums.shape[1], by_class=by_class)
        found.counts[place[kept]], found.sums[place[kept]] = self.counts[kept], self.sums[kept]
        if by_class:
            found.gram[place[kept]] = self.gram[kept]
            return found
        return Statistics(found.counts, found.sums, self.gram)

    def of_class(self, number: int) -> Statistics:
        """The sums over the rows of one class, all K classes counted; needs a Gram matrix of each."""
        if not self.by_class:
            raise DataError("the statistics have one Gram matrix for all classes, none of a class alone")
        found = Statistics.empty(len(self.counts), self.sums.shape[1], by_class=True)
        for mine, its in ((self.counts, found.counts), (self.sums, found.sums), (self.gram, found.gram)):
            its[number] = mine[number]
        return found

    def last_columns(self, start: int) -> Statistics:
        """The sums of the features from column `start` on, views."""
        return Statistics(self.counts, self.sums[:, start:], self.gram[:, start:, start:])

    def scaling(self, blocks: Sequence[Block]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and scale of each column (d,), as `pca.fit_scaling` has them."""
        n = len(self)
        mean = self.sums.sum(axis=0) / n
        square = np.diagonal(self.gram, axis1=1, axis2=2).sum(axis=0) / n
        return mean, block_scale(np.maximum(square - mean**2, 0.0), blocks)

    def solve(
        self, l2: float, blocks: Sequence[Block], *, balanced: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight (d, K) and bias (K,) of the ridge head, as `ridge.fit_ridge` without the detour by PCA.

        Parameters
        ----------
        l2 : float
            Strength of the penalty, above 0, in the units of `SearchPoint.l2`.
        blocks : sequence of slice
            The columns of each feature level; together they cover all d.
        balanced : bool
            Whether every class weighs the same; needs a Gram matrix of each class.
        """
        return self.solve_path([l2], blocks, balanced=balanced)[0]

    @one_blas_thread
    def solve_path(
        self, l2: Sequence[float], blocks: Sequence[Block], *, balanced: bool = False
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """The heads of several strengths, each as `solve` gives it."""
        if balanced and not self.by_class:
            raise DataError("balanced classes need statistics with a Gram matrix of each class")
        _, scale = self.scaling(blocks)
        weight = len(self) / (len(self.counts) * np.maximum(self.counts, 1.0)) if balanced else None
        w = np.ones(len(self.counts)) if weight is None else weight
        gram = self.gram.sum(axis=0) if weight is None else np.tensordot(w, self.gram, 1)
        label = w * self.counts
        mass = float(label.sum())
        sums = w[:, None] * self.sums * scale
        first, prior = sums.sum(axis=0), label / mass
        gram *= scale
        gram *= scale[:, None]
        right, found = sums.T - np.outer(first, prior), []
        for strength in l2:
            system = gram.copy(order="F")
            system[np.diag_indices_from(system)] += strength * mass
            A = solve_centred(system, first / mass, mass, right.copy())
            found.append((A * scale[:, None], prior - first / mass @ A))
        return found

    @one_blas_thread
    def distance(
        self, blocks: Sequence[Block], styles: tuple[tuple[str, ...], NDArray[np.float32]] | None = None
    ) -> RelativeMahalanobis:
        """The outlier score of features (d,), as `mahalanobis.fit_distance` fits it to the rows.

        `styles` are names (S,) and shifts (S, d) of the styles it shall see; limit and allowances are 0.
        """
        n, d = len(self), self.sums.shape[1]
        mean, scale = self.scaling(blocks)
        scatter = self.gram.sum(axis=0)
        scatter -= n * np.outer(mean, mean)
        scatter *= scale
        scatter *= scale[:, None]
        most = max(1, min(COMPONENTS, n - 1, d))
        _, vectors = main_directions(np.asfortranarray(scatter, np.float32), most)
        basis = np.zeros((d, most))
        basis[:, : vectors.shape[1]] = vectors
        means = (self.sums / self.counts[:, None] - mean) * scale
        energy_of_all = float(np.trace(scatter)) / n
        around = basis.T @ scatter @ basis
        basis = basis.astype(np.float32)
        centres = means @ basis
        inside = around - centres.T @ (self.counts[:, None] * centres)
        model = distance_of(mean, scale, basis, means, self.counts, energy_of_all, around, inside)
        return model if styles is None else fit_styles(model, *styles, energy_of_all)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Counts, sums, and the lower triangles of the Gram matrices, row by row: (G, d (d + 1) / 2)."""
        lower = np.tril_indices(self.sums.shape[1])
        return {"counts": self.counts, "sums": self.sums, "gram": self.gram[:, *lower]}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Statistics:
        """The statistics of `to_arrays`; DataError, as a phrase, where they are none."""
        for name, kind, dimensions in (
            ("counts", np.int64, 1),
            ("sums", np.float64, 2),
            ("gram", np.float64, 2),
        ):
            array = arrays.get(name)
            if array is None or array.dtype != kind or array.ndim != dimensions:
                raise DataError(f"{name} is not there, or not {dimensions}-dimensional {np.dtype(kind)}")
            if not np.isfinite(array).all():
                raise DataError(f"{name} has numbers that are not finite")
        counts, sums, packed = arrays["counts"], arrays["sums"], arrays["gram"]
        (classes,), d = counts.shape, sums.shape[1]
        if len(sums) != classes or packed.shape not in ((1, d * (d + 1) // 2), (classes, d * (d + 1) // 2)):
            raise DataError(
                f"{classes} counts, sums {sums.shape} and Gram matrices {packed.shape} do not fit"
            )
        if (counts < 0).any():
            raise DataError("a count is below 0")
        gram = np.zeros((len(packed), d, d))
        lower = np.tril_indices(d)
        gram[:, *lower] = packed
        gram[:, *lower[::-1]] = packed
        return cls(counts, sums, gram)


def _fill_upper(gram: NDArray[np.float64]) -> None:
    """Make a matrix symmetric whose lower triangle holds, a strip at a time."""
    for start in range(0, len(gram), _ROWS):
        stop = start + _ROWS
        corner = gram[start:stop, start:stop]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
        gram[start:stop, stop:] = gram[stop:, start:stop].T


def rounded(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rows (n, d) in float64, rounded to multiples of STEP; DataError where one is not finite."""
    if not np.isfinite(rows).all():
        raise DataError("features that are not finite cannot be summed")
    rounded: NDArray[np.float64] = np.rint(rows / np.float64(STEP))
    rounded *= STEP
    return rounded
