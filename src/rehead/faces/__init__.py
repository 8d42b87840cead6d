"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .detection.detector import FaceDetector
    from .detection.quality import QualityLimits
    from .embedding.embedder import EMBEDDERS, FaceEmbedder
    from .embedding.spec import EmbedderSpec, spec_fingerprint
    from .encoder import FaceEncoder
    from .options import DETECTORS, FaceOptions
    from .types import Detector, Embedder, Face, FaceSelection, Photo, Quality, select_faces

__all__ = [
    "DETECTORS",
    "EMBEDDERS",
    "Detector",
    "Embedder",
    "EmbedderSpec",
    "Face",
    "FaceDetector",
    "FaceEmbedder",
    "FaceEncoder",
    "FaceOptions",
    "FaceSelection",
    "Photo",
    "Quality",
    "QualityLimits",
    "select_faces",
    "spec_fingerprint",
]

_HOMES = {
    "detection.detector": ("FaceDetector",),
    "detection.quality": ("QualityLimits",),
    "embedding.embedder": ("EMBEDDERS", "FaceEmbedder"),
    "embedding.spec": ("EmbedderSpec", "spec_fingerprint"),
    "encoder": ("FaceEncoder",),
    "options": ("DETECTORS", "FaceOptions"),
    "types": ("Detector", "Embedder", "Face", "FaceSelection", "Photo", "Quality", "select_faces"),
}
__getattr__, __dir__ = attach(__name__, {name: home for home, names in _HOMES.items() for name in names})
