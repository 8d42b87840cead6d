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
    from . import errors as errors
    from .audit.issues import Audit as Audit
    from .audit.issues import Issue as Issue
    from .audit.run import audit_photos as audit_photos
    from .backbones.activations import layer_maps as layer_maps
    from .backbones.neighbours import similar as similar
    from .classification.estimator import ImageClassifier as ImageClassifier
    from .classification.evaluate import ModelEvaluation as ModelEvaluation
    from .classification.evaluate import evaluate_model as evaluate_model
    from .classification.options import ClassifierOptions as ClassifierOptions
    from .classification.predictor import Prediction as Prediction
    from .classification.predictor import Predictions as Predictions
    from .classification.predictor import Predictor as Predictor
    from .classification.predictor import load_model as load_model
    from .classification.saliency import Explainer as Explainer
    from .classification.saliency import explain as explain
    from .core.preprocess import PreprocessSpec as PreprocessSpec
    from .core.rejection import UNKNOWN as UNKNOWN
    from .data.options import SplitOptions as SplitOptions
    from .data.options import TableOptions as TableOptions
    from .errors import ReheadError as ReheadError
    from .faces.detection.detector import FaceDetector as FaceDetector
    from .faces.embedding.embedder import FaceEmbedder as FaceEmbedder
    from .faces.encoder import FaceEncoder as FaceEncoder
    from .faces.gallery.gallery import FaceGallery as FaceGallery
    from .faces.options import FaceOptions as FaceOptions
    from .faces.predictor import load_face_model as load_face_model
    from .finetune.classifier import FineTunedClassifier as FineTunedClassifier
    from .finetune.config import FineTuneConfig as FineTuneConfig
    from .finetune.config import KeypointFineTuneConfig as KeypointFineTuneConfig
    from .finetune.keypoints import FineTunedKeypoints as FineTunedKeypoints
    from .keypoints.estimator import KeypointRegressor as KeypointRegressor
    from .keypoints.options import KeypointOptions as KeypointOptions
    from .keypoints.predictor import KeypointPredictor as KeypointPredictor
    from .keypoints.predictor import load_keypoints as load_keypoints
    from .workflows.compare import compare_models as compare_models
    from .workflows.config import KeypointTrainConfig as KeypointTrainConfig
    from .workflows.config import TrainConfig as TrainConfig
    from .workflows.config import run_keypoint_training as run_keypoint_training
    from .workflows.config import run_training as run_training
    from .workflows.keypoints import train_keypoints as train_keypoints
    from .workflows.report import report as report
    from .workflows.run import Run as Run
    from .workflows.train import train as train

    __version__: str

_resolve, _, _names = attach(
    __name__,
    {
        "audit.issues": ["Audit", "Issue"],
        "audit.run": ["audit_photos"],
        "backbones.activations": ["layer_maps"],
        "backbones.neighbours": ["similar"],
        "classification.estimator": ["ImageClassifier"],
        "classification.evaluate": ["ModelEvaluation", "evaluate_model"],
        "classification.options": ["ClassifierOptions"],
        "classification.predictor": ["Prediction", "Predictions", "Predictor", "load_model"],
        "classification.saliency": ["Explainer", "explain"],
        "core.preprocess": ["PreprocessSpec"],
        "core.rejection": ["UNKNOWN"],
        "data.options": ["SplitOptions", "TableOptions"],
        "errors": ["ReheadError"],
        "faces.detection.detector": ["FaceDetector"],
        "faces.embedding.embedder": ["FaceEmbedder"],
        "faces.encoder": ["FaceEncoder"],
        "faces.gallery.gallery": ["FaceGallery"],
        "faces.options": ["FaceOptions"],
        "faces.predictor": ["load_face_model"],
        "finetune.classifier": ["FineTunedClassifier"],
        "finetune.config": ["FineTuneConfig", "KeypointFineTuneConfig"],
        "finetune.keypoints": ["FineTunedKeypoints"],
        "keypoints.estimator": ["KeypointRegressor"],
        "keypoints.options": ["KeypointOptions"],
        "keypoints.predictor": ["KeypointPredictor", "load_keypoints"],
        "workflows.compare": ["compare_models"],
        "workflows.config": ["KeypointTrainConfig", "TrainConfig", "run_keypoint_training", "run_training"],
        "workflows.keypoints": ["train_keypoints"],
        "workflows.report": ["report"],
        "workflows.run": ["Run"],
        "workflows.train": ["train"],
    },
)

__all__ = sorted([*_names, "__version__", "errors"])


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
