"""Identification: whose template a face is nearest to, or "unknown"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.rejection import UNKNOWN
from ..detection.quality import QualityLimits
from ..pipeline import FaceObservation
from ..types import Face
from .records import Templates
from .threshold import GalleryThreshold

__all__ = ["Identification", "identify"]


@dataclass(frozen=True)
class Identification:
    """Who a face is.

    Parameters
    ----------
    face : Face
    name : str
        A person in the gallery, or "unknown".
    nearest : str
        The person of the highest score, also where the name is "unknown"; "" in an empty gallery.
    score : float
        The highest with a template of the nearest person; NaN in an empty gallery.
    margin : float
        How much higher that is than the score of the next person; NaN where there is none.
    probability : float
        That a pair of this score shows one person, at even prior odds; NaN in an empty gallery.
    threshold : float
        The score from which a face is named.
    reason : str
        Why it is "unknown", "" otherwise.
    complaints : tuple of str
        What is wrong with the quality of the face.
    """

    face: Face
    name: str
    nearest: str
    score: float
    margin: float
    probability: float
    threshold: float
    reason: str
    complaints: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record; null for NaN."""
        numbers = {name: getattr(self, name) for name in ("score", "margin", "probability", "threshold")}
        return {
            "name": self.name,
            "nearest": self.nearest,
            **{name: None if math.isnan(value) else round(value, 6) for name, value in numbers.items()},
            "reason": self.reason,
            "face": self.face.to_dict(),
            "complaints": list(self.complaints),
        }


def identify(
    observation: FaceObservation,
    templates: Templates,
    threshold: GalleryThreshold,
    *,
    limits: QualityLimits,
    refuse_poor: bool,
) -> list[Identification]:
    """Identify the faces of a photo.

    Parameters
    ----------
    observation : FaceObservation
    templates : Templates
    threshold : GalleryThreshold
    limits : QualityLimits
        Outside of which a face is of low quality, which the answer mentions.
    refuse_poor : bool
        Whether such a face stays "unknown".
    """

    def decide(face: Face, scores: NDArray[np.float32]) -> Identification:
        needed, complaints = threshold.comparison.value, limits.complaints(face.quality)
        order = np.argsort(-scores, kind="stable")
        score, second = [*scores[order[:2]].tolist(), math.nan, math.nan][:2]
        nearest = templates.names[order[0]] if len(order) else ""
        reason = ""
        if not len(order):
            reason = templates.why_nobody
        elif not score >= needed:  # NaN too
            reason = f"nobody is like it enough (score {score:.3f}, needs {needed:.3f})"
        elif complaints and refuse_poor:
            reason = f"of low quality: {'; '.join(complaints)}"
        return Identification(
            face,
            UNKNOWN if reason else nearest,
            nearest,
            score,
            score - second,
            threshold.calibration.probability(score),
            needed,
            reason,
            complaints,
        )

    best = templates.best_scores(observation.vectors)
    return [decide(face, scores) for face, scores in zip(observation.faces, best, strict=True)]
