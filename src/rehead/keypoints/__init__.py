"""Keypoints: K points of photos, learned from annotated photos."""

from __future__ import annotations

from .annotations import Annotations, read_annotations
from .estimator import KeypointRegressor
from .evaluation import KeypointEvaluation, evaluate_keypoints
from .face_crops import FaceFinder, predict_on_faces
from .predictor import KeypointPrediction, KeypointPredictor, load_keypoints

__all__ = [
    "Annotations",
    "FaceFinder",
    "KeypointEvaluation",
    "KeypointPrediction",
    "KeypointPredictor",
    "KeypointRegressor",
    "evaluate_keypoints",
    "load_keypoints",
    "predict_on_faces",
    "read_annotations",
]
