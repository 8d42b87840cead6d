"""rehead gives a pretrained network a new head: image transfer learning you can trust.

    clf = rehead.ImageClassifier().fit("photos/")
    clf.save("model.onnx")
    rehead.load_model("model.onnx").predict("photo.jpg")

Public names are resolved when they are first used, so that importing rehead costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .core.lazy import attach

if TYPE_CHECKING:
    from . import errors
    from .audit.issues import Audit, Issue
    from .audit.run import audit_photos
    from .backbones.activations import layer_maps
    from .backbones.neighbours import similar
    from .classification.estimator import ImageClassifier
    from .classification.options import ClassifierOptions
    from .classification.predictor import Prediction, Predictor, load_model
    from .classification.saliency import Explainer, explain
    from .core.preprocess import PreprocessSpec
    from .core.rejection import UNKNOWN
    from .data.options import SplitOptions
    from .errors import ReheadError
    from .faces.detection.detector import FaceDetector
    from .faces.embedding.embedder import FaceEmbedder
    from .faces.encoder import FaceEncoder
    from .faces.gallery.gallery import FaceGallery
    from .faces.options import FaceOptions
    from .faces.predictor import load_face_model
    from .finetune.classifier import FineTunedClassifier
    from .finetune.config import FineTuneConfig, KeypointFineTuneConfig
    from .finetune.keypoints import FineTunedKeypoints
    from .keypoints.estimator import KeypointRegressor
    from .keypoints.options import KeypointOptions
    from .keypoints.predictor import KeypointPredictor, load_keypoints
    from .workflows.compare import compare_models
    from .workflows.config import KeypointTrainConfig, TrainConfig, run_keypoint_training, run_training
    from .workflows.keypoints import train_keypoints
    from .workflows.report import report
    from .workflows.train import train

    __version__: str

__all__ = [
    "UNKNOWN",
    "Audit",
    "ClassifierOptions",
    "Explainer",
    "FaceDetector",
    "FaceEmbedder",
    "FaceEncoder",
    "FaceGallery",
    "FaceOptions",
    "FineTuneConfig",
    "FineTunedClassifier",
    "FineTunedKeypoints",
    "ImageClassifier",
    "Issue",
    "KeypointFineTuneConfig",
    "KeypointOptions",
    "KeypointPredictor",
    "KeypointRegressor",
    "KeypointTrainConfig",
    "Prediction",
    "Predictor",
    "PreprocessSpec",
    "ReheadError",
    "SplitOptions",
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
    "run_keypoint_training",
    "run_training",
    "similar",
    "train",
    "train_keypoints",
]

_resolve, _ = attach(
    __name__,
    {
        "Audit": "audit.issues",
        "ClassifierOptions": "classification.options",
        "Explainer": "classification.saliency",
        "FaceDetector": "faces.detection.detector",
        "FaceEmbedder": "faces.embedding.embedder",
        "FaceEncoder": "faces.encoder",
        "FaceGallery": "faces.gallery.gallery",
        "FaceOptions": "faces.options",
        "FineTuneConfig": "finetune.config",
        "FineTunedClassifier": "finetune.classifier",
        "FineTunedKeypoints": "finetune.keypoints",
        "ImageClassifier": "classification.estimator",
        "Issue": "audit.issues",
        "KeypointFineTuneConfig": "finetune.config",
        "KeypointOptions": "keypoints.options",
        "KeypointPredictor": "keypoints.predictor",
        "KeypointRegressor": "keypoints.estimator",
        "KeypointTrainConfig": "workflows.config",
        "Prediction": "classification.predictor",
        "Predictor": "classification.predictor",
        "PreprocessSpec": "core.preprocess",
        "ReheadError": "errors",
        "SplitOptions": "data.options",
        "TrainConfig": "workflows.config",
        "UNKNOWN": "core.rejection",
        "audit_photos": "audit.run",
        "compare_models": "workflows.compare",
        "explain": "classification.saliency",
        "layer_maps": "backbones.activations",
        "load_face_model": "faces.predictor",
        "load_keypoints": "keypoints.predictor",
        "load_model": "classification.predictor",
        "report": "workflows.report",
        "run_keypoint_training": "workflows.config",
        "run_training": "workflows.config",
        "similar": "backbones.neighbours",
        "train": "workflows.train",
        "train_keypoints": "workflows.keypoints",
    },
)


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("rehead")
    if name == "errors":
        return importlib.import_module(".errors", __name__)
    return _resolve(name)


def __dir__() -> list[str]:
    return sorted(__all__)
