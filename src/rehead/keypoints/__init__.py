"""Keypoints: K points of photos, learned from annotated photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .annotations import Annotations, read_annotations
    from .estimator import KeypointRegressor
    from .evaluation import KeypointEvaluation, evaluate_keypoints
    from .face_crops import FaceFinder, predict_on_faces
    from .options import KeypointOptions
    from .predictor import KeypointPrediction, KeypointPredictor, load_keypoints

__all__ = [
    "Annotations",
    "FaceFinder",
    "KeypointEvaluation",
    "KeypointOptions",
    "KeypointPrediction",
    "KeypointPredictor",
    "KeypointRegressor",
    "evaluate_keypoints",
    "load_keypoints",
    "predict_on_faces",
    "read_annotations",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Annotations": "annotations",
        "FaceFinder": "face_crops",
        "KeypointEvaluation": "evaluation",
        "KeypointOptions": "options",
        "KeypointPrediction": "predictor",
        "KeypointPredictor": "predictor",
        "KeypointRegressor": "estimator",
        "evaluate_keypoints": "evaluation",
        "load_keypoints": "predictor",
        "predict_on_faces": "face_crops",
        "read_annotations": "annotations",
    },
)
