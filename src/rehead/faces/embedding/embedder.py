"""Faces become vectors of length 1: the photos of one person near each other.

An embedder is known by name or is any ONNX file with a record beside it. All that its vectors depend on
is its contract; a gallery keeps the contract with every row.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backbones.weights import faces as face_files
from ...backbones.weights import locate
from ...core.cache import cached_graph
from ...core.geometry import similarity
from ...core.preprocess import PreprocessSpec
from ...core.runtime import cpu_count, open_session
from ...errors import DataError, UnknownNameError, WeightsError
from ...images import read_image, warped
from ..types import Face, Photo
from . import facenet
from .alignment import DLIB, DLIB_SIZE
from .spec import EmbedderRecord, read_record

__all__ = ["EMBEDDERS", "PERMISSIVE", "FaceEmbedder"]

_GRAPH_VERSION = 2  # raised when `graphs` builds another graph from the same weights

EMBEDDERS = ("dlib",)
"""Names of the embedders whose weights a package carries, the default first."""

PERMISSIVE = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "Unlicense"}
)
"""SPDX identifiers of licences that allow commercial use of code and weights."""

_DLIB = EmbedderRecord(
    preprocess=PreprocessSpec(
        # dlib/dnn/input.h: input_rgb_image_sized; applied inside graphs.dlib_resnet
        size=DLIB_SIZE,
        mean=(122.782, 117.001, 104.298),
        std=(256.0, 256.0, 256.0),
    ),
    template=DLIB,
    # LFW, 600 pairs: 99.2 % instead of 98.7 %, for twice the time (benchmarks/faces.py)
    mirrored=True,
    licences={},
)


@dataclass(frozen=True, eq=False)
class _Network:
    """What an embedder is made of."""

    name: str
    sha256: str
    record: EmbedderRecord
    licences: Mapping[str, str]
    build: Callable[[], Any]


class FaceEmbedder:
    """Brings faces into a space where one person's photos are near each other.

    Parameters
    ----------
    name : str or path
        "dlib" (128 numbers, the default); an ONNX file, with its record in the JSON file of its name or in
        `record`; or a file with FaceNet's weights: a state dict of facenet-pytorch (.pt, .pth) or a Keras
        file (.h5), of 128 or 512 numbers, see `facenet.RECORDS`.
    record : path or EmbedderRecord, optional
        How the network of a file is fed.
    weights : path, optional
        Take the weights of a named embedder from this file.
    commercial_safe : bool
        Refuse what is not stated to be free for commercial use, by the licences of code and weights.
        The terms of the photos that the weights were learned from are told beside them, not judged.
    threads : int, optional
        Processors that one call may use, all by default.

    Attributes
    ----------
    contract : dict
        All that an embedding depends on, see `face.Embedder`.
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
        record: EmbedderRecord | str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        commercial_safe: bool = False,
        threads: int | None = None,
    ) -> None:
        suffix = Path(name).suffix.lower()
        if suffix == ".onnx":
            network = _onnx(Path(name), record)
        elif suffix in facenet.SUFFIXES:
            network = _facenet(Path(name), record)
        elif name in EMBEDDERS:
            network = _dlib(weights)
        elif name == "facenet":
            raise WeightsError(facenet.WANTED)
        else:
            kinds = [f"a file ending in {', '.join((*facenet.SUFFIXES, '.onnx'))}"]
            raise UnknownNameError("face embedder", os.fspath(name), [*EMBEDDERS, *kinds])
        if commercial_safe:
            _check_licences(network)
        self._record = network.record
        described = {
            "graph": _GRAPH_VERSION,
            "sha256": network.sha256,
            "record": network.record.to_dict(),
        }
        self.graph = cached_graph(described, network.build)
        self._session = open_session(self.graph, threads=threads or cpu_count())
        self.contract: dict[str, Any] = {
            "name": network.name,
            "sha256": network.sha256,
            "dimensions": int(self._session.get_outputs()[0].shape[1]),
            **network.record.to_dict(),
            "licences": dict(network.licences),
        }

    def aligned(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.uint8]:
        """The squares that the network sees: uint8 (n, S, S, 3) RGB, by the five points of each face."""
        size, template = self._record.preprocess.size, self._record.template
        squares = np.empty((len(faces), size, size, 3), np.uint8)
        if faces:
            pixels = photo if isinstance(photo, np.ndarray) else read_image(photo)
            for n, face in enumerate(faces):
                squares[n] = warped(pixels, similarity(face.points, template), size)
        return squares

    def embed(self, photo: Photo, faces: Sequence[Face]) -> NDArray[np.float32]:
        """Embeddings of the faces of a photo.

        Parameters
        ----------
        photo : path, bytes or uint8 array (H, W, 3)
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
        """Embeddings (n, D) of squares that are aligned already: uint8 (n, S, S, 3) RGB."""
        dimensions = int(self._session.get_outputs()[0].shape[1])
        vectors = np.empty((len(squares), dimensions), np.float32)
        for n in range(len(squares)):  # one at a time, as `features` does: its maps stay in the cache
            vectors[n] = self._session.run(None, {"image": squares[n : n + 1]})[0][0]
        return vectors


def _dlib(weights: str | os.PathLike[str] | None) -> _Network:
    file = face_files.get("dlib_resnet")
    path = locate.locate(file, file=weights)

    def build() -> bytes:
        from ...backbones.graphs import dlib_resnet, face_embedder
        from ...backbones.weights.dlib_dat import read_layers

        network = dlib_resnet.embedder(read_layers(path))
        model = face_embedder.unit_vectors(network, mirrored=_DLIB.mirrored, name=file.name)
        return bytes(model.SerializeToString(deterministic=True))

    licences = {"code": file.code_licence, "weights": file.weights_licence, "data": file.data_licence}
    return _Network("dlib", file.sha256, _DLIB, licences, build)


def _onnx(path: Path, record: EmbedderRecord | str | os.PathLike[str] | None) -> _Network:
    """A user's own network."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(record, EmbedderRecord):
        record = read_record(path.with_suffix(".json") if record is None else record, of=path)
    known = record

    def build() -> bytes:
        import onnx

        from ...backbones import graphs
        from ...backbones.graphs import face_embedder

        try:
            model = onnx.load_from_string(data)
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf and the checker raise what they like
            raise WeightsError(f"{path}: not a valid ONNX file ({str(error).splitlines()[0]})") from error
        network = graphs.wrap(model, known.preprocess, str(path), prewhitened=known.prewhitened)
        whole = face_embedder.unit_vectors(network, mirrored=known.mirrored, name=str(path))
        return bytes(whole.SerializeToString(deterministic=True))

    sha256 = hashlib.sha256(data).hexdigest()
    return _Network(path.name, sha256, known, known.licences, build)


def _facenet(path: Path, record: EmbedderRecord | str | os.PathLike[str] | None) -> _Network:
    """FaceNet's network with the weights of a file."""
    weights = facenet.read(path)
    beside = path.with_suffix(".json")
    if record is None and not beside.is_file():
        record = facenet.record_of(weights, str(path))
    elif not isinstance(record, EmbedderRecord):
        record = read_record(beside if record is None else record, of=path)
    known = facenet.checked(record, path)

    def build() -> bytes:
        from ...backbones.graphs import face_embedder, inception_resnet_v1

        network = inception_resnet_v1.embedder(
            weights, known.preprocess, prewhitened=known.prewhitened, name=str(path)
        )
        model = face_embedder.unit_vectors(network, mirrored=known.mirrored, name=str(path))
        return bytes(model.SerializeToString(deterministic=True))

    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return _Network(path.name, sha256, known, known.licences, build)


def _check_licences(network: _Network) -> None:
    for part in ("code", "weights"):
        licence = network.licences.get(part, "not stated")
        if licence not in PERMISSIVE:
            raise DataError(
                f"face embedder {network.name}: the licence of its {part} is {licence!r}, and only "
                f"{', '.join(sorted(PERMISSIVE))} count as free for commercial use; choose another embedder, "
                "or leave commercial_safe out"
            )
