"""Prediction with a model file of keypoints. Needs numpy, Pillow and ONNX Runtime only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import read_model_file
from ..core.photos import File, name_of
from ..core.predictor import BasePredictor
from ..core.values import AnswerList, ComparedByValue
from ..errors import DataError, ImageError, NotAModelFileError
from ..images import image_size, load_image, read_bytes
from .formats import CENTRE

__all__ = ["KeypointPrediction", "KeypointPredictions", "KeypointPredictor", "load_keypoints"]

_OUTPUTS = ("keypoints", "spread", "confidence", "outlier_score")


@dataclass(frozen=True, eq=False)
class KeypointPrediction(ComparedByValue):
    """The points of one photo.

    Parameters
    ----------
    photo : str
        Its path, "" for bytes.
    size : (int, int)
        Width and height of the upright photo, in pixels.
    points : float64 ndarray (K, 2)
        Pixels of the upright photo, x before y, the centre of the upper left pixel being (0, 0).
    covariance : float64 ndarray (K, 2, 2)
        Covariance of each point in square pixels: the ellipse of squared Mahalanobis radius 5.99 holds the
        true point in 95 % of photos of the same kind.
    confidence : float
        Probability that the mean error is below twice the typical one, 0..1.
    outlier_score : float
        How unlike the training photos, 0 or more.
    reason : str
        Why the points are not reliable, "" where they are.
    face : tuple of float or None
        Box x0, y0, x1, y1 of the detected face, where faces were detected.
    names : tuple of str
        Of the points; empty where they have none.
    """

    photo: str
    size: tuple[int, int]
    points: NDArray[np.float64]
    covariance: NDArray[np.float64]
    confidence: float
    outlier_score: float
    reason: str
    face: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record, as `rehead keypoints predict --format json` prints it."""
        points = [
            {
                **({"name": self.names[k]} if self.names else {}),
                "x": round(x, 3),
                "y": round(y, 3),
                "covariance": [[round(v, 4) for v in row] for row in self.covariance[k].tolist()],
            }
            for k, (x, y) in enumerate(self.points.tolist())
        ]
        return {
            "photo": self.photo,
            "width": self.size[0],
            "height": self.size[1],
            "confidence": round(self.confidence, 6),
            "outlier_score": round(self.outlier_score, 6),
            "reason": self.reason,
            **({} if self.face is None else {"face": [round(v, 2) for v in self.face]}),
            "points": points,
        }

    def _repr_html_(self) -> str:
        return KeypointPredictions([self])._repr_html_()


class KeypointPredictions(AnswerList[KeypointPrediction]):
    """Answers of `KeypointPredictor.predict`, which a notebook draws into their photos."""

    def _repr_html_(self) -> str:
        from .drawing import predictions_html

        return predictions_html(self)


class KeypointPredictor(BasePredictor[KeypointPrediction]):
    """A model of keypoints, ready to predict.

    Parameters
    ----------
    file : ModelFile
        What `read_model_file` gives; `load_keypoints` does both.
    threads : int, optional
        Processors to use, all by default.

    Attributes
    ----------
    manifest : mapping
        All that the file says of itself: metrics, licences, digests.
    n_points : int
    names : tuple of str
        Of the points; empty where they have none.
    """

    kind = "keypoints"
    answers = KeypointPredictions

    def _read(self, manifest: Mapping[str, Any]) -> None:
        self.n_points = int(manifest["points"]["count"])
        self.names = tuple(manifest["points"].get("names") or ())
        if "outlier_score" not in manifest["operating_point"]:
            raise DataError("the operating point lacks outlier_score")
        self._limit = float(manifest["operating_point"]["outlier_score"])

    def _outputs(self) -> Mapping[str, int | None]:
        return {**dict.fromkeys(_OUTPUTS), "keypoints": self.n_points}

    def _answer(self, photo: File, session: Any) -> KeypointPrediction | ImageError:
        try:
            data = read_bytes(photo)
            size = image_size(data)
            pixels = load_image(data, self.preprocess)
        except ImageError as error:
            return ImageError(photo, error.reason)
        return self._predict(name_of(photo), size, pixels, (0, 0, *size), session)

    def predict_crop(
        self, pixels: NDArray[np.uint8], size: tuple[int, int], box: Sequence[float] | NDArray[np.float64]
    ) -> KeypointPrediction:
        """Points of a crop of a photo.

        Parameters
        ----------
        pixels : uint8 ndarray (S, S, 3)
            The crop, RGB, squashed to the model's side.
        size : (int, int)
            Width and height of the photo.
        box : x0, y0, x1, y1
            Of the crop in the photo, in pixels from its corner.
        """
        return self._predict("", size, pixels, box, self._session)

    def _predict(
        self,
        name: str,
        size: tuple[int, int],
        pixels: NDArray[np.uint8],
        box: Sequence[float] | NDArray[np.float64],
        session: Any,
    ) -> KeypointPrediction:
        points, covariance, confidence, outlier = session.run(_OUTPUTS, {"image": pixels[None]})
        if points.shape[1:] != (self.n_points, 2):
            raise NotAModelFileError(
                f"{self._file.path}: its graph gives {points.shape[1:]} numbers; "
                f"expected {self.n_points} x 2; train the model again"
            )
        low, high = np.array(box, dtype=np.float64).reshape(2, 2)
        sides = high - low
        score = float(outlier[0])
        return KeypointPrediction(
            name,
            size,
            low + points[0] * sides - CENTRE,
            covariance[0] * np.outer(sides, sides),
            float(confidence[0]),
            score,
            "" if score <= self._limit else "unlike the training photos",
            names=self.names,
        )


def load_keypoints(path: str | os.PathLike[str], *, threads: int | None = None) -> KeypointPredictor:
    """Open a model file of keypoints.

    Parameters
    ----------
    path : path
        What `rehead keypoints train` or `KeypointRegressor.save` wrote.
    threads : int, optional
        Processors to use, all by default.

    Returns
    -------
    KeypointPredictor

    Raises
    ------
    ModelFileError
        The file is missing, of another kind, newer, or altered.
    """
    return KeypointPredictor(read_model_file(Path(path)), threads=threads)
