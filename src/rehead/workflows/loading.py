"""Model files of every kind of classifier, opened."""

from __future__ import annotations

import os
from pathlib import Path

from ..classification.predictor import Predictor
from ..core.model_file import read_model_file

__all__ = ["open_model"]


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
    file = read_model_file(Path(path))
    if file.manifest["kind"] == "face-classifier":
        from ..faces.predictor import FacePredictor

        return FacePredictor(file, threads=threads)
    return Predictor(file, threads=threads)
