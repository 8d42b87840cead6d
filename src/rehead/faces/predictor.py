"""Predictions of a face classifier's model file: a photo to a person or "unknown"."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..classification.predictor import Predictor
from ..core.geometry import Points
from ..core.model_file import ModelFile, read_model_file
from ..core.photos import File
from ..errors import DataError, ImageError, NotAModelFileError
from ..images import read_image
from .detection.detector import FaceDetector
from .embedding.alignment import aligned_faces
from .encoder import KIND, select_face
from .types import Detector, FaceSelection

__all__ = ["FacePredictor", "load_face_model"]


class FacePredictor(Predictor):
    """The predictor of a face classifier's model file; a photo without a face is an ImageError.

    Parameters
    ----------
    file : ModelFile
        What `read_model_file` gives; `load_face_model` does both.
    threads : int, optional
        Processors to use, all by default.
    detector : Detector, optional
        Instead of the one that the file names.
    """

    kind = KIND

    def __init__(
        self, file: ModelFile, *, threads: int | None = None, detector: Detector | None = None
    ) -> None:
        super().__init__(file, threads=threads)
        try:
            record = file.manifest["faces"]
            self.selection: FaceSelection = record["rule"]
            self._detector_name = str(record["detector"])
            self._alignment_template: Points = np.array(record["embedder"]["template"], np.float64).reshape(
                5, 2
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NotAModelFileError(
                f"{file.path}: its manifest does not say how faces are aligned"
            ) from error
        self._given_detector = detector

    @cached_property
    def detector(self) -> Detector:
        """The one given, else the one that the file names."""
        return self._given_detector or FaceDetector(self._detector_name, threads=1)

    def _pixels(self, photo: File) -> NDArray[np.uint8]:
        pixels = read_image(photo)
        try:
            face, _ = select_face(pixels, self.detector, self.selection, photo)
        except DataError as error:
            raise error if isinstance(error, ImageError) else ImageError(photo, str(error)) from error
        side = self.preprocess.size
        square: NDArray[np.uint8] = aligned_faces(pixels, [face], self._alignment_template, side)[0]
        return square


def load_face_model(path: str | os.PathLike[str], *, threads: int | None = None) -> FacePredictor:
    """Open the model file of a face classifier.

    Parameters
    ----------
    path : path
        What `rehead faces train` wrote, or `ImageClassifier(encoder=FaceEncoder()).save`.
    threads : int, optional
        Processors to use, all by default.

    Raises
    ------
    ModelFileError
        The file is not there, is something else, newer, or was altered.
    """
    return FacePredictor(read_model_file(Path(path)), threads=threads)
