"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from .detection.detector import DETECTORS, FaceDetector
from .detection.quality import QualityLimits
from .embedding.embedder import EMBEDDERS, FaceEmbedder
from .embedding.spec import EmbedderRecord
from .types import Detector, Embedder, Face, Photo, Quality, Rule, choose, same_space

__all__ = [
    "DETECTORS",
    "EMBEDDERS",
    "Detector",
    "Embedder",
    "EmbedderRecord",
    "Face",
    "FaceDetector",
    "FaceEmbedder",
    "Photo",
    "Quality",
    "QualityLimits",
    "Rule",
    "choose",
    "same_space",
]
