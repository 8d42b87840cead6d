"""From a photo to the embeddings of its faces: detect, select, embed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.parallel import map_in_order
from ..core.photos import Photo, as_file, name_of
from ..core.progress import Progress, tracked
from ..errors import DataError, ImageError
from ..images import read_bytes, read_image
from .detection.detector import FaceDetector
from .embedding.embedder import FaceEmbedder
from .types import Detector, Embedder, Face, FaceSelection, select_faces

__all__ = ["FaceObservation", "FacePipeline", "default_pipeline"]


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """The faces of a photo, with their embeddings.

    Parameters
    ----------
    path : str
        Of the photo, "" where it was given otherwise.
    sha256 : str
        Of its bytes, in hex.
    found : int
        Faces detected.
    faces : tuple of Face
        Faces selected; none where none was detected.
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
        Photos to analyze at once, one for each processor by default.
    """

    detector: Detector
    embedder: Embedder
    threads: int | None = None

    def analyze(self, photo: Photo, selection: FaceSelection) -> FaceObservation:
        """Detect, select and embed the faces of one photo.

        Raises
        ------
        ImageError
            The photo is unreadable, has several faces and the selection is "error", or its embedding is not
            finite.
        """
        file = as_file(photo)
        data = read_bytes(file)
        try:
            pixels = read_image(data)
        except ImageError as error:
            raise ImageError(file, error.reason) from error
        found = self.detector.detect(pixels)
        try:
            faces = select_faces(found, selection, (pixels.shape[1], pixels.shape[0]))
        except DataError as error:
            raise ImageError(file, str(error)) from error
        if faces:
            vectors = self.embedder.embed(pixels, faces)
            if not np.isfinite(vectors).all():
                raise ImageError(file, "the embedder gave no finite numbers for a face")
        else:
            vectors = np.zeros((0, int(self.embedder.embedding_spec["dimensions"])), np.float32)
        return FaceObservation(
            name_of(file), hashlib.sha256(data).hexdigest(), len(found), tuple(faces), vectors
        )

    def analyze_each(
        self,
        photos: Sequence[Photo],
        selection: FaceSelection,
        *,
        need_face: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[FaceObservation | ImageError]:
        """As `analyze`, of many photos, in their order; an ImageError for an unreadable one.

        With `need_face`, one for a photo without a face as well.
        """

        def attempt(photo: Photo) -> FaceObservation | ImageError:
            try:
                observation = self.analyze(photo, selection)
            except ImageError as error:
                return error.bare()
            if need_face and not observation.faces:
                return ImageError(observation.path or None, "no face was found")
            return observation

        found = map_in_order(attempt, photos, threads=self.threads)
        yield from tracked(found, len(photos), progress, "Detecting faces")

    def embed_one(
        self,
        photos: Sequence[Path],
        selection: FaceSelection,
        *,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
        """Embedding of one face of each photo.

        Returns
        -------
        vectors : float32 ndarray (n, D)
            NaN where there is none.
        failed : list of (int, str)
            Rows without a face, and why.
        """
        vectors = np.full((len(photos), int(self.embedder.embedding_spec["dimensions"])), np.nan, np.float32)
        failed = []
        results = self.analyze_each(photos, selection, need_face=True, progress=progress)
        for row, result in enumerate(results):
            if isinstance(result, ImageError):
                failed.append((row, result.reason))
            else:
                vectors[row] = result.vectors[0]
        return vectors, failed


def default_pipeline(
    detector: str = "mtcnn",
    embedder: str | os.PathLike[str] = "dlib",
    *,
    threads: int | None = None,
    commercial_safe: bool = False,
) -> FacePipeline:
    """Detector and embedder by name or path, of one thread each: photos run in parallel instead.

    Raises UnknownNameError, MissingExtraError, WeightsError or DataError as `FaceDetector` and `FaceEmbedder`
    do.
    """
    return FacePipeline(
        FaceDetector(detector, threads=1),
        FaceEmbedder(embedder, threads=1, commercial_safe=commercial_safe),
        threads,
    )
