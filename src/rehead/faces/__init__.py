"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from .detection.detector import DETECTORS, FaceDetector
from .detection.quality import QualityLimits
from .embedding.embedder import EMBEDDERS, FaceEmbedder
from .embedding.spec import EmbedderSpec, spec_fingerprint
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
    "FaceSelection",
    "Photo",
    "Quality",
    "QualityLimits",
    "select_faces",
    "spec_fingerprint",
]
