"""Face embedders: faces to embeddings of length 1, those of one person near each other.

An embedder has a name, or is any ONNX file with a JSON spec beside it. All that its embeddings depend on
is its embedding spec, which a gallery keeps with its templates.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backbones.weights import faces as face_files
from ...backbones.weights import locate
from ...backbones.weights.onnx_file import read_onnx
from ...core.cache import cached_graph
from ...core.preprocess import PreprocessSpec
from ...core.runtime import cpu_count, open_session
from ...core.text import first_line
from ...errors import DataError, ReheadError, UnknownNameError, WeightsError
from ..types import Face, Photo, pixels_of
from . import facenet
from .alignment import DLIB, DLIB_SIZE, aligned_faces
from .spec import EmbedderSpec, read_spec

__all__ = ["EMBEDDERS", "PERMISSIVE", "FaceEmbedder"]

_GRAPH_VERSION = 3  # raised when `graphs` builds another graph from the same weights

EMBEDDERS = ("dlib",)
"""Names of the embedders whose weights a package carries, the default first."""

PERMISSIVE = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "Unlicense"}
)
"""SPDX identifiers of licences that allow commercial use of code and weights."""

_DLIB = EmbedderSpec(
    preprocess=PreprocessSpec(
        # dlib/dnn/input.h: input_rgb_image_sized; applied inside graphs.dlib_resnet
        size=DLIB_SIZE,
        mean=(122.782, 117.001, 104.298),
        std=(256.0, 256.0, 256.0),
    ),
    alignment_template=DLIB,
    # LFW, 600 pairs: 99.2 % instead of 98.7 %, for twice the time (benchmarks/faces.py)
    mirrored=True,
)


@dataclass(frozen=True, eq=False)
class _Network:
    """The network of an embedder, what is known of it, and what errors call it."""

    name: str
    sha256: str
    spec: EmbedderSpec
    where: str
    build: Callable[[], Any]


class FaceEmbedder:
    """Maps faces to embeddings of length 1; those of one person lie near each other.

    Parameters
    ----------
    name : str or path
        "dlib" (128 dimensions, the default); an ONNX file, with its spec in the JSON file of its name or in
        `spec`; or a file with FaceNet's weights: a state dict of facenet-pytorch (.pt, .pth) or a Keras
        file (.h5), of 128 or 512 dimensions, see `facenet.SPECS`.
    spec : path or EmbedderSpec, optional
        What the network of a file takes.
    weights : path, optional
        File with the weights of a named embedder.
    commercial_safe : bool
        Refuse what is not stated to be free for commercial use, by the licences of code and weights.
        The terms of the photos that the weights were trained on are reported, not judged.
    threads : int, optional
        Processors that one call may use, all by default.

    Attributes
    ----------
    embedding_spec : dict
        All that an embedding depends on, see `types.Embedder`.
    graph : bytes
        Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to `embedding` float32 (N, D), of length 1.

    Raises
    ------
    UnknownNameError, WeightsError, DataError
    """

    def __init__(
        self,
        name: str | os.PathLike[str] = "dlib",
        *,
        spec: EmbedderSpec | str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        commercial_safe: bool = False,
        threads: int | None = None,
    ) -> None:
        suffix = Path(name).suffix.lower()
        if suffix == ".onnx":
            network = _onnx(Path(name), spec)
        elif suffix in facenet.SUFFIXES:
            network = _facenet(Path(name), spec)
        elif name in EMBEDDERS:
            network = _dlib(weights)
        elif name == "facenet":
            raise WeightsError(facenet.WANTED)
        else:
            files = f"a file ending in {', '.join((*facenet.SUFFIXES, '.onnx'))}"
            raise UnknownNameError("face embedder", os.fspath(name), [*EMBEDDERS, files])
        if commercial_safe:
            _check_licences(network)
        self._spec = network.spec
        key = {"graph": _GRAPH_VERSION, "sha256": network.sha256, "record": network.spec.to_dict()}
        self.graph = cached_graph(key, lambda: _unit_vectors(network))
        self._session = open_session(self.graph, threads=threads or cpu_count(), of=network.name)
        self.embedding_spec: dict[str, Any] = {
            "name": network.name,
            "sha256": network.sha256,
            "dimensions": int(self._session.get_outputs()[0].shape[1]),
            **network.spec.to_dict(),
            "licences": dict(network.spec.licences),
        }

    def aligned(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.uint8]:
        """Aligned faces, the network's input: uint8 (n, S, S, 3) RGB, warped by their five points."""
        size, template = self._spec.preprocess.size, self._spec.alignment_template
        if not faces:
            return np.empty((0, size, size, 3), np.uint8)
        return aligned_faces(pixels_of(photo), faces, template, size)

    def embed(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.float32]:
        """Embeddings of the faces of a photo.

        Parameters
        ----------
        photo : photo of any kind that `core.photos` lists
            As it was given to the detector.
        faces : sequence of Face

        Returns
        -------
        float32 array of shape (n, D)
            Each of length 1: similarity is the scalar product, -1..1.

        Raises
        ------
        ImageError
            The photo cannot be read.
        """
        return self.embed_aligned(self.aligned(photo, faces))

    def embed_aligned(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings (n, D) of aligned faces, uint8 (n, S, S, 3) RGB."""
        vectors = np.empty((len(squares), self.embedding_spec["dimensions"]), np.float32)
        # one at a time, as `features` does: its activations stay in the processor's cache
        for n in range(len(squares)):
            vectors[n] = self._session.run(None, {"image": squares[n : n + 1]})[0][0]
        return vectors


def _unit_vectors(network: _Network) -> bytes:
    from ...backbones.graphs import face_embedder

    model = face_embedder.unit_vectors(network.build(), mirrored=network.spec.mirrored, name=network.where)
    return bytes(model.SerializeToString(deterministic=True))


def _dlib(weights: str | os.PathLike[str] | None) -> _Network:
    file = face_files.get("dlib_resnet")
    path = locate.locate(file, file=weights)

    def build() -> Any:
        from ...backbones.graphs import dlib_resnet
        from ...backbones.weights.dlib_dat import read_layers

        return dlib_resnet.embedder(read_layers(path))

    return _Network("dlib", file.sha256, replace(_DLIB, licences=file.licences), file.name, build)


def _onnx(path: Path, spec: EmbedderSpec | str | os.PathLike[str] | None) -> _Network:
    """A user's own network."""
    data, digest = read_onnx(path)
    known = _spec_beside(path, spec)

    def build() -> Any:
        from ...backbones import graphs

        try:
            open_session(data, threads=1)  # onnx's own checker also refuses outputs without a shape
            model = graphs.load(data)
            return graphs.wrap(model, known.preprocess, str(path), prewhitened=known.prewhitened)
        except ReheadError:
            raise
        except Exception as error:  # protobuf, the checker and shape inference raise anything
            raise WeightsError(f"{path}: not a valid ONNX file ({first_line(error)})") from error

    return _Network(path.name, digest, known, str(path), build)


def _facenet(path: Path, spec: EmbedderSpec | str | os.PathLike[str] | None) -> _Network:
    """FaceNet's network with the weights of a file."""
    weights = facenet.read(path)
    if spec is None and not path.with_suffix(".json").is_file():
        spec = facenet.spec_of(weights, str(path))
    known = facenet.check_spec(_spec_beside(path, spec), path)

    def build() -> Any:
        from ...backbones.graphs import inception_resnet_v1

        return inception_resnet_v1.embedder(
            weights, known.preprocess, prewhitened=known.prewhitened, name=str(path)
        )

    return _Network(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), known, str(path), build)


def _spec_beside(path: Path, spec: EmbedderSpec | str | os.PathLike[str] | None) -> EmbedderSpec:
    """The spec given, else that of its file, which is by default the one beside the network's."""
    if isinstance(spec, EmbedderSpec):
        return spec
    return read_spec(path.with_suffix(".json") if spec is None else spec, of=path)


def _check_licences(network: _Network) -> None:
    for part in ("code", "weights"):
        licence = network.spec.licences.get(part, "not stated")
        if licence not in PERMISSIVE:
            raise DataError(
                f"face embedder {network.name}: the licence of its {part} is {licence!r}, and only "
                f"{', '.join(sorted(PERMISSIVE))} count as free for commercial use; choose another embedder, "
                "or leave commercial_safe out"
            )
