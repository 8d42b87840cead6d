"""Keypoints: learn K points from annotated photos, and place them on new ones."""

from __future__ import annotations

from .account import Account, account_of
from .annotations import Annotations, read_annotations
from .face_frame import NamedDetector
from .on_faces import place_on_faces
from .predict import KeypointPredictor, Placement, load_keypoints
from .regress import KeypointRegressor
from .run import KeypointRun, assess_keypoints, train_keypoints

__all__ = [
    "Account",
    "Annotations",
    "KeypointPredictor",
    "KeypointRegressor",
    "KeypointRun",
    "NamedDetector",
    "Placement",
    "account_of",
    "assess_keypoints",
    "load_keypoints",
    "place_on_faces",
    "read_annotations",
    "train_keypoints",
]
