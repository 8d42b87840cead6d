"""FaceEncoder: the face of each photo becomes the features that a classifier's head takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from ..backbones import graphs
from ..backbones.backbone import Backbone, FeatureLevel
from ..backbones.features import Features
from ..core.estimator import Estimator
from ..core.options import check_options
from ..core.parallel import map_in_order
from ..core.photos import File
from ..core.progress import Progress, tracked
from ..core.runtime import open_session
from ..data import photo_hash
from ..data.inputs import photo_names
from ..errors import ImageError
from ..images import PreprocessSpec, read_bytes, read_image
from .detection.detector import FaceDetector
from .embedding.embedder import FaceEmbedder
from .options import FaceOptions
from .types import Detector, Embedder, Face, FaceSelection, Photo, select_faces

__all__ = ["KIND", "FaceEncoder", "GraphEmbedder", "select_face"]

KIND = "face-classifier"
"""What the model file of a classifier on faces calls itself."""


class GraphEmbedder(Embedder, Protocol):
    """An embedder whose network can go into a model file."""

    @property
    def graph(self) -> bytes:
        """Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to one output, float32 (N, D), of length one."""
        ...

    def aligned(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.uint8]:
        """What the network gets of faces, (n, S, S, 3)."""
        ...


@dataclass(frozen=True)
class _Row:
    """What is known of one photo."""

    digest: str
    hash: np.uint64
    crop: NDArray[np.uint8] | None
    found: int
    error: ImageError | None


def select_face(
    pixels: NDArray[np.uint8], detector: Detector, selection: FaceSelection, photo: File | None
) -> tuple[Face, int]:
    """The face that is meant in a photo, and how many there are; ImageError where there is none."""
    found = detector.detect(pixels)
    chosen = select_faces(found, selection, (pixels.shape[1], pixels.shape[0]))
    if not chosen:
        raise ImageError(photo, "no face was found")
    return chosen[0], len(found)


@dataclass(kw_only=True, repr=False, eq=False)
class FaceEncoder(FaceOptions, Estimator):
    """Name people on photos with one face each: `ImageClassifier(encoder=FaceEncoder())`.

    The classifier answers one of the people it was trained on, or, in a saved model, "unknown". Where people
    come and go, or strangers are the rule, a `FaceGallery` is the better choice.

    Embeddings are kept in memory only, never in rehead's cache: they tell who somebody is.

    Parameters
    ----------
    detector : str or Detector
        "mtcnn", "yunet", "dlib", "dlib-cnn" or "haar".
    embedder : str, path or GraphEmbedder
        "dlib", or an ONNX file with its record beside it.
    selection : {"centre", "largest", "error"}
        Which of several faces is meant: by default the largest near the middle.
    commercial_safe : bool
        Refuse a named embedder as `FaceEmbedder` does.
    """

    kind = KIND

    # what it encodes with; made once, when first needed

    @cached_property
    def _detector(self) -> Detector:
        check_options(self)
        return FaceDetector(self.detector, threads=1) if isinstance(self.detector, str) else self.detector

    @cached_property
    def _embedder(self) -> GraphEmbedder:
        if hasattr(self.embedder, "aligned"):
            return self.embedder  # type: ignore[return-value]
        named = cast("str | os.PathLike[str]", self.embedder)
        return FaceEmbedder(named, threads=1, commercial_safe=self.commercial_safe)

    @cached_property
    def _rows(self) -> dict[File, _Row]:
        return {}

    def __sklearn_clone__(self) -> FaceEncoder:
        return FaceEncoder(**self.get_params(deep=False))

    def set_params(self, **params: Any) -> Self:
        """As scikit-learn's; what was made or seen by other options is forgotten."""
        for name in ("_detector", "_embedder", "_rows", "backbone"):
            self.__dict__.pop(name, None)
        super().set_params(**params)
        return self

    @cached_property
    def backbone(self) -> Backbone:
        """The embedder, as a backbone with one level."""
        embedder = self._embedder
        spec = embedder.embedding_spec
        size, width = int(spec["size"]), int(spec["dimensions"])
        weights = {name: spec[name] for name in ("name", "sha256", "licences") if name in spec}
        output = graphs.load(embedder.graph).graph.output[0].name
        return Backbone(
            str(spec["name"]),
            PreprocessSpec(size=size, mean=(0, 0, 0), std=(1, 1, 1)),
            (FeatureLevel(output, width),),
            weights,
            embedder.graph,
        )

    def extract(
        self,
        paths: Sequence[File],
        *,
        mirror: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Features:
        """Embeddings of the faces of photos; a photo without a face is among the errors."""
        rows = self._faces_of(paths, threads, progress)
        plain, mirrored = np.full((2, len(rows), self.backbone.levels[0].width), np.nan, np.float32)
        there = [n for n, row in enumerate(rows) if row.crop is not None]
        if there:
            crops = np.stack([crop for row in rows if (crop := row.crop) is not None])
            plain[there] = self._embedded(crops, threads)
            if mirror:
                mirrored[there] = self._embedded(crops[:, :, ::-1], threads)
        return Features(
            plain,
            mirrored if mirror else None,
            tuple(row.digest for row in rows),
            np.array([row.hash for row in rows], np.uint64),
            tuple((n, row.error) for n, row in enumerate(rows) if row.error is not None),
            len(there),
        )

    def _faces_of(
        self, paths: Sequence[File], threads: int | None = None, progress: Progress | None = None
    ) -> list[_Row]:
        """Find the face of each photo; each is read once."""
        rows = self._rows
        new = [path for path in dict.fromkeys(paths) if path not in rows]
        detector, embedder = self._detector, self._embedder

        def find(path: File) -> _Row:
            digest = ""
            try:
                data = read_bytes(path)
                digest = hashlib.sha256(data).hexdigest()
                pixels = read_image(data)
                code = photo_hash(data)
                face, found = select_face(pixels, detector, self.selection, None)
                return _Row(digest, code, embedder.aligned(pixels, [face])[0], found, None)
            except (ImageError, ValueError) as error:
                reason = error.reason if isinstance(error, ImageError) else str(error)
                return _Row(digest, np.uint64(0), None, 0, ImageError(path, reason))

        found = map_in_order(find, new, threads=threads)
        for path, row in tracked(zip(new, found, strict=True), len(new), progress, "Detecting faces"):
            rows[path] = row
        return [rows[path] for path in paths]

    def _embedded(self, crops: NDArray[np.uint8], threads: int | None) -> NDArray[np.float32]:
        session = open_session(self.backbone.trunk, threads=1, of=self.backbone.name)

        def embed(crop: NDArray[np.uint8]) -> Any:
            return session.run(None, {"image": np.ascontiguousarray(crop[None])})[0]

        return np.concatenate(list(map_in_order(embed, crops, threads=threads)))

    def pixels(self, paths: Sequence[File]) -> NDArray[np.uint8]:
        """The aligned faces of photos, uint8 (n, S, S, 3) RGB; ImageError where there is none."""
        rows = self._faces_of(paths)
        for row in rows:
            if row.error is not None:
                raise row.error
        return np.stack([crop for row in rows if (crop := row.crop) is not None])

    # what it says of itself

    def manifest(self) -> Mapping[str, Any]:
        """How faces are found and aligned, for the model file."""
        return {
            "faces": {
                "detector": self.detector if isinstance(self.detector, str) else "another",
                "rule": self.selection,
                "embedder": dict(self._embedder.embedding_spec),
            }
        }

    def several_faces(self, paths: Sequence[File]) -> list[tuple[str, int]]:
        """Those photos that show several faces, and how many."""
        return [
            (name, row.found)
            for name, path in zip(photo_names(paths), paths, strict=True)
            if (row := self._rows[path]).found > 1
        ]

    def warnings(self, paths: Sequence[File]) -> list[str]:
        """Say which photos show several faces."""
        several = self.several_faces(paths)
        if not several:
            return []
        names = ", ".join(Path(path).name for path, _ in several[:5])
        more = " and others" if len(several) > 5 else ""
        return [
            f"{len(several)} photos that were trained on show several faces; the one that the selection "
            f"'{self.selection}' names was taken: {names}{more}."
        ]
