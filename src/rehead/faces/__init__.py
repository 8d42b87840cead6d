"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .detection.detector import FaceDetector as FaceDetector
    from .detection.quality import QualityLimits as QualityLimits
    from .embedding.embedder import EMBEDDERS as EMBEDDERS
    from .embedding.embedder import FaceEmbedder as FaceEmbedder
    from .embedding.spec import EmbedderSpec as EmbedderSpec
    from .embedding.spec import spec_fingerprint as spec_fingerprint
    from .encoder import FaceEncoder as FaceEncoder
    from .options import DETECTORS as DETECTORS
    from .options import FaceOptions as FaceOptions
    from .types import Detector as Detector
    from .types import Embedder as Embedder
    from .types import Face as Face
    from .types import Faces as Faces
    from .types import FaceSelection as FaceSelection
    from .types import Photo as Photo
    from .types import Quality as Quality
    from .types import select_faces as select_faces

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "detection.detector": ["FaceDetector"],
        "detection.quality": ["QualityLimits"],
        "embedding.embedder": ["EMBEDDERS", "FaceEmbedder"],
        "embedding.spec": ["EmbedderSpec", "spec_fingerprint"],
        "encoder": ["FaceEncoder"],
        "options": ["DETECTORS", "FaceOptions"],
        "types": [
            "Detector",
            "Embedder",
            "Face",
            "FaceSelection",
            "Faces",
            "Photo",
            "Quality",
            "select_faces",
        ],
    },
)
