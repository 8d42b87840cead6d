"""FaceNet's published weights: which file is whose, and what its network takes.

No package carries them. The networks of davidsandberg/facenet (code MIT) are published in two forms: as
state dicts by facenet-pytorch, and as Keras files. Its README says how they were trained: those of 2017,
with 128 dimensions, on photos standardised to mean 0 and standard deviation 1 each ("prewhitened"); those of
2018, with 512 dimensions, on (x - 127.5) / 128 ("fixed image standardization").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...core.preprocess import PreprocessSpec
from ...errors import DataError
from .alignment import FACENET, FACENET_SIZE
from .spec import EmbedderSpec

__all__ = ["SPECS", "SUFFIXES", "WANTED", "check_spec", "read", "spec_of"]

Arrays = Mapping[str, NDArray[Any]]

SUFFIXES = (".pt", ".pth", ".h5", ".hdf5")
"""Suffixes of files that are taken for FaceNet's weights."""

WANTED = (
    "face embedder facenet: no package carries its weights; give their file instead, such as "
    "20180402-114759-vggface2.pt (512 numbers, github.com/timesler/facenet-pytorch) or facenet_keras.h5 "
    "(128 numbers, github.com/nyoki-mtl/keras-facenet)"
)


def _spec(*, prewhitened: bool) -> EmbedderSpec:
    mean, std = (0.0, 1.0) if prewhitened else (127.5, 128.0)
    return EmbedderSpec(
        PreprocessSpec(size=FACENET_SIZE, mean=(mean,) * 3, std=(std,) * 3),
        alignment_template=FACENET,
        prewhitened=prewhitened,
        licences={"code": "MIT", "weights": "not stated", "data": "not stated"},
    )


SPECS: Mapping[int, EmbedderSpec] = {128: _spec(prewhitened=True), 512: _spec(prewhitened=False)}
"""What the published networks take, by the dimensions of their embeddings."""


def read(path: Path) -> Arrays:
    """The weights of a file, by the names of facenet-pytorch's state dict; all are compared with the network.

    Raises
    ------
    WeightsError
        The file cannot be read or is of another network; the message lists what is missing or left over.
    MissingExtraError
        A Keras file, and h5py is not installed.
    """
    from ...backbones.graphs import inception_resnet_v1
    from ...backbones.weights.keras_hdf5 import is_hdf5, read_keras_arrays
    from ...backbones.weights.torch_checkpoint import read_state_dict

    if is_hdf5(path):
        return inception_resnet_v1.from_keras(read_keras_arrays(path), str(path))
    arrays = read_state_dict(path)
    inception_resnet_v1.dimensions_of(arrays, str(path))
    return arrays


def spec_of(arrays: Arrays, name: str) -> EmbedderSpec:
    """The spec of the published network of these weights; DataError where none has as many dimensions."""
    dimensions = len(arrays["last_linear.weight"])
    if dimensions not in SPECS:
        raise DataError(
            f"{name}: embeddings of {dimensions} numbers are none of the published networks', which have "
            f"{' or '.join(map(str, SPECS))}; how faces are preprocessed must be given in a spec"
        )
    return SPECS[dimensions]


def check_spec(spec: EmbedderSpec, path: Path) -> EmbedderSpec:
    """The spec itself; DataError where the network cannot take it: it needs RGB and 75 pixels or more."""
    preprocess = spec.preprocess
    if preprocess.channels != "RGB" or preprocess.layout != "NCHW" or preprocess.size < _LEAST:
        raise DataError(
            f"{path}: its spec must have RGB, NCHW and a size of {_LEAST} or more, as FaceNet's network "
            f"takes them, not {preprocess.channels}, {preprocess.layout} and {preprocess.size}"
        )
    return spec


_LEAST = 75  # pixels; of less, the last reduction leaves nothing
