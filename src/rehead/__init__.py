"""rehead gives a pretrained network a new head: image transfer learning you can trust.

    clf = rehead.ImageClassifier().fit("photos/")
    clf.save("model.onnx")
    rehead.load_model("model.onnx").predict("photo.jpg")

Public names are resolved when they are first used, so that importing rehead costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .audit import Audit, Issue, audit_photos
    from .backbones.activations import layer_maps
    from .backbones.neighbours import similar
    from .classification.estimator import ImageClassifier
    from .classification.predictor import UNKNOWN, Prediction, Predictor, load_model
    from .classification.saliency import Explainer, explain
    from .errors import ReheadError
    from .faces import FaceDetector, FaceEmbedder
    from .faces.classifier import FaceClassifier
    from .faces.gallery.gallery import FaceGallery
    from .faces.predictor import load_face_model
    from .images import PreprocessSpec
    from .keypoints import KeypointPredictor, KeypointRegressor, load_keypoints
    from .workflows.compare import compare_models
    from .workflows.config import TrainConfig
    from .workflows.keypoints import train_keypoints
    from .workflows.report import report
    from .workflows.train import train

    __version__: str

__all__ = [
    "UNKNOWN",
    "Audit",
    "Explainer",
    "FaceClassifier",
    "FaceDetector",
    "FaceEmbedder",
    "FaceGallery",
    "ImageClassifier",
    "Issue",
    "KeypointPredictor",
    "KeypointRegressor",
    "Prediction",
    "Predictor",
    "PreprocessSpec",
    "ReheadError",
    "TrainConfig",
    "__version__",
    "audit_photos",
    "compare_models",
    "errors",
    "explain",
    "layer_maps",
    "load_face_model",
    "load_keypoints",
    "load_model",
    "report",
    "similar",
    "train",
    "train_keypoints",
]

_HOMES = {
    "Explainer": "classification.saliency",
    "Audit": "audit",
    "FaceClassifier": "faces.classifier",
    "FaceDetector": "faces",
    "FaceEmbedder": "faces",
    "FaceGallery": "faces.gallery.gallery",
    "Issue": "audit",
    "ImageClassifier": "classification.estimator",
    "KeypointPredictor": "keypoints",
    "KeypointRegressor": "keypoints",
    "load_keypoints": "keypoints",
    "train_keypoints": "workflows.keypoints",
    "TrainConfig": "workflows.config",
    "Prediction": "classification.predictor",
    "Predictor": "classification.predictor",
    "PreprocessSpec": "images",
    "ReheadError": "errors",
    "UNKNOWN": "classification.predictor",
    "audit_photos": "audit",
    "compare_models": "workflows.compare",
    "explain": "classification.saliency",
    "layer_maps": "backbones.activations",
    "load_face_model": "faces.predictor",
    "load_model": "classification.predictor",
    "report": "workflows.report",
    "similar": "backbones.neighbours",
    "train": "workflows.train",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("rehead")
    if name == "errors":
        return importlib.import_module(".errors", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
