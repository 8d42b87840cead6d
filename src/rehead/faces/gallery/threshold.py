"""The threshold of a gallery: from which score a face is somebody, at its present size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..verification.calibration import Calibration, Threshold

__all__ = ["PRIOR", "TARGET_FPIR", "GalleryThreshold"]

TARGET_FPIR = 0.01
"""Default false-positive identification rate (FPIR), the share of strangers who are identified as somebody:
the higher of the two at which NIST's Face Recognition Vendor Test, part 2 (NISTIR 8271), reports."""

PRIOR = 0.5
"""Default share of strangers among the faces that are identified, for the probability of a name."""


@dataclass(frozen=True)
class GalleryThreshold:
    """The threshold of a gallery.

    Parameters
    ----------
    comparison : Threshold
        Of a single comparison.
    fpir : float
        As asked for.
    supported_fpir : float
        What the calibration supports at this many templates: `fpir`, or a higher one.
    templates : int
    calibration : Calibration
    accept_unsupported : bool
        Whether people are named although `fpir` is not supported.
    prior : float
        Share of strangers among the faces that are identified, 0..1, which `probability` takes for granted.
    """

    comparison: Threshold
    fpir: float
    supported_fpir: float
    templates: int
    calibration: Calibration
    accept_unsupported: bool = False
    prior: float = PRIOR

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        fpir: float,
        templates: int,
        *,
        accept_unsupported: bool = False,
        prior: float = PRIOR,
    ) -> GalleryThreshold:
        """The threshold of a gallery with so many templates."""
        comparison, supported_fpir = calibration.for_gallery(fpir, templates)
        return cls(comparison, fpir, supported_fpir, templates, calibration, accept_unsupported, prior)

    @property
    def supported(self) -> bool:
        """Whether the calibration supports the FPIR that was asked for."""
        return self.supported_fpir <= self.fpir

    @property
    def may_name(self) -> bool:
        """Whether anybody may be named: the FPIR is supported, or the higher one was accepted."""
        return self.supported or self.accept_unsupported

    def probability(self, scores: NDArray[np.float32], unseen: int = 0) -> float:
        """Probability that the nearest person is right, 0..1; NaN where there is nobody.

        Bayes' rule over all people and "a stranger": before the search everybody but strangers is equally
        likely at each template, and a score multiplies that by its likelihood ratio.

        Parameters
        ----------
        scores : float32 ndarray (P,)
            Highest score of each person's templates.
        unseen : int
            People whose scores are not known, as an index did not propose them: each counts with a
            likelihood ratio of 1, the mean of a ratio over pairs of different people.
        """
        if not len(scores):
            return math.nan
        known = self.calibration.log_ratio(scores.astype(np.float64)) + math.log(
            (1 - self.prior) / self.templates
        )
        others = self.prior + unseen * (1 - self.prior) / self.templates
        terms = np.append(known, math.log(others))
        return float(np.exp(known.max() - terms.max()) / np.exp(terms - terms.max()).sum())

    @property
    def sentence(self) -> str:
        """The supported FPIR in one sentence, without a full stop."""
        source = f"{self.calibration.people} people of {self.calibration.source}"
        if self.supported:
            return (
                f"at most {_percent(self.supported_fpir)} of strangers are taken for somebody, by {source} "
                f"and {self.templates} templates"
            )
        return f"{self.shortfall}, by {source} and {self.templates} templates"

    @property
    def shortfall(self) -> str:
        """The FPIR that was asked for and the one that is supported instead."""
        return (
            f"{_percent(self.fpir)} of strangers cannot be promised, no better than "
            f"{_percent(self.supported_fpir)} is supported"
        )

    @property
    def refusal(self) -> str:
        """Why nobody is named, and what to do, in one sentence without a full stop."""
        lower = f"ask for --strangers {1.05 * self.supported_fpir:.2g}, " if self.supported_fpir < 0.9 else ""
        return (
            f"{self.sentence}; {lower}calibrate with more people (`rehead faces evaluate PEOPLE "
            "--save-calibration FILE`), or give --accept-unsupported"
        )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"
