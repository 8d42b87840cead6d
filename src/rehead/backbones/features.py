"""Feature extraction: decode, run the network, cache.

Each processor takes a few photos at a time, decodes them and runs the network on one thread: the
decoding of one overlaps the network of another, and a photo at a time keeps the activations in the
processor's own cache, which is faster than larger batches (benchmarks/extraction.py). Only rows
of features are kept, so memory does not grow with the size of the photos.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.cache import RowCache
from ..core.engines import Session
from ..core.parallel import map_in_order
from ..core.photos import File
from ..core.progress import Progress, progress_bar
from ..core.runtime import cpu_count, trim_memory
from ..data import near_duplicates, perceptual_hash
from ..data.bursts import burst_groups, clocks
from ..data.dataset import Dataset
from ..errors import ImageError, OutputError
from ..images import camera_view, file_digest, load_image, read_bytes
from .backbone import Backbone
from .engines import open_features

__all__ = ["Features", "cached_features", "duplicate_groups", "extract", "extract_views", "photo_groups"]

_PHOTOS = 8  # photos a worker takes at a time: of 4, 8 and 16 the best compromise between the processor's
# cache, which likes to do one thing for long, and evenly spread work (benchmarks/extraction.py)
_SHARD = 256  # rows kept at a time, about a second's work: what a killed run may lose


@dataclass(frozen=True)
class Features:
    """Features of photos, one row a photo, in the order asked for.

    Parameters
    ----------
    plain : float32 ndarray (n, D)
        All levels pooled, side by side. Rows of unreadable photos are NaN.
    mirrored : float32 ndarray (n, D) or None
        Of the horizontally flipped photo, where asked for.
    digests : tuple of str
        Sha256 of the bytes that the features are of, "" where the file could not be read.
    hashes : uint64 ndarray (n,)
        Perceptual hash of each photo.
    errors : tuple of (int, ImageError)
        Row and reason of each unreadable photo.
    computed : int
        Number of rows that were not in the cache.
    """

    plain: NDArray[np.float32]
    mirrored: NDArray[np.float32] | None
    digests: tuple[str, ...]
    hashes: NDArray[np.uint64]
    errors: tuple[tuple[int, ImageError], ...]
    computed: int

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Rows with features, bool (n,)."""
        ok = np.ones(len(self.digests), dtype=bool)
        ok[[row for row, _ in self.errors]] = False
        return ok


def _views(image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The photo (S, S, 3), and its mirror image."""
    yield image
    yield np.ascontiguousarray(image[:, ::-1])


def _digest(photo: File) -> str | ImageError:
    try:
        return file_digest(photo)
    except ImageError as error:
        return error.bare()


def extract(
    photos: Sequence[File],
    backbone: Backbone,
    *,
    mirror: bool = False,
    cache: bool = True,
    cache_root: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    session: Session | None = None,
) -> Features:
    """Extract features of photos.

    Parameters
    ----------
    photos : sequence of path or bytes
    backbone : Backbone
    mirror : bool
        Whether to extract those of the flipped photos too.
    cache : bool
        Whether to read and write the cache.
    cache_root : Path, optional
    threads : int, optional
        All processors by default.
    progress : callable, optional
        Called from this thread as `progress(done, total)`, first with what the cache holds.
    session : Session, optional
        Of `open_features`, where one is open.

    Returns
    -------
    Features
        Unreadable photos are listed in it; none is dropped.
    """
    files = list(photos)
    views = 2 if mirror else 1
    row = _row_type(backbone)
    stores = [
        RowCache({**backbone.context, "view": view}, row, cache_root)
        for view in ("plain", "mirrored")[:views]
        if cache
    ]
    digests = list(map_in_order(_digest, files, threads=threads))
    errors = {n: error for n, error in enumerate(digests) if isinstance(error, ImageError)}
    keys = ["" if isinstance(digest, ImageError) else digest for digest in digests]
    rows = [np.empty(len(files), row) for _ in range(views)]
    for view in rows:
        view["features"] = np.nan
        view["hash"] = 0
    found = [store.fetch(keys, view) for store, view in zip(stores, rows, strict=False)]
    missing = [~known for known in found] or [np.ones(len(files), dtype=bool)] * views
    todo = [n for n in np.flatnonzero(np.logical_or.reduce(missing)).tolist() if n not in errors]
    job = _Job(files, backbone, rows, missing, stores, keys, session)
    with progress_bar(progress, "Looking at photos") as shown:
        errors |= job.run(todo, threads, shown)
    if todo:
        del job
        trim_memory()
    return Features(
        rows[0]["features"],
        rows[1]["features"] if mirror else None,
        tuple(keys),
        rows[0]["hash"].copy(),
        tuple(sorted(errors.items())),
        len(todo),
    )


def extract_views(
    paths: Sequence[File],
    views: Sequence[str],
    digests: Sequence[str],
    backbone: Backbone,
    *,
    cache: bool = True,
    cache_root: Path | None = None,
    threads: int | None = None,
    session: Session | None = None,
) -> NDArray[np.float32]:
    """Extract features of one view of each photo.

    Parameters
    ----------
    paths : sequence of path or bytes (n,)
        A photo may come several times, with another view each.
    views : sequence of str (n,)
        Names of `images.CAMERA_VIEWS`.
    digests : sequence of str (n,)
        Sha256 of each file, as `extract` found it.
    backbone, cache, cache_root, threads, session
        As in `extract`.

    Returns
    -------
    float32 ndarray (n, D)
        NaN where a photo is unreadable.
    """
    rows = np.zeros(len(paths), _row_type(backbone))
    rows["features"] = np.nan
    missing = np.ones(len(paths), dtype=bool)
    names = np.array(views)
    stores: dict[str, RowCache] = {}
    for view in sorted(set(views)) if cache else ():
        stores[view] = RowCache({**backbone.context, "view": view}, rows.dtype, cache_root)
        these = np.flatnonzero(names == view)
        known = rows[these]
        missing[these] = ~stores[view].fetch([digests[n] for n in these.tolist()], known)
        rows[these] = known
    todo = np.flatnonzero(missing).tolist()
    if not todo:
        return np.ascontiguousarray(rows["features"])

    def compute() -> None:
        opened = session or open_features(backbone, threads)

        def run(n: int) -> None:
            with contextlib.suppress(ImageError):
                data = read_bytes(paths[n])
                pixels = camera_view(load_image(data, backbone.preprocess), views[n])
                rows["features"][n] = opened.run(None, {"image": pixels[None]})[0][0]
                missing[n] = hashlib.sha256(data).hexdigest() != digests[n]  # a file that changed is not kept

        list(map_in_order(run, todo, threads=threads))

    compute()
    trim_memory()  # with the session gone
    with contextlib.suppress(OutputError):  # on a full disk they are computed again the next time
        for view, store in stores.items():
            new = [n for n in todo if views[n] == view and not missing[n]]
            store.put([digests[n] for n in new], rows[new])
    return np.ascontiguousarray(rows["features"])


def cached_features(
    digests: Sequence[str], backbone: Backbone, *, mirror: bool, cache: bool | Path
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
    """Features (n, D) that the cache has of photos, by sha256, and of their mirror images where asked for.

    None where it lacks one; `cache` as of `PhotoEncoder`.
    """
    if cache is False:
        return None
    row, root = _row_type(backbone), None if isinstance(cache, bool) else cache
    views = []
    for view in ("plain", "mirrored")[: 2 if mirror else 1]:
        rows = np.zeros(len(digests), row)
        if not RowCache({**backbone.context, "view": view}, row, root).fetch(digests, rows).all():
            return None
        views.append(np.ascontiguousarray(rows["features"]))
    return views[0], views[1] if mirror else None


def _row_type(backbone: Backbone) -> np.dtype[Any]:
    """What the cache keeps of a view of a photo."""
    width = sum(level.width for level in backbone.levels)
    return np.dtype([("hash", "<u8"), ("features", "<f4", (width,))])


@dataclass
class _Job:
    files: list[File]
    backbone: Backbone
    rows: list[NDArray[Any]]
    missing: list[NDArray[np.bool_]]
    stores: list[RowCache]
    keys: list[str]
    session: Session | None = None

    def run(self, todo: list[int], threads: int | None, progress: Progress | None) -> dict[int, ImageError]:
        """Compute the rows `todo`; the photos that turn out unreadable."""
        if not todo:
            return {}
        session = self.session or open_features(self.backbone, threads)
        errors: dict[int, ImageError] = {}
        new_rows: list[int] = []
        try:
            n_done = len(self.files) - len(todo)
            if progress:
                progress(n_done, len(self.files))
            for done, failed in map_in_order(partial(self._chunk, session), _chunks(todo), threads=threads):
                new_rows += done
                errors |= failed
                n_done += len(done) + len(failed)
                if progress:
                    progress(n_done, len(self.files))
                if len(new_rows) >= _SHARD:
                    self._save(new_rows)
        finally:
            self._save(new_rows)
        return errors

    def _chunk(self, session: Session, photos: list[int]) -> tuple[list[int], dict[int, ImageError]]:
        images, failed = {}, {}
        for n in photos:  # decoded before the network runs: each then keeps the processor's cache to itself
            try:
                images[n] = self._read(n)
            except ImageError as error:
                failed[n] = ImageError(self.files[n], error.reason)
        for n, image in images.items():
            code = perceptual_hash(image)
            for rows, missing, pixels in zip(self.rows, self.missing, _views(image), strict=False):
                if missing[n]:
                    rows["features"][n] = session.run(None, {"image": pixels[None]})[0][0]
                    rows["hash"][n] = code
        return list(images), failed

    def _read(self, n: int) -> NDArray[np.uint8]:
        """The pixels of a photo; its digest is of the same bytes, even if the file was changed meanwhile."""
        data = read_bytes(self.files[n])
        pixels = load_image(data, self.backbone.preprocess)
        if (digest := hashlib.sha256(data).hexdigest()) != self.keys[n]:
            self.keys[n] = digest
            for missing in self.missing:
                missing[n] = True
        return pixels

    def _save(self, new_rows: list[int]) -> None:
        """Write new rows to the cache; on a full disk they are only computed again the next time."""
        for store, rows, missing in zip(self.stores, self.rows, self.missing, strict=False):
            new = [n for n in new_rows if missing[n]]
            try:
                store.put([self.keys[n] for n in new], rows[new])
            except OutputError:
                self.stores = []
                break
        new_rows.clear()


def _chunks(todo: list[int]) -> list[list[int]]:
    """Batches of photos, and single photos at the end, so that all processors finish together."""
    whole = max(0, len(todo) // _PHOTOS - cpu_count()) * _PHOTOS
    return [todo[i : i + _PHOTOS] for i in range(0, whole, _PHOTOS)] + [[n] for n in todo[whole:]]


def duplicate_groups(features: Features, network: Backbone) -> NDArray[np.intp]:
    """Group number of each photo, (n,): copies and near-copies of one picture share one."""
    last, rows = features.plain[:, network.blocks[-1]], features.readable
    groups = np.arange(len(rows)) + len(rows)
    groups[rows] = near_duplicates(
        [digest for digest, ok in zip(features.digests, rows, strict=True) if ok],
        features.hashes[rows],
        last if rows.all() else last[rows],
    )
    return groups


def photo_groups(
    dataset: Dataset, features: Features, network: Backbone, *, threads: int | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Near-duplicates and bursts among a dataset's photos, as their features by `network` show them.

    Returns
    -------
    copies, bursts : intp ndarray (n,)
        As of `duplicate_groups` and `data.bursts.burst_groups`.
    """
    last = features.plain[:, network.blocks[-1]]
    bursts = burst_groups(dataset, last, *clocks(dataset.paths, threads=threads))
    return duplicate_groups(features, network), bursts
