"""Keypoints: learn K points from annotated photos, and place them on new ones."""

from __future__ import annotations

from .annotations import Annotations, read_annotations
from .estimator import KeypointRegressor
from .evaluation import KeypointEvaluation, evaluate_keypoints
from .face_crops import FaceFinder, predict_on_faces
from .predictor import KeypointPrediction, KeypointPredictor, load_keypoints
from .run import KeypointRun, assess_keypoints, train_keypoints

__all__ = [
    "Annotations",
    "FaceFinder",
    "KeypointEvaluation",
    "KeypointPrediction",
    "KeypointPredictor",
    "KeypointRegressor",
    "KeypointRun",
    "assess_keypoints",
    "evaluate_keypoints",
    "load_keypoints",
    "predict_on_faces",
    "read_annotations",
    "train_keypoints",
]
