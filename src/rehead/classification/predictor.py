"""Using a model file: pixels in, answers out. Needs numpy, Pillow and ONNX Runtime only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import read_model_file
from ..core.photos import File, Photos, name_of
from ..core.predictor import BasePredictor
from ..core.rejection import UNKNOWN, OperatingPoint, PhotoStyles
from ..core.values import AnswerList, ComparedByValue
from ..errors import ImageError
from ..images import load_image

__all__ = ["UNKNOWN", "Prediction", "Predictions", "Predictor", "load_model"]


@dataclass(frozen=True, eq=False)
class Prediction(ComparedByValue):
    """The answer for one photo.

    Parameters
    ----------
    photo : str
        Its path, "" where it was given otherwise.
    label : str
        A class, or "unknown".
    nearest : str
        The most probable class, also where the label is "unknown".
    probability : float
        Calibrated probability of `nearest`, 0..1.
    outlier_score : float
        How unlike the training photos it is, 0 or more.
    reason : str
        Why it is "unknown", "" otherwise.
    probabilities : float32 ndarray (K,)
    labels : tuple of str
        Classes, in the order of `probabilities`.
    note : str
        What should be known of an answer, such as "another kind of photo: grey"; "" where there is nothing.
    """

    photo: str
    label: str
    nearest: str
    probability: float
    outlier_score: float
    reason: str
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record, as `rehead predict --format json` prints it."""
        probabilities = [round(float(p), 6) for p in self.probabilities]
        return {
            "photo": self.photo,
            "label": self.label,
            "probability": round(self.probability, 6),
            "nearest": self.nearest,
            "reason": self.reason,
            "note": self.note,
            "outlier_score": round(self.outlier_score, 6),
            "probabilities": dict(zip(self.labels, probabilities, strict=True)),
        }

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()


class Predictions(AnswerList[Prediction]):
    """Answers of `Predictor.predict`, which a notebook shows with their photos."""

    def _repr_html_(self) -> str:
        from .drawing import predictions_html

        return predictions_html(self)


class Predictor(BasePredictor[Prediction]):
    """A model file, ready to answer.

    Parameters
    ----------
    file : ModelFile
        What `read_model_file` gives; `load_model` does both.
    threads : int, optional
        Processors to use, all by default.

    Attributes
    ----------
    manifest : mapping
        All that the file says of itself: metrics, licences, digests.
    operating_point : OperatingPoint
    """

    kind = "classifier"
    answers = Predictions

    def _read(self, manifest: Mapping[str, Any]) -> None:
        self.operating_point = OperatingPoint.from_dict(manifest["operating_point"])
        styles = manifest.get("styles")  # none in files of earlier versions, and where features have none
        self._styles = PhotoStyles.from_dict(styles) if styles is not None else None

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Classes, in the order of the columns of probabilities."""
        return tuple(self.manifest["labels"])

    def _outputs(self) -> Mapping[str, int | None]:
        features = len(self._styles.weight) if self._styles else None
        return {"probabilities": len(self.labels), "features": features, "outlier_score": None}

    def _pixels(self, photo: File) -> NDArray[np.uint8]:
        """What the network gets of a photo, (S, S, 3); ImageError where that cannot be had."""
        return load_image(photo, self.preprocess)

    def _answer(self, photo: File, session: Any) -> Prediction | ImageError:
        try:
            pixels = self._pixels(photo)
        except ImageError as error:
            return error.bare()
        wanted = ["probabilities", "outlier_score", "features"]
        probabilities, outlier, features = session.run(wanted, {"image": pixels[None]})
        row, score = probabilities[0], float(outlier[0])
        best = int(row.argmax())
        reason = self.operating_point.reason(float(row[best]), score)
        style = self._styles.of(features)[0] if self._styles and not reason else -1
        return Prediction(
            name_of(photo),
            UNKNOWN if reason else self.labels[best],
            self.labels[best],
            float(row[best]),
            score,
            reason,
            row,
            self.labels,
            f"another kind of photo: {self._styles.names[style]}" if self._styles and style >= 0 else "",
        )

    def predict_proba(self, photos: Photos) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 (n, K), columns in the order of `labels`."""
        rows = [answer.probabilities for answer in self.predict(photos)]
        return np.stack(rows) if rows else np.zeros((0, len(self.labels)), np.float32)


def load_model(path: str | os.PathLike[str], *, threads: int | None = None) -> Predictor:
    """Open a model file.

    Parameters
    ----------
    path : path
        What `rehead train` or `ImageClassifier.save` wrote.
    threads : int, optional
        Processors to use, all by default.

    Returns
    -------
    Predictor

    Raises
    ------
    ModelFileError
        The file is not there, is something else, newer, or was altered.
    """
    return Predictor(read_model_file(Path(path)), threads=threads)
