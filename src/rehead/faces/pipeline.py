"""From a photo to the embeddings of its faces: detect, choose, embed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress
from ..core.runtime import cpu_count
from ..errors import DataError, ImageError
from ..images import read_bytes, read_image
from .detection.detector import FaceDetector
from .embedding.embedder import FaceEmbedder
from .types import Detector, Embedder, Face, FaceSelection, choose

__all__ = ["FaceObservation", "FacePipeline", "default_pipeline"]


Source = str | os.PathLike[str] | bytes


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """What was seen in a photo.

    Parameters
    ----------
    path : str
        Of the photo, "" where it came as bytes.
    sha256 : str
        Of its bytes, in hex.
    found : int
        Faces that were detected.
    faces : tuple of Face
        Those that were meant, by the rule; none where none was found.
    vectors : float32 ndarray (n, D)
        Their embeddings, of length one.
    """

    path: str
    sha256: str
    found: int
    faces: tuple[Face, ...]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class FacePipeline:
    """A detector and an embedder.

    Parameters
    ----------
    detector : Detector
    embedder : Embedder
    threads : int, optional
        Photos to look at side by side, one for each processor by default.
    """

    detector: Detector
    embedder: Embedder
    threads: int | None = None

    def look(self, photo: Source, rule: FaceSelection) -> FaceObservation:
        """Detect, choose and embed the faces of one photo.

        Raises
        ------
        ImageError
            The photo is unreadable, or has several faces and the rule is "error".
        """
        path = "" if isinstance(photo, bytes) else os.fspath(photo)
        data = photo if isinstance(photo, bytes) else read_bytes(photo)
        try:
            pixels = read_image(data)
        except ImageError as error:
            raise ImageError(path or None, error.reason) from error
        found = self.detector.detect(pixels)
        try:
            faces = choose(found, rule, (pixels.shape[1], pixels.shape[0]))
        except DataError as error:
            raise ImageError(path or None, str(error)) from error
        if faces:
            vectors = self.embedder.embed(pixels, faces)
        else:
            vectors = np.zeros((0, int(self.embedder.contract["dimensions"])), np.float32)
        return FaceObservation(path, hashlib.sha256(data).hexdigest(), len(found), tuple(faces), vectors)

    def look_each(
        self,
        photos: Sequence[Source],
        rule: FaceSelection,
        *,
        progress: Progress | None = None,
    ) -> Iterator[FaceObservation | ImageError]:
        """As `look`, of many photos, in their order; an ImageError for an unreadable one."""

        def attempt(photo: Source) -> FaceObservation | ImageError:
            try:
                return self.look(photo, rule)
            except ImageError as error:
                return error

        workers = self.threads or cpu_count()
        with ThreadPoolExecutor(workers) as pool:
            for done, seen in enumerate(_in_order(pool, workers, attempt, photos), 1):
                if progress:
                    progress(done, len(photos))
                yield seen

    def embed_one(
        self,
        photos: Sequence[Path],
        rule: FaceSelection,
        *,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
        """Embedding of one face of each photo.

        Returns
        -------
        vectors : float32 ndarray (n, D)
            NaN where there is none.
        failed : list of (int, str)
            Rows without one, and why.
        """
        vectors = np.full((len(photos), int(self.embedder.contract["dimensions"])), np.nan, np.float32)
        failed = []
        for row, seen in enumerate(self.look_each(photos, rule, progress=progress)):
            if isinstance(seen, ImageError):
                failed.append((row, seen.reason))
            elif not seen.faces:
                failed.append((row, "no face was found"))
            else:
                vectors[row] = seen.vectors[0]
        return vectors, failed


def default_pipeline(
    detector: str = "mtcnn",
    embedder: str | os.PathLike[str] = "dlib",
    *,
    threads: int | None = None,
    commercial_safe: bool = False,
) -> FacePipeline:
    """Detector and embedder by name or path, a photo to a processor rather than all for one after the other.

    Raises UnknownNameError, MissingExtraError, WeightsError or DataError as `FaceDetector` and `FaceEmbedder`
    do.
    """
    return FacePipeline(
        FaceDetector(detector, threads=1),
        FaceEmbedder(embedder, threads=1, commercial_safe=commercial_safe),
        threads,
    )


def _in_order(
    pool: ThreadPoolExecutor,
    workers: int,
    work: Callable[[Source], FaceObservation | ImageError],
    items: Iterable[Source],
) -> Iterator[FaceObservation | ImageError]:
    """Like `pool.map`, but with only a few photos under way, so that Ctrl-C is quick and memory flat."""
    pending = iter(items)
    running: list[Future[FaceObservation | ImageError]] = [
        pool.submit(work, item) for item in islice(pending, 2 * workers)
    ]
    try:
        while running:
            result = running.pop(0).result()
            running += [pool.submit(work, item) for item in islice(pending, 1)]
            yield result
    finally:
        for future in running:
            future.cancel()
