"""Statistics of each photo: its size, brightness, contrast and sharpness, and when it was taken.

They are cached by the photo's bytes, so that a second audit decodes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.cache import RowCache
from ..core.parallel import map_in_order
from ..core.preprocess import GreyRange
from ..core.progress import Progress, tracked
from ..errors import ImageError, OutputError
from ..images import PreprocessSpec, load_image, luma, read_bytes, read_header
from ..images.exif import camera_number

__all__ = ["IMAGE_STATS", "blur_effect", "compute_image_stats"]

IMAGE_STATS = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("light", "<f4"),
        ("contrast", "<f4"),
        ("blur", "<f4"),
        ("taken", "<f8"),
        ("camera", "<u8"),
        ("unended", "?"),
    ]
)
"""A row a photo.

    width, height   of the upright photo, pixels; 0 where it cannot be read
    light           99th percentile of the grey levels, 0 to 255
    contrast        range of the middle 98 % of the grey levels, 0 to 255
    blur            `blur_effect`, 0 to 1
    taken           seconds by the camera's clock, NaN where the file does not say
    camera          a number for its maker and model, 0 where the file does not say
    unended         whether it is a JPEG without its end marker
"""

_VERSION = 2  # raised when what a row holds changes, so that an old row is never taken for a new one
_SPEC = PreprocessSpec(256, (0, 0, 0), (1, 1, 1))  # what a network sees, whichever it is
_TAPS = 9  # of the filter that blurs once more; Crete et al. 2007, section 3
_SHARD = 1024  # rows kept at a time


def compute_image_stats(
    paths: Sequence[Path],
    digests: Sequence[str],
    *,
    grey_range: GreyRange | None = None,
    cache: bool = True,
    cache_root: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Compute the statistics of photos.

    Parameters
    ----------
    paths : sequence of Path, (n,)
    digests : sequence of str, (n,)
        Sha256 of each file, "" for those that cannot be read.
    grey_range : (low, high), optional
        As in `PreprocessSpec`.
    cache : bool
        Whether to read and write the cache.
    cache_root : Path, optional
    threads : int, optional
        All processors by default.
    progress : callable, optional
        Called from this thread as `progress(done, total)`.

    Returns
    -------
    ndarray of `IMAGE_STATS`, (n,)
    """
    rows = np.zeros(len(paths), IMAGE_STATS)
    rows["taken"] = np.nan
    known = np.array([not digest for digest in digests], dtype=bool)
    spec = replace(_SPEC, grey_range=grey_range)
    context = {
        "view": "image stats",
        "version": _VERSION,
        **({"grey_range": grey_range} if grey_range else {}),
    }
    store = RowCache(context, IMAGE_STATS, cache_root) if cache else None
    if store is not None:
        known |= store.fetch(digests, rows)
    todo = np.flatnonzero(~known).tolist()
    new: list[int] = []
    found = map_in_order(partial(_image_stats, spec=spec), (paths[n] for n in todo), threads=threads)
    each = tracked(
        zip(todo, found, strict=True), len(paths), progress, "Measuring photos", done=len(paths) - len(todo)
    )
    for done, (n, (row, digest)) in enumerate(each, 1):
        rows[n] = row
        if digest == digests[n]:  # else the file has changed since
            new.append(n)
        if len(new) == _SHARD or done == len(todo):
            store = _save(store, new, digests, rows)
    return rows


def blur_effect(grey: NDArray[np.float32]) -> float:
    """How blurred a photo is, after Crete et al. (2007), "The blur effect".

    Blurring a sharp photo takes much of the differences between neighbouring pixels away, blurring a
    blurred one little: the fraction that is left, in the direction in which more is left. It hardly
    depends on what the photo shows.

    Parameters
    ----------
    grey : float32 array of shape (height, width)

    Returns
    -------
    float
        0, sharp, to 1; 0 where there are no differences at all.
    """
    return max(_blur_along_rows(grey), _blur_along_rows(grey.T))


def _blur_along_rows(grey: NDArray[np.float32]) -> float:
    """Fraction of the differences along the rows that a blur along the rows leaves."""
    sums = np.cumsum(grey, axis=1, dtype=np.float64)
    blurred = (sums[:, _TAPS:] - sums[:, :-_TAPS]) / _TAPS
    half = _TAPS // 2
    sharp = np.abs(np.diff(grey[:, half + 1 : half + 1 + blurred.shape[1]], axis=1))
    lost = np.maximum(sharp - np.abs(np.diff(blurred, axis=1)), 0).sum()
    total = float(sharp.sum())
    return 1 - float(lost) / total if total > 0 else 0.0


def _image_stats(path: Path, spec: PreprocessSpec) -> tuple[NDArray[Any], str]:
    """The row of one photo and the digest of its bytes; of zeros, and "", where it cannot be read."""
    row = np.zeros((), IMAGE_STATS)
    row["taken"] = np.nan
    try:
        data = read_bytes(path)
        header = read_header(data)
        grey = luma(load_image(data, spec))
    except ImageError:
        return row, ""
    low, high = np.percentile(grey, (1, 99))
    row["width"], row["height"] = header.width, header.height
    row["light"], row["contrast"], row["blur"] = high, high - low, blur_effect(grey)
    row["taken"] = np.nan if header.taken is None else header.taken
    row["camera"] = camera_number(header.camera)
    row["unended"] = not header.ended
    return row, hashlib.sha256(data).hexdigest()


def _save(
    store: RowCache | None, new: list[int], digests: Sequence[str], rows: NDArray[Any]
) -> RowCache | None:
    """Write new rows to the cache; on a full disk they are only computed again the next time."""
    if store is not None:
        sound = [n for n in new if rows["width"][n]]
        try:
            store.put([digests[n] for n in sound], rows[sound])
        except OutputError:
            store = None
    new.clear()
    return store
