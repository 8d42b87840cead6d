"""Identification: whose template a face is nearest to, or "unknown"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.rejection import UNKNOWN
from ...core.values import AnswerList
from ..detection.quality import QualityLimits
from ..pipeline import FaceObservation
from ..types import Face
from .records import Templates
from .threshold import GalleryThreshold

__all__ = ["Identification", "Identifications", "identify"]


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
        That it is the nearest person, for a gallery of this size and a share of strangers of `prior`
        (`GalleryThreshold.probability`); NaN in an empty gallery.
    threshold : float
        The score from which a face is named.
    reason : str
        Why it is "unknown", "" otherwise.
    complaints : tuple of str
        What is wrong with the quality of the face.
    fpir, supported_fpir : float
        Share of strangers who may be named, as asked for, and as the calibration supports it.
    prior : float
        Share of strangers that the probability takes for granted.
    notes : tuple of str
        What else should be known: how the face was found, or that another face of the photo has the name too.
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
    fpir: float = math.nan
    supported_fpir: float = math.nan
    prior: float = math.nan
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record; null for NaN."""
        numbers = {name: getattr(self, name) for name in ("score", "margin", "probability", "threshold")}
        numbers |= {"prior": self.prior, "strangers": self.fpir, "strangers_supported": self.supported_fpir}
        return {
            "name": self.name,
            "nearest": self.nearest,
            **{name: None if math.isnan(value) else float(f"{value:.6g}") for name, value in numbers.items()},
            "reason": self.reason,
            "face": self.face.to_dict(),
            "complaints": list(self.complaints),
            "notes": list(self.notes),
        }


class Identifications(AnswerList[Identification]):
    """Who the faces of a photo are, which a notebook draws into it.

    Parameters
    ----------
    answers : iterable of Identification
    photo : str
        Path of the photo, "" where it was given otherwise: a notebook then shows the numbers alone.
    """

    def __init__(self, answers: Iterable[Identification] = (), photo: str = "") -> None:
        super().__init__(answers)
        self.photo = photo

    def _repr_html_(self) -> str:
        from ..drawing import identifications_html

        return identifications_html(self, self.photo)


def identify(
    observation: FaceObservation,
    templates: Templates,
    threshold: GalleryThreshold,
    *,
    limits: QualityLimits,
    refuse_poor: bool,
) -> Identifications:
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
        elif not threshold.may_name:
            reason = f"nobody is named: {threshold.shortfall}"
        elif complaints and refuse_poor:
            reason = f"of low quality: {'; '.join(complaints)}"
        return Identification(
            face,
            UNKNOWN if reason else nearest,
            nearest,
            score,
            score - second,
            threshold.probability(scores, templates.unseen),
            needed,
            reason,
            complaints,
            threshold.fpir,
            threshold.supported_fpir,
            threshold.prior,
            face.notes,
        )

    best = templates.best_scores(observation.vectors)
    found = [decide(face, scores) for face, scores in zip(observation.faces, best, strict=True)]
    times = Counter(each.name for each in found if each.name != UNKNOWN)
    answers = (
        replace(each, notes=(*each.notes, f"{each.name} is named {times[each.name]} times in this photo"))
        if times[each.name] > 1
        else each
        for each in found
    )
    return Identifications(answers, observation.path)
