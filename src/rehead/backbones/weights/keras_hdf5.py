"""Keras weight files (HDF5), read by h5py: arrays only, no model and no code is built from them.

A file that `model.save_weights` wrote has a group for every layer; one that `model.save` wrote has the same
groups below "model_weights". The layout is that of Keras' `saving/legacy/hdf5_format.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.text import first_line
from ...errors import MissingExtraError, WeightsError

__all__ = ["is_hdf5", "read_keras_arrays"]

_MAX_DEPTH = 8  # a layer's weights lie in "model_weights/layer/layer/kernel:0"; nested models add two each
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file begins as HDF5 files do; WeightsError where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError as error:
        raise WeightsError(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from error


def read_keras_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of a Keras file.

    Returns
    -------
    dict of str to ndarray
        "layer/weight", such as "Conv2d_1a_3x3/kernel", to its array.

    Raises
    ------
    MissingExtraError
        h5py is not installed.
    WeightsError
        The file cannot be read, is damaged, or holds something else than arrays of numbers.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            f"{os.fspath(path)}: Keras files need another package: pip install h5py"
        ) from error
    size = Path(path).stat().st_size if is_hdf5(path) else 0
    found: dict[str, NDArray[Any]] = {}

    def collect(place: str, item: Any) -> None:
        if place.count("/") > _MAX_DEPTH:
            raise ValueError("its groups are deeper in each other than those of Keras")
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise ValueError(f"{place} is to be read from other files")
        layer, _, rest = place.partition("/")
        name = f"{layer}/{rest.rpartition('/')[2].partition(':')[0]}"  # "conv/conv/kernel:0"
        if item.dtype.kind != "f" or item.size * item.dtype.itemsize > size:
            raise ValueError(f"{place} is no array of numbers that the file could hold")
        if name in found:
            raise ValueError(f"two arrays are called {name}")
        found[name] = np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            # nor may the weights be a link to another file; visititems follows none
            linked = isinstance(file.get("model_weights", getlink=True), h5py.ExternalLink | h5py.SoftLink)
            (file if linked else file.get("model_weights", file)).visititems(collect)
    except Exception as error:  # h5py raises what it likes
        raise WeightsError(
            f"{os.fspath(path)}: is damaged or no Keras weight file ({first_line(error)})"
        ) from error
    return found
