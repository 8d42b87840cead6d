"""Model files of every kind, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..predict import Predictor

__all__ = ["open_model"]


def open_model(path: Path, threads: int | None) -> Predictor:
    """Open a model file by what it says it is."""
    from ..modelfile import read_model_file
    from ..predict import Predictor

    file = read_model_file(path)
    if file.manifest["kind"] == "face-classifier":
        from ..faces.predictor import FacePredictor

        return FacePredictor(file, threads=threads)
    return Predictor(file, threads=threads)
