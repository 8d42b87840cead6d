"""What a training run writes down: its options, its photos, its head, and the metrics in short."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..classification.estimator import ImageClassifier
from ..core.options import options_record
from ..core.run_dir import failed_photos
from ..data.options import SplitOptions, TableOptions
from ..data.split import Split
from ..faces.options import FaceOptions
from ..finetune.classifier import FineTunedClassifier

__all__ = [
    "Classifier",
    "classifier_record",
    "head_record",
    "metrics_summary",
    "run_facts",
    "run_options",
    "training_record",
]

Classifier: TypeAlias = ImageClassifier | FineTunedClassifier


def head_record(model: Classifier) -> dict[str, Any]:
    """The candidates of the head and which was chosen, as metrics.json has them."""
    levels = len(model.fitted_.backbone.levels)
    path = [
        {
            "candidate": _candidate(point.n_levels, point.mirrored, point.loss, levels),
            "l2": point.l2,
            "log_loss": round(point.log_loss, 6),
            "chosen": point == model.head_.chosen,
        }
        for point in model.head_.path
    ]
    return {
        "path": path,
        "temperature": round(model.temperature_, 6),
        "folds": model.fitted_.trained_on.folds,
    }


def training_record(model: Classifier) -> dict[str, Any]:
    """How a network was trained, where one was."""
    return {"training": model.training_} if model.training_ else {}


def _candidate(n_levels: int, mirrored: bool, loss: str, levels: int) -> str:
    if n_levels == levels and levels > 1:
        where = "all levels"
    else:
        where = "last level" if n_levels == 1 else f"last {n_levels} levels"
    return f"{where}, {loss}" + (", with mirrored photos" if mirrored else "")


def metrics_summary(metrics: dict[str, Any] | None) -> dict[str, Any] | None:
    """The metrics that the model file carries, from all of them (`Evaluation.to_dict`)."""
    if metrics is None:
        return None
    names = (
        "photos",
        "sentence",
        "accuracy",
        "balanced_accuracy",
        "log_loss",
        "expected_calibration_error",
        "coverage",
    )
    return {name: metrics[name] for name in names}


def run_facts(
    model: Classifier,
    options: dict[str, Any],
    divided: Split,
    unreadable: list[tuple[str, str]],
    warnings: list[str],
) -> dict[str, Any]:
    """What run.json says of the photos, the split and the model."""
    dataset = divided.dataset
    parts, counts = np.unique(divided.assignment, return_counts=True)
    return {
        "photos": {"folder": str(dataset.root), **dict(zip(parts.tolist(), counts.tolist(), strict=True))},
        "classes": dataset.counts,
        "groups_kept_together": int((np.unique(divided.group, return_counts=True)[1] > 1).sum()),
        "keeps_bursts": divided.keeps_bursts,
        "test_photos": "given" if (dataset.splits != "").any() else "drawn",
        "split": divided.fingerprint,
        "seed": model.options.random_state,
        "folds": model.fitted_.trained_on.folds,
        "backbone": model.fitted_.weights_record,
        "engine": dict(model.fitted_.trained_on.engine),
        "options": options,
        "parameters": model.fitted_.parameters,
        **training_record(model),
        "unreadable": failed_photos(unreadable),
        "skipped": list(dataset.skipped),
        "left_out": list(dataset.left_out),
        "warnings": warnings,
    }


def run_options(model: Classifier, split: SplitOptions | None, table: TableOptions | None) -> dict[str, Any]:
    """All options of a run, as run.json has them."""
    owners = (split or SplitOptions(), table or TableOptions())
    return {**classifier_record(model), **options_record(owners[0]), **options_record(owners[1])}


def classifier_record(model: Classifier) -> dict[str, Any]:
    """The options of a classifier, as run.json has them."""
    base, config = (model.base, model.config) if isinstance(model, FineTunedClassifier) else (model, None)
    encoder: dict[str, Any] = options_record(base.encoder) if isinstance(base.encoder, FaceOptions) else {}
    return {**options_record(base), **encoder, **(config.to_dict() if config else {})}
