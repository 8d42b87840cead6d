"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

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
