"""Testing a model file on photos whose classes are known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.model_file import trained_on
from ..core.progress import Progress
from ..core.run_dir import failed_photos, run_record, write_json
from ..data import Dataset, check_labels, read_dataset
from ..errors import DatasetError, ImageError
from ..evaluation import Evaluation, confident_mistakes, evaluate, write_report
from ..images import read_bytes
from .predictor import Prediction, Predictor

__all__ = ["ModelEvaluation", "evaluate_model"]


@dataclass(frozen=True)
class ModelEvaluation:
    """How good a model file is on some photos.

    Parameters
    ----------
    evaluation : Evaluation
    warnings : list of str
        Plain sentences, those of the evaluation among them.
    unreadable : list of (str, str)
        Id and reason of each photo that was left out.
    """

    evaluation: Evaluation
    warnings: list[str]
    unreadable: list[tuple[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        unreadable = failed_photos(self.unreadable)
        return {"test": self.evaluation.to_dict(), "warnings": self.warnings, "unreadable": unreadable}


def evaluate_model(
    model: Predictor,
    photos: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> ModelEvaluation:
    """Test a model on photos.

    Parameters
    ----------
    model : Predictor
    photos : path
        A folder or CSV with classes, in any form that `train` takes; with a test split, only that.
    out : path, optional
        Folder to write metrics.json and report.html to.
    strict : bool
        Whether an unreadable photo is an error.

    Returns
    -------
    ModelEvaluation

    Raises
    ------
    DataError, OutputError
    """
    dataset = read_dataset(photos)
    notes = []
    if "test" in dataset.splits:
        dataset = dataset.take(dataset.splits == "test")
        notes.append("Only the photos of the test split were used.")
    if not len(dataset):
        raise DatasetError(f"{dataset.root}: no photo is there to test on")
    check_labels(model.labels, dataset)
    answers: list[Prediction | ImageError] = []
    for answer in model.predict_each(dataset.paths):
        if strict and isinstance(answer, ImageError):
            raise answer
        answers.append(answer)
        if progress:
            progress(len(answers), len(dataset))
    unreadable = [
        (i, a.reason) for i, a in zip(dataset.ids, answers, strict=True) if isinstance(a, ImageError)
    ]
    rows = [n for n, answer in enumerate(answers) if isinstance(answer, Prediction)]
    if not rows:
        raise DatasetError(
            f"{dataset.root}: none of the {len(dataset)} photos can be read; {': '.join(unreadable[0])}"
        )
    dataset = dataset.take(rows)
    given = [answer for answer in answers if isinstance(answer, Prediction)]
    notes += _overlap_warning(model, dataset)
    truth = np.array([model.labels.index(label) for label in dataset.labels.tolist()])
    probabilities = np.stack([answer.probabilities for answer in given]).astype(np.float64)
    accepted = np.array([not answer.reason for answer in given])
    groups = np.unique(
        np.where(dataset.groups == "", np.array(dataset.ids), dataset.groups), return_inverse=True
    )[1]
    evaluation = evaluate(truth, probabilities, list(model.labels), groups=groups, accepted=accepted)
    result = ModelEvaluation(evaluation, notes + evaluation.warnings, unreadable)
    if out is not None:
        _write(Path(out), model, dataset, result, truth, probabilities, accepted, notes, command)
    return result


def _overlap_warning(model: Predictor, dataset: Dataset) -> list[str]:
    """A warning where photos were trained on."""
    digests = [hashlib.sha256(read_bytes(path)).hexdigest() for path in dataset.paths]
    count = int(trained_on(model.manifest, digests).sum())
    if not count:
        return []
    return [
        f"{count} of these {len(dataset)} photos were trained on, so the figures flatter the model; "
        "test on photos it has not seen."
    ]


def _write(
    folder: Path,
    model: Predictor,
    dataset: Dataset,
    result: ModelEvaluation,
    truth: Any,
    probabilities: Any,
    accepted: Any,
    notes: list[str],
    command: Sequence[str],
) -> None:
    about = {k: v for k, v in model.manifest.items() if k not in ("seen", "metrics", "styles")}
    photos = list(zip(dataset.paths, dataset.ids, strict=True))
    write_report(
        folder / "report.html",
        title=dataset.root.resolve().name,
        evaluation=result.evaluation,
        run=run_record(command, {"model": about}),
        mistakes=confident_mistakes(truth, probabilities, model.labels, photos, accepted=accepted),
        operating_point=model.operating_point.to_dict(),
        unreadable=result.unreadable,
        facts={"Tested on": len(dataset), "Classes": len(model.labels), "Unreadable": len(result.unreadable)},
        notes=notes,
    )
    write_json(folder / "metrics.json", result.to_dict())
