"""Verification: whether two photos show one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.photos import Photo
from ...errors import DataError, ImageError
from ..embedding.spec import spec_fingerprint
from ..pipeline import FaceObservation, FacePipeline
from ..types import Face, FaceSelection
from .calibration import Calibration, Threshold, shipped

__all__ = ["TARGET_FMR", "Verification", "calibration_for", "verify"]

TARGET_FMR = 0.001
"""Default target: Frontex 2015, Best Practice Technical Guidelines for Automated
Border Control Systems, 0.1 % or better."""


@dataclass(frozen=True)
class Verification:
    """The answer for two photos.

    Parameters
    ----------
    same : bool
        Whether the score reaches the threshold.
    probability : float
        That they show one person, 0..1, at even prior odds.
    score : float
        Cosine of the embeddings.
    threshold : Threshold
        With its error rates.
    calibration : Calibration
        That gave the probability and the threshold.
    faces : (Face, Face)
        The faces compared.
    found : (int, int)
        Faces detected in each photo.
    """

    same: bool
    probability: float
    score: float
    threshold: Threshold
    calibration: Calibration
    faces: tuple[Face, Face]
    found: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "same": self.same,
            "probability": round(self.probability, 6),
            "score": round(self.score, 6),
            **self.threshold.to_dict(),
            "measured_on": {"source": self.calibration.source, "people": self.calibration.people},
            "faces": [face.to_dict() for face in self.faces],
            "faces_found": list(self.found),
        }


def calibration_for(pipeline: FacePipeline, given: Calibration | None = None) -> Calibration:
    """The given calibration, else the one shipped with rehead for this embedder.

    Raises
    ------
    DataError
        It is of another embedder, or there is none.
    """
    spec = pipeline.embedder.embedding_spec
    if given is not None:
        if given.fingerprint != spec_fingerprint(spec):
            raise DataError(
                f"the calibration is of another embedder than {spec['name']}; make one with "
                "`rehead faces evaluate --save-calibration`"
            )
        return given
    if (found := shipped(spec)) is None:
        raise DataError(
            f"what scores of {spec['name']} mean is not known; measure it with `rehead faces evaluate "
            "PEOPLE --save-calibration FILE`, and give --calibration FILE"
        )
    return found


def verify(
    first: Photo,
    second: Photo,
    pipeline: FacePipeline,
    *,
    target_fmr: float | None = None,
    calibration: Calibration | None = None,
    selection: FaceSelection = "largest",
) -> Verification:
    """Compare the faces of two photos.

    Parameters
    ----------
    first, second : photo
    pipeline : FacePipeline
    target_fmr : float, optional
        False-match rate that sets the threshold; 0.001, or the lowest supported, by default.
    calibration : Calibration, optional
        The one shipped for the embedder by default.
    selection : {"largest", "centre", "error"}
        Which face to use where a photo has several.

    Raises
    ------
    ImageError
        A photo is unreadable or has no face.
    DataError
        The target is lower than the calibration supports, or there is no calibration.
    """
    calibration = calibration_for(pipeline, calibration)
    threshold = calibration.at(max(TARGET_FMR, calibration.min_fmr) if target_fmr is None else target_fmr)
    a, b = map(_require_face, list(pipeline.analyze_each((first, second), selection)))
    score = float(a.vectors[0] @ b.vectors[0])
    return Verification(
        score >= threshold.value,
        calibration.probability(score),
        score,
        threshold,
        calibration,
        (a.faces[0], b.faces[0]),
        (a.found, b.found),
    )


def _require_face(observation: FaceObservation | ImageError) -> FaceObservation:
    if isinstance(observation, ImageError):
        raise observation
    if not observation.faces:
        raise ImageError(observation.path or None, "no face was found; a larger or better lit face is needed")
    return observation
