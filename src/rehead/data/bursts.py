"""Bursts: photos of one scene right after each other, by EXIF time or by the numbers in file names.

Time and number only propose pairs; the cosine of features decides whether neighbours show one scene. So
photos that are merely numbered consecutively, as in most datasets, are no burst: a pair must be far more
similar than the pairs of its class, unless most neighbours are nearly the same photo, as in a video. Drawn
digits, numbered writer by writer, and crops of surfaces, numbered plate by plate, are somewhat alike where
their numbers are near, and no bursts. Names that say BURST themselves need no such proof.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from ..errors import ImageError
from ..images.exif import camera_number, read_clock
from .dataset import Dataset
from .duplicates import connected_groups

__all__ = ["burst_groups", "burst_of", "clocks"]

_SECONDS = 3.0  # apart: two presses of the button at one scene; a choice, the features have the last word
_NUMBERS = 2  # apart: one photo of the burst may have been thrown away
# Numbers follow the scenes where neighbours are nearer than the share _FOLLOWS of other pairs of their
# series, by _SURE standard errors: 0.42 to 0.54 numbered at random, 0.71 to 0.97 in videos and folders with
# bursts. Also, most of them are nearer than _CLOSE, as in short bursts (77 to 84 % in videos; 15 % among
# sklearn's digits, 26 % among crops of textures in the order of their plates), or few are less near than
# _APART, as in long ones (22 % of those digits).
_FOLLOWS, _SURE = 0.6, 3.0
_CLOSE, _MOST = 0.95, 0.5
_APART, _FEW = 0.4, 0.1
_DRAWN = 500  # pairs a class or series that stand for all of its pairs
_TILE = 1024  # pairs at a time, so that the copies of their features stay small
_NUMBERED = re.compile(r"(.*?)(\d{1,18})(\D*)")
# in names of photos of one press of the button, of Google's camera, Sony's and `rehead studio`: the time
_SAID = re.compile(r"BURST(\d{17})(?!\d)")

Pairs = NDArray[np.intp]


@dataclass(frozen=True)
class _Evidence:
    """Limits on the features of two proposed photos.

    `cosine` of centred features; `nearer`, the share of the other pairs of their class that they must be
    nearer than, and `by`, how many times as near; `alone`, whether they are taken for one scene where the
    class has too few other pairs.
    """

    cosine: float
    nearer: float
    by: float
    alone: bool


# By benchmarks/audit.py, 2 % of neighbours numbered at random have a cosine of 0.7, and 90 % of neighbouring
# video frames do; 1 % of pairs at random have 0.5. The shares are a choice: the clock is strong evidence by
# itself, a number is not. Twice as near: 167 of 189 neighbours in videos, 2 of 1,787 among sklearn's digits.
_BY_NAME = _Evidence(0.7, 0.99, by=2.0, alone=False)
_BY_CLOCK = _Evidence(0.5, 0.5, by=1.0, alone=True)


def burst_groups(
    dataset: Dataset,
    features: NDArray[np.float32],
    taken: NDArray[np.float64] | None = None,
    camera: NDArray[Any] | None = None,
) -> NDArray[np.intp]:
    """Group bursts.

    Parameters
    ----------
    dataset : Dataset
        n photos: proposed are those of one folder whose names differ only in their last number. Those whose
        names say BURST and the same 17 digits, wherever they lie, are one burst.
    features : float32 ndarray (n, d)
        Of the last feature level; rows of NaN, of photos that cannot be read, belong to no burst.
    taken : float64 ndarray (n,), optional
        Seconds, NaN where not known.
    camera : ndarray (n,), optional
        What took the photo; photos of different cameras belong to different bursts.

    Returns
    -------
    intp ndarray (n,)
        Photos of a burst share a number, and no others do.
    """
    readable = ~np.isnan(features[:, 0])
    likeness = _Likeness(features, readable, dataset.labels)
    links = _linked(_by_name(dataset.ids, readable), likeness, _BY_NAME)
    links = np.vstack([links, _said(dataset.ids, readable)])
    if taken is not None:
        whose = np.zeros(len(taken)) if camera is None else camera
        shown = _by_clock(np.where(readable, taken, np.nan), whose)
        links = np.vstack([links, _linked(shown, likeness, _BY_CLOCK)])
    return connected_groups(links, len(dataset))


def _said(ids: Sequence[str], readable: NDArray[np.bool_]) -> Pairs:
    """(k, 2) Photos that are of one burst by their names, each with the first of it."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(stamp, row), row)
        for row in np.flatnonzero(readable).tolist()
        if (stamp := burst_of(ids[row]))
    ]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.intp).reshape(-1, 2)


def burst_of(photo: str) -> str:
    """The 17 digits of the burst that a photo is of, by the end of its id; "" where it is of none."""
    found = _SAID.search(photo.rpartition("/")[2])
    return found[1] if found else ""


def clocks(
    paths: Sequence[Path], *, threads: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
    """When photos were taken, seconds or NaN, and by which camera, 0 where unknown; no photo is decoded."""

    def read(path: Path) -> tuple[float, int]:
        try:
            taken, camera = read_clock(path)
        except ImageError:
            return np.nan, 0
        return np.nan if taken is None else taken, camera_number(camera)

    rows = list(map_in_order(read, paths, threads=threads))
    return np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows], np.uint64)


# proposed pairs


@dataclass(frozen=True)
class _Series:
    """Photos in the order of their numbers or of the clock, and which of them may be of one scene.

    `rows` (m,), and `near` (m - 1,): whether a photo and the next one are near enough in number or time.
    """

    rows: Pairs
    near: NDArray[np.bool_]

    @property
    def neighbours(self) -> Pairs:
        """(k, 2) Rows that may be of one scene."""
        return np.column_stack([self.rows[:-1][self.near], self.rows[1:][self.near]])

    def others(self, rng: np.random.Generator) -> Pairs:
        """(k, 2) Pairs drawn from those that are not next to each other."""
        i, j = rng.integers(0, len(self.rows), (2, _DRAWN))
        apart = np.abs(i - j) > 1
        return np.column_stack([self.rows[i[apart]], self.rows[j[apart]]])


def _by_name(ids: Sequence[str], readable: NDArray[np.bool_]) -> list[_Series]:
    """Photos of one folder whose names differ in their last number."""
    numbered: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in np.flatnonzero(readable).tolist():
        folder, _, file = ids[row].rpartition("/")
        if found := _NUMBERED.fullmatch(file):
            before, digits, after = found.groups()
            numbered.setdefault((f"{folder}/{before}", after), []).append((int(digits), row))
    return [
        _Series(
            np.array([row for _, row in series], dtype=np.intp),
            np.diff([number for number, _ in series]) <= _NUMBERS,
        )
        for series in map(sorted, numbered.values())
        if len(series) > 1
    ]


def _by_clock(taken: NDArray[np.float64], whose: NDArray[Any]) -> list[_Series]:
    """Photos of one camera in the order of time."""
    known = np.flatnonzero(~np.isnan(taken))
    series = [known[whose[known] == camera] for camera in np.unique(whose[known])]
    order = [rows[np.argsort(taken[rows], kind="stable")] for rows in series if len(rows) > 1]
    return [_Series(rows, np.diff(taken[rows]) <= _SECONDS) for rows in order]


# decisions by features


class _Likeness:
    """Cosines of features less the mean of all, and how large they are within a class."""

    def __init__(
        self, features: NDArray[np.float32], readable: NDArray[np.bool_], labels: NDArray[np.str_]
    ) -> None:
        self._features, self._readable, self._labels = features, readable, labels
        mean = features.mean(axis=0, dtype=np.float64, where=readable[:, None]) if readable.any() else 0
        self._mean = np.asarray(mean, dtype=np.float32)

    def of(self, pairs: Pairs) -> NDArray[np.float64]:
        """(k,) Cosine of each pair of rows (k, 2)."""
        found = np.zeros(len(pairs))
        for start in range(0, len(pairs), _TILE):
            one, two = (self._features[rows] - self._mean for rows in pairs[start : start + _TILE].T)
            lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
            found[start : start + _TILE] = (one * two).sum(axis=1) / np.maximum(lengths, 1e-12)
        return found

    def outstanding(
        self, quantile: float, rows: Pairs, proposed: Pairs, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """(k,) Cosine that this quantile of the pairs of one class do not exceed, in the class of each row.

        Pairs that are proposed (m, 2) are left out. NaN where the class has too few others to tell.
        """
        n = len(self._labels)
        limit: dict[str, float] = {}
        for label in np.unique(self._labels[rows]).tolist():
            own = np.flatnonzero(self._readable & (self._labels == label))
            drawn = np.sort(own[rng.integers(0, len(own), (_DRAWN, 2))], axis=1)
            drawn = np.unique(drawn[drawn[:, 0] != drawn[:, 1]], axis=0)
            drawn = drawn[~np.isin(drawn @ [n, 1], np.sort(proposed, axis=1) @ [n, 1])]
            enough = len(drawn) * (1 - quantile) >= 1 - 1e-9
            limit[label] = float(np.quantile(self.of(drawn), quantile)) if enough else np.nan
        return np.array([limit[label] for label in self._labels[rows].tolist()])


def _linked(series: Sequence[_Series], likeness: _Likeness, evidence: _Evidence) -> Pairs:
    """(k, 2) The neighbours that are of one scene."""
    rng = np.random.default_rng(0)
    proposed = [one.neighbours for one in series]
    pairs = np.vstack([np.zeros((0, 2), dtype=np.intp), *proposed])
    cosine = likeness.of(pairs)
    alike = cosine >= evidence.cosine
    if alike.any() and not _follows(series, proposed, likeness, rng):
        limit = 1 - (1 - likeness.outstanding(evidence.nearer, pairs[alike, 0], pairs, rng)) / evidence.by
        alike[alike] = np.where(np.isnan(limit), evidence.alone, cosine[alike] >= limit)
    return pairs[alike]


def _follows(
    series: Sequence[_Series], proposed: Sequence[Pairs], likeness: _Likeness, rng: np.random.Generator
) -> bool:
    """Whether neighbours are nearer to each other than other photos of their series: a rank test.

    It also asks how: that most are nearly the same photo, or that few are not alike, as scenes have it. A
    writer's digits are a little nearer to each other than to those of others.
    """
    ranks = []
    for one, pairs in zip(series, proposed, strict=True):
        others = np.sort(likeness.of(one.others(rng)))
        if len(others) and len(pairs):
            near = likeness.of(pairs)
            below, up_to = (np.searchsorted(others, near, side) / len(others) for side in ("left", "right"))
            ranks.append((below + up_to) / 2)
    found = np.concatenate(ranks) if ranks else np.zeros(0)
    # ranks are uniform where the order means nothing, and their variance is 1/12
    if not len(found) or ((found >= _CLOSE).mean() < _MOST and (found < _APART).mean() > _FEW):
        return False
    return bool(found.mean() - 0.5 >= max(_FOLLOWS - 0.5, _SURE / np.sqrt(12 * len(found))))
