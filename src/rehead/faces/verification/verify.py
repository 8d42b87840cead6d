"""Do two photos show one person?"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...errors import DataError, ImageError
from ..gallery.records import spec_fingerprint
from ..pipeline import FaceObservation, FacePipeline
from ..types import Face, FaceSelection
from .calibration import Calibration, Threshold, shipped

__all__ = ["FALSE_MATCHES", "Verification", "calibration_for", "verify"]

FALSE_MATCHES = 0.001
"""Rate of false matches that is aimed at: Frontex 2015, Best Practice Technical Guidelines for Automated
Border Control Systems, 0.1 % or better."""


@dataclass(frozen=True)
class Verification:
    """The answer for two photos.

    Parameters
    ----------
    same : bool
        Whether the score reaches the threshold.
    probability : float
        That they show one person, 0..1, where half of all pairs do.
    score : float
        Cosine of the embeddings.
    point : Threshold
        The threshold, its rate of false matches and their interval.
    calibration : Calibration
        What those were measured on.
    faces : (Face, Face)
    found : (int, int)
        Faces that were detected in each photo.
    """

    same: bool
    probability: float
    score: float
    point: Threshold
    calibration: Calibration
    faces: tuple[Face, Face]
    found: tuple[int, int]


def calibration_for(pipeline: FacePipeline, given: Calibration | None = None) -> Calibration:
    """The calibration that was given, or else the one that comes with rehead for this embedder.

    Raises
    ------
    DataError
        It is of another embedder, or there is none.
    """
    contract = pipeline.embedder.contract
    if given is not None:
        if given.contract != spec_fingerprint(contract):
            raise DataError(
                f"the calibration is of another embedder than {contract['name']}; make one with "
                "`rehead faces evaluate --save-calibration`"
            )
        return given
    if (found := shipped(contract)) is None:
        raise DataError(
            f"what scores of {contract['name']} mean is not known; measure it with `rehead faces evaluate "
            "PEOPLE --save-calibration FILE`, and give --calibration FILE"
        )
    return found


def verify(
    first: str | os.PathLike[str] | bytes,
    second: str | os.PathLike[str] | bytes,
    pipeline: FacePipeline,
    *,
    rate: float | None = None,
    calibration: Calibration | None = None,
    rule: FaceSelection = "largest",
) -> Verification:
    """Compare the faces of two photos.

    Parameters
    ----------
    first, second : path or bytes
    pipeline : FacePipeline
    rate : float, optional
        Rate of false matches that the threshold is set for; 0.001, or as low as is supported, by default.
    calibration : Calibration, optional
        The embedder's own by default.
    rule : {"largest", "centre", "error"}
        Which face of several.

    Raises
    ------
    ImageError
        A photo is unreadable or has no face.
    DataError
        The rate is lower than the calibration supports, or there is no calibration.
    """
    known = calibration_for(pipeline, calibration)
    point = known.at(max(FALSE_MATCHES, known.least) if rate is None else rate)
    seen = [_one_face(each) for each in pipeline.look_each((first, second), rule)]
    score = float(seen[0].vectors[0] @ seen[1].vectors[0])
    return Verification(
        score >= point.threshold,
        known.probability(score),
        score,
        point,
        known,
        (seen[0].faces[0], seen[1].faces[0]),
        (seen[0].found, seen[1].found),
    )


def _one_face(seen: FaceObservation | ImageError) -> FaceObservation:
    if isinstance(seen, ImageError):
        raise seen
    if not seen.faces:
        raise ImageError(seen.path or None, "no face was found; a larger or better lit face is needed")
    return seen
