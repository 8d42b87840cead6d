"""Keypoints: K points of photos, learned from annotated photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .annotations import Annotations as Annotations
    from .annotations import read_annotations as read_annotations
    from .estimator import KeypointRegressor as KeypointRegressor
    from .evaluation import KeypointEvaluation as KeypointEvaluation
    from .evaluation import evaluate_keypoints as evaluate_keypoints
    from .face_crops import FaceFinder as FaceFinder
    from .face_crops import predict_on_faces as predict_on_faces
    from .options import KeypointOptions as KeypointOptions
    from .predictor import KeypointPrediction as KeypointPrediction
    from .predictor import KeypointPredictor as KeypointPredictor
    from .predictor import load_keypoints as load_keypoints

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "annotations": ["Annotations", "read_annotations"],
        "estimator": ["KeypointRegressor"],
        "evaluation": ["KeypointEvaluation", "evaluate_keypoints"],
        "face_crops": ["FaceFinder", "predict_on_faces"],
        "options": ["KeypointOptions"],
        "predictor": ["KeypointPrediction", "KeypointPredictor", "load_keypoints"],
    },
)
