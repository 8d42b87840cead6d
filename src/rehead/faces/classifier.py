"""FaceClassifier: a linear head on face embeddings, for a closed circle of people."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone, FeatureLevel
from ..backbones.features import Features
from ..classification.estimator import ImageClassifier
from ..core.parallel import map_in_order
from ..core.progress import Progress
from ..core.runtime import open_session
from ..data import perceptual_hash
from ..errors import ImageError
from ..images import PreprocessSpec, load_image, read_bytes, read_image
from .types import Detector, Embedder, Face, FaceSelection, Photo, choose

__all__ = ["FaceClassifier", "GraphEmbedder", "select_face"]

_HASHED = PreprocessSpec(size=64, mean=(0, 0, 0), std=(1, 1, 1))  # twice the side that the hash looks at


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
    pixels: NDArray[np.uint8], detector: Detector, rule: FaceSelection, path: str | None
) -> tuple[Face, int]:
    """The face that is meant in a photo, and how many there are; ImageError where there is none."""
    found = detector.detect(pixels)
    chosen = choose(found, rule, (pixels.shape[1], pixels.shape[0]))
    if not chosen:
        raise ImageError(path, "no face was found")
    return chosen[0], len(found)


class FaceClassifier(ImageClassifier):
    """Name people on photos with one face each, from a few photos of each of them.

    It answers one of the people it was trained on, or, in a saved model, "unknown". Where people come and
    go, or strangers are the rule, a `FaceGallery` is the better choice.

    Embeddings are kept in memory only, never in rehead's cache: they tell who somebody is.

    Parameters
    ----------
    detector : str or Detector
        "mtcnn", "dlib" or "haar".
    embedder : str, path or GraphEmbedder
        "dlib", or an ONNX file with its record beside it.
    rule : {"centre", "largest", "error"}
        Which of several faces is meant: by default the largest near the middle.
    commercial_safe : bool
        Refuse a named embedder as `FaceEmbedder` does.
    mirror : "auto" or bool
        Whether to train on mirrored faces too, if cross-validation finds that they help.
    class_weight, cv, coverage, random_state, strict, threads, progress
        As in `ImageClassifier`.

    Attributes
    ----------
    several_faces_ : list of (str, int)
        Photos that were trained on though they show several faces, and how many.
    """

    kind = "face-classifier"

    def __init__(
        self,
        detector: str | Detector = "mtcnn",
        embedder: str | os.PathLike[str] | GraphEmbedder = "dlib",
        *,
        rule: FaceSelection = "centre",
        commercial_safe: bool = False,
        mirror: Literal["auto"] | bool = "auto",
        class_weight: Literal["balanced"] | None = None,
        cv: int = 5,
        coverage: float = 0.95,
        random_state: int = 0,
        strict: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(
            "faces",
            mirror=mirror,
            class_weight=class_weight,
            cv=cv,
            coverage=coverage,
            random_state=random_state,
            strict=strict,
            threads=threads,
            progress=progress,
        )
        self.detector = detector
        self.embedder = embedder
        self.rule = rule
        self.commercial_safe = commercial_safe

    # what it looks with

    def _parts(self) -> tuple[Detector, GraphEmbedder]:
        """Detector and embedder, made once."""
        asked = (self.detector, self.embedder, self.commercial_safe)
        if self.__dict__.get("_made_for") != asked:
            rows: dict[Path, _Row] = {}
            self._made_for, self._rows = asked, rows
            self._made = (
                _detector(self.detector),
                _embedder(self.embedder, commercial_safe=self.commercial_safe),
            )
        made: tuple[Detector, GraphEmbedder] = self._made
        return made

    def network(self) -> Backbone:
        """The embedder, as a backbone with one depth."""
        _, embedder = self._parts()
        contract = embedder.contract
        size, width = int(contract["size"]), int(contract["dimensions"])
        weights = {name: contract[name] for name in ("name", "sha256", "licences") if name in contract}
        import onnx

        output = onnx.load_from_string(embedder.graph).graph.output[0].name
        return Backbone(
            str(contract["name"]),
            PreprocessSpec(size=size, mean=(0, 0, 0), std=(1, 1, 1)),
            (FeatureLevel(output, width),),
            weights,
            embedder.graph,
        )

    def extract(self, paths: Sequence[Path], network: Backbone, *, mirror: bool = False) -> Features:
        """Embeddings of the faces of photos; a photo without a face is among the errors."""
        rows = self._seen_in(paths)
        plain = np.full((len(rows), network.levels[0].width), np.nan, np.float32)
        views = [plain] + ([plain.copy()] if mirror else [])
        there = [n for n, row in enumerate(rows) if row.crop is not None]
        if there:
            crops = np.stack([crop for row in rows if (crop := row.crop) is not None])
            for view, pictures in zip(views, (crops, crops[:, :, ::-1]), strict=False):
                view[there] = self._embedded(pictures, network)
        return Features(
            views[0],
            views[1] if mirror else None,
            tuple(row.digest for row in rows),
            np.array([row.hash for row in rows], np.uint64),
            tuple((n, row.error) for n, row in enumerate(rows) if row.error is not None),
            len(there),
        )

    def _seen_in(self, paths: Sequence[Path]) -> list[_Row]:
        """Find the face of each photo; each is looked at once."""
        detector, embedder = self._parts()
        seen = self._rows
        new = [path for path in dict.fromkeys(paths) if path not in seen]

        def look(path: Path) -> _Row:
            digest = ""
            try:
                data = read_bytes(path)
                digest = hashlib.sha256(data).hexdigest()
                pixels = read_image(data)
                code = perceptual_hash(load_image(data, _HASHED))
                face, found = select_face(pixels, detector, self.rule, None)
                return _Row(digest, code, embedder.aligned(pixels, [face])[0], found, None)
            except (ImageError, ValueError) as error:
                reason = error.reason if isinstance(error, ImageError) else str(error)
                return _Row(digest, np.uint64(0), None, 0, ImageError(path, reason))

        found = map_in_order(look, new, threads=self.threads)
        for done, (path, row) in enumerate(zip(new, found, strict=True), 1):
            seen[path] = row
            if self.progress:
                self.progress(done, len(new))
        return [seen[path] for path in paths]

    def _embedded(self, crops: NDArray[np.uint8], network: Backbone) -> NDArray[np.float32]:
        session = open_session(network.trunk, threads=1)

        def embed(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
            vector: NDArray[np.float32] = session.run(None, {"image": np.ascontiguousarray(crop[None])})[0]
            return vector

        return np.concatenate(list(map_in_order(embed, crops, threads=self.threads)))

    def pixels(self, paths: Sequence[Path], network: Backbone) -> NDArray[np.uint8]:  # noqa: ARG002
        """The aligned faces of photos, uint8 (n, S, S, 3) RGB; ImageError where there is none."""
        rows = self._seen_in(paths)
        for row in rows:
            if row.error is not None:
                raise row.error
        return np.stack([crop for row in rows if (crop := row.crop) is not None])

    # what it says of itself

    def _warnings(self, fold: NDArray[np.intp]) -> list[str]:
        warnings = super()._warnings(fold)
        self.several_faces_ = [
            (str(path), row.found) for path in self._files if (row := self._rows[path]).found > 1
        ]
        if self.several_faces_:
            names = ", ".join(Path(path).name for path, _ in self.several_faces_[:5])
            more = " and others" if len(self.several_faces_) > 5 else ""
            warnings.append(
                f"{len(self.several_faces_)} photos that were trained on show several faces; the one that "
                f"the rule '{self.rule}' names was taken: {names}{more}."
            )
        return warnings

    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write the model file: one ONNX from the aligned face to the person, and how faces are aligned."""
        _, embedder = self._parts()
        faces = {
            "detector": self.detector if isinstance(self.detector, str) else "another",
            "rule": self.rule,
            "embedder": dict(embedder.contract),
        }
        super().save(path, extra={"faces": faces, **(extra or {})})


def _detector(named: str | Detector) -> Detector:
    if not isinstance(named, str):
        return named
    from . import FaceDetector

    return FaceDetector(named, threads=1)


def _embedder(named: str | os.PathLike[str] | GraphEmbedder, *, commercial_safe: bool) -> GraphEmbedder:
    if not isinstance(named, str | os.PathLike):
        return named
    from . import FaceEmbedder

    return FaceEmbedder(named, threads=1, commercial_safe=commercial_safe)
