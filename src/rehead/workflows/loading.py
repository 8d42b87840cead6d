"""Model files of every kind, opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..classification.predictor import Predictor
from ..core.model_file import ModelFile, read_model_file
from ..core.predictor import BasePredictor

__all__ = ["open_any_model", "open_model"]


def open_model(path: str | os.PathLike[str], *, threads: int | None = None) -> Predictor:
    """Open a model file by what it says it is: a classifier of photos, or of faces.

    Parameters
    ----------
    path : path
    threads : int, optional
        Processors to use, all by default.

    Raises
    ------
    ModelFileError
        The file is not there, is something else, newer, or was altered.
    """
    return _classifier(read_model_file(Path(path)), threads)


def open_any_model(file: ModelFile, *, threads: int | None = None) -> BasePredictor[Any]:
    """Open what `read_model_file` gave, whatever its kind; raises as `open_model`."""
    if file.manifest["kind"] == "keypoints":
        from ..keypoints.predictor import KeypointPredictor

        return KeypointPredictor(file, threads=threads)
    return _classifier(file, threads)


def _classifier(file: ModelFile, threads: int | None) -> Predictor:
    if file.manifest["kind"] == "face-classifier":
        from ..faces.predictor import FacePredictor

        return FacePredictor(file, threads=threads)
    return Predictor(file, threads=threads)
