"""The threshold of a gallery: from which score a face is somebody, at its present size."""

from __future__ import annotations

from dataclasses import dataclass

from ..verification.calibration import Calibration, Threshold

__all__ = ["TARGET_FPIR", "GalleryThreshold"]

TARGET_FPIR = 0.01
"""Default false-positive identification rate (FPIR), the share of strangers who are identified as somebody:
the higher of the two at which NIST's Face Recognition Vendor Test, part 2 (NISTIR 8271), reports."""


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
    """

    comparison: Threshold
    fpir: float
    supported_fpir: float
    templates: int
    calibration: Calibration

    @classmethod
    def of(cls, calibration: Calibration, fpir: float, templates: int) -> GalleryThreshold:
        """The threshold of a gallery with so many templates."""
        comparison, supported_fpir = calibration.for_gallery(fpir, templates)
        return cls(comparison, fpir, supported_fpir, templates, calibration)

    @property
    def sentence(self) -> str:
        """The supported FPIR in one sentence, without a full stop."""
        source = f"{self.calibration.people} people of {self.calibration.source}"
        if self.supported_fpir <= self.fpir:
            return (
                f"at most {_percent(self.supported_fpir)} of strangers are taken for somebody, by {source} "
                f"and {self.templates} templates"
            )
        return (
            f"{_percent(self.fpir)} of strangers cannot be promised: {self.templates} templates and {source} "
            f"support no better than {_percent(self.supported_fpir)}"
        )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"
