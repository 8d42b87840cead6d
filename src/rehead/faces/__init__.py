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

__getattr__, __dir__ = attach(
    __name__,
    {
        "DETECTORS": "options",
        "EMBEDDERS": "embedding.embedder",
        "Detector": "types",
        "Embedder": "types",
        "EmbedderSpec": "embedding.spec",
        "Face": "types",
        "FaceDetector": "detection.detector",
        "FaceEmbedder": "embedding.embedder",
        "FaceEncoder": "encoder",
        "FaceOptions": "options",
        "FaceSelection": "types",
        "Photo": "types",
        "Quality": "types",
        "QualityLimits": "detection.quality",
        "select_faces": "types",
        "spec_fingerprint": "embedding.spec",
    },
)
