"""Testing a model file on photos whose classes are known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import trained_on
from ..core.progress import Progress, tracked
from ..core.rejection import UNKNOWN
from ..core.run_dir import failed_photos, run_record, write_json
from ..data import Dataset, check_labels, read_dataset
from ..errors import DatasetError, ImageError
from ..evaluation import (
    Evaluation,
    Mistake,
    PhotoAnswer,
    UnknownPhotos,
    confident_mistakes,
    evaluate,
    write_predictions,
    write_report,
)
from ..evaluation.notebook import evaluation_html
from ..images import file_digest
from .predictor import Prediction, Predictor

__all__ = ["AnsweredPhotos", "ModelEvaluation", "evaluate_model"]


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

    def _repr_html_(self) -> str:
        return evaluation_html(self.evaluation, warnings=self.warnings)


def evaluate_model(
    model: Predictor,
    photos: str | os.PathLike[str] | Dataset,
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
    photos : path or Dataset
        A folder or CSV with classes, in any form that `train` takes; with a test split, only that. Photos
        of a class "unknown" are of no class: the evaluation says how many of them are refused.
    out : path, optional
        Folder to write metrics.json, predictions.csv and report.html to.
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
    known = dataset.labels != UNKNOWN
    if not known.any():
        raise DatasetError(
            f"{dataset.root}: all photos are of no class; put the class folders beside {UNKNOWN}/, too"
        )
    check_labels(model.labels, dataset.take(known))
    answers: list[Prediction | ImageError] = []
    each = model.predict_each(dataset.paths)
    for answer in tracked(each, len(dataset), progress, "Looking at photos"):
        if strict and isinstance(answer, ImageError):
            raise answer
        answers.append(answer)
    unreadable = [
        (i, a.reason) for i, a in zip(dataset.ids, answers, strict=True) if isinstance(a, ImageError)
    ]
    readable = np.array([isinstance(answer, Prediction) for answer in answers])
    if not (readable & known).any():
        raise DatasetError(
            f"{dataset.root}: none of the {int(known.sum())} photos can be read; {': '.join(unreadable[0])}"
        )
    dataset = dataset.take(readable)
    answered = AnsweredPhotos(dataset, [answer for answer in answers if isinstance(answer, Prediction)])
    notes += _overlap_warning(model, dataset)
    evaluation = answered.evaluate(model)
    result = ModelEvaluation(evaluation, notes + evaluation.warnings, unreadable)
    if out is not None:
        _write(Path(out), model, answered, result, notes, command)
    return result


@dataclass(frozen=True)
class AnsweredPhotos:
    """Photos of known classes, and of none ("unknown"), with a model's answers.

    Parameters
    ----------
    dataset : Dataset
    answers : list of Prediction
        One for each photo.
    """

    dataset: Dataset
    answers: list[Prediction]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which photos are of a class, (n,)."""
        return np.asarray(self.dataset.labels != UNKNOWN)

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which photos get a class as their answer, (n,)."""
        return np.array([not answer.reason for answer in self.answers])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities of each photo, (n, K)."""
        return np.stack([answer.probabilities for answer in self.answers]).astype(np.float64)

    def truth(self, labels: Sequence[str]) -> NDArray[np.intp]:
        """Index of the class of each photo that has one."""
        return np.array([labels.index(label) for label in self.dataset.labels[self.known].tolist()])

    def evaluate(
        self, model: Predictor, *, groups: NDArray[np.intp] | None = None, seed: int = 0
    ) -> Evaluation:
        """How good the answers are; the groups (n,) are the dataset's by default."""
        if groups is None:
            names = np.where(self.dataset.groups == "", np.array(self.dataset.ids), self.dataset.groups)
            groups = np.unique(names, return_inverse=True)[1]
        known, probabilities = self.known, self.probabilities
        unknown = UnknownPhotos(probabilities[~known].argmax(axis=1), self.accepted[~known], groups[~known])
        return evaluate(
            self.truth(model.labels),
            probabilities[known],
            list(model.labels),
            groups=groups[known],
            accepted=self.accepted[known],
            unknown=None if known.all() else unknown,
            seed=seed,
        )

    def mistakes(self, model: Predictor) -> list[Mistake]:
        """The surest mistakes, of the photos that are of a class."""
        tested = self.dataset.take(self.known)
        return confident_mistakes(
            self.truth(model.labels),
            self.probabilities[self.known],
            model.labels,
            list(zip(tested.paths, tested.ids, strict=True)),
            accepted=self.accepted[self.known],
        )

    def write(self, path: Path) -> None:
        """Write predictions.csv."""
        labels = self.dataset.labels.tolist()
        write_predictions(
            path,
            [
                PhotoAnswer(name, true, a.nearest, a.probability, a.outlier_score, a.reason)
                for name, true, a in zip(self.dataset.ids, labels, self.answers, strict=True)
            ],
        )


def _overlap_warning(model: Predictor, dataset: Dataset) -> list[str]:
    """A warning where photos were trained on."""
    digests = [file_digest(path) for path in dataset.paths]
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
    answered: AnsweredPhotos,
    result: ModelEvaluation,
    notes: list[str],
    command: Sequence[str],
) -> None:
    about = {k: v for k, v in model.manifest.items() if k not in ("seen", "metrics", "styles")}
    known = int(answered.known.sum())
    of_no_class = len(answered.answers) - known
    write_report(
        folder / "report.html",
        title=answered.dataset.root.resolve().name,
        evaluation=result.evaluation,
        run=run_record(command, {"model": about}),
        mistakes=answered.mistakes(model),
        operating_point=model.operating_point.to_dict(),
        unreadable=result.unreadable,
        facts={
            "Tested on": known,
            "Classes": len(model.labels),
            **({"Of no class": of_no_class} if of_no_class else {}),
            "Unreadable": len(result.unreadable),
        },
        notes=notes,
    )
    answered.write(folder / "predictions.csv")
    write_json(folder / "metrics.json", result.to_dict())
