"""Keypoints: learn K points from annotated photos, and place them on new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .annotations import Annotations, read_annotations
    from .estimator import KeypointRegressor
    from .evaluation import KeypointEvaluation, account_of
    from .face_crops import FaceFinder, place_on_faces
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
    "account_of",
    "assess_keypoints",
    "load_keypoints",
    "place_on_faces",
    "read_annotations",
    "train_keypoints",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Annotations": "annotations",
        "FaceFinder": "face_crops",
        "KeypointEvaluation": "evaluation",
        "KeypointPrediction": "predictor",
        "KeypointPredictor": "predictor",
        "KeypointRegressor": "estimator",
        "KeypointRun": "run",
        "account_of": "evaluation",
        "assess_keypoints": "run",
        "load_keypoints": "predictor",
        "place_on_faces": "face_crops",
        "read_annotations": "annotations",
        "train_keypoints": "run",
    },
)
