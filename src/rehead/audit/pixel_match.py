"""Whether photos that resemble each other are one picture: laid over each other, do the pixels agree.

`near_duplicates` groups what must not stand on both sides of a split, and rather too much than too little:
the next shot of a scene, or two faces in the same pose and light. To call two photos the same picture is
to say more, and `rehead audit` says it only where they agree point by point, one of them mirrored,
trimmed or shifted a little at the most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from ..data.duplicates import connected_groups, iter_groups
from ..errors import ImageError
from ..images import PreprocessSpec, area_weights, load_image, luma

__all__ = ["agreement", "pixel_duplicates"]

AGREE = 0.89
"""Correlation from which two photos are one picture, by benchmarks/audit.py: copies saved again, halved,
mirrored, brightened, darkened or trimmed by 5 % reach 0.906 and more, faces of two people 0.87."""

_SIDE = 48  # pixels: at 24 and 32, trimmed copies come as low as 0.87
_TRIMMED = (1.0, 1.05, 1.1)  # how much larger the one shows what both show
_INNER = 0.84  # share of the smaller that is looked for in the larger, so that it may be shifted by 8 %
_NEAREST, _FEW = 3, 8  # photos of a group that each one is compared with; one where they are more than few,
# as the frames of a video are
_SPEC = PreprocessSpec(_SIDE, (0, 0, 0), (1, 1, 1))

Grey = NDArray[np.float32]


def pixel_duplicates(
    paths: Sequence[Path],
    group: NDArray[np.intp],
    features: NDArray[np.float32] | None = None,
    *,
    threads: int | None = None,
) -> NDArray[np.intp]:
    """Groups of copies in the strict sense.

    Parameters
    ----------
    paths : sequence of Path (n,)
    group : intp ndarray (n,)
        Photos that may be copies share a number; -1 is no group.
    features : float32 ndarray (n, d), optional
        By which each photo of a large group is compared with its nearest ones; without them, with the next.
    threads : int, optional

    Returns
    -------
    intp ndarray (n,)
        A refinement of `group`, with -1 where that has it.
    """
    pairs = [pair for rows in iter_groups(group) for pair in _compared(rows, features)]
    rows = sorted({row for pair in pairs for row in pair})
    small = dict(zip(rows, map_in_order(_small, (paths[row] for row in rows), threads=threads), strict=True))

    def same(pair: tuple[int, int]) -> bool:
        one, two = (small[row] for row in pair)
        return one is not None and two is not None and agreement(one, two) >= AGREE

    agree = map_in_order(same, pairs, threads=threads)
    found = [pair for pair, agrees in zip(pairs, agree, strict=True) if agrees]
    return np.where(group < 0, -1, connected_groups(found, len(group)))


def agreement(one: Grey, two: Grey) -> float:
    """How well two photos agree where they are laid over each other, the second mirrored or not.

    Parameters
    ----------
    one, two : float32 ndarray (S, S)
        Grey levels.

    Returns
    -------
    float
        Their correlation, -1 to 1; at the first way in which it reaches `AGREE`, else at the best of all.
    """
    best = -1.0
    for correlation in _ways(one, two):
        best = max(best, correlation)
        if best >= AGREE:
            break
    return best


def _ways(one: Grey, two: Grey) -> Iterator[float]:
    turned = two, two[:, ::-1]
    for other in turned:
        yield float((_unit(one) * _unit(other)).sum())
    for scale in _TRIMMED:
        for other in turned:
            for large, small in ((one, other), (other, one)) if scale > 1 else ((one, other),):
                yield _found_in(large, small, round(len(small) / scale))


def _found_in(large: Grey, small: Grey, side: int) -> float:
    """The best correlation of the inner part of `small`, reduced to `side` pixels, with a part of `large`."""
    matrix = _reduction(side, len(small))
    reduced = np.asarray(matrix @ small @ matrix.T, dtype=np.float32)
    margin = (side - min(side, round(_INNER * len(large)))) // 2
    part = reduced[margin : side - margin, margin : side - margin]
    windows: Grey = sliding_window_view(large, part.shape)
    products = np.tensordot(windows, _unit(part), axes=2)
    sums, squares = windows.sum(axis=(2, 3)), (windows**2).sum(axis=(2, 3))
    lengths = np.sqrt(np.maximum(squares - sums**2 / part.size, 1e-6))
    return float((products / lengths).max())


def _unit(grey: Grey) -> Grey:
    centred = grey - grey.mean()
    unit: Grey = centred / max(float(np.linalg.norm(centred)), 1e-6)
    return unit


@lru_cache(maxsize=8)
def _reduction(fine: int, coarse: int) -> Grey:
    return area_weights(fine, coarse).astype(np.float32)


def _compared(rows: NDArray[np.intp], features: NDArray[np.float32] | None) -> list[tuple[int, int]]:
    """Pairs of a group: each photo with its nearest ones."""
    if features is None:
        ahead = range(1, _NEAREST + 1)
        return [(int(one), int(two)) for step in ahead for one, two in zip(rows, rows[step:], strict=False)]
    own = features[rows].astype(np.float64)
    squares = (own**2).sum(axis=1)
    distance = squares[:, None] + squares - 2 * own @ own.T
    np.fill_diagonal(distance, np.inf)
    count = min(_NEAREST, len(rows) - 1) if len(rows) <= _FEW else 1
    near = np.argsort(distance, axis=1, kind="stable")[:, :count]
    pairs = np.sort(np.column_stack([np.repeat(rows, near.shape[1]), rows[near].ravel()]), axis=1)
    return [(one, two) for one, two in np.unique(pairs, axis=0).tolist()]


def _small(path: Path) -> Grey | None:
    try:
        return luma(load_image(path, _SPEC))
    except ImageError:
        return None
