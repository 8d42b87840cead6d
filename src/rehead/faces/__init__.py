"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .detection.detector import DETECTORS, FaceDetector
    from .detection.quality import QualityLimits
    from .embedding.embedder import EMBEDDERS, FaceEmbedder
    from .embedding.spec import EmbedderRecord
    from .types import Detector, Embedder, Face, FaceSelection, Photo, Quality, choose, same_space

__all__ = [
    "DETECTORS",
    "EMBEDDERS",
    "Detector",
    "Embedder",
    "EmbedderRecord",
    "Face",
    "FaceDetector",
    "FaceEmbedder",
    "FaceSelection",
    "Photo",
    "Quality",
    "QualityLimits",
    "choose",
    "same_space",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "DETECTORS": "detection.detector",
        "Detector": "types",
        "EMBEDDERS": "embedding.embedder",
        "Embedder": "types",
        "EmbedderRecord": "embedding.spec",
        "Face": "types",
        "FaceDetector": "detection.detector",
        "FaceEmbedder": "embedding.embedder",
        "FaceSelection": "types",
        "Photo": "types",
        "Quality": "types",
        "QualityLimits": "detection.quality",
        "choose": "types",
        "same_space": "types",
    },
)
