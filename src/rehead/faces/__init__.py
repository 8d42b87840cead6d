"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from .detect import DETECTORS, FaceDetector
from .embed import EMBEDDERS, FaceEmbedder
from .embedder_record import EmbedderRecord
from .face import Detector, Embedder, Face, Photo, Quality, Rule, choose, same_space
from .quality import QualityLimits

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
