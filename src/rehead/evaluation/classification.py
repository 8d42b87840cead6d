"""Evaluation of a classifier: metrics with confidence intervals, and warnings about what they cannot show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.rejection import UNKNOWN
from ..core.text import count, listed, number, number_range, percent, percent_range
from ..errors import DataError
from . import metrics
from .intervals import LEVEL, Interval, ScoreIntervals, f1_interval, group_codes, proportion, score_intervals

__all__ = ["ClassScores", "Evaluation", "UnknownPhotos", "evaluate"]

# 5 correct of 5 still has an interval from 57 % (Wilson): with fewer, a class's row shows nothing
_FEW = 5
# an interval of 10 points to either side; 93 photos have a narrower one at any accuracy (Wilson)
_WIDE, _ENOUGH = 0.2, 100
# more than half of one bin of the reliability diagram: visible
_MISCALIBRATED = 0.05
# fewer, and the design effect is mostly noise (simulated as in tests/unit/evaluation/test_intervals.py)
_FEW_GROUPS = 10
_CURVE_POINTS = 101


@dataclass(frozen=True)
class ClassScores:
    """One class of the test set.

    Parameters
    ----------
    name : str
    support : int
        Photos whose true class it is.
    predicted : int
        Photos that were predicted as it.
    precision, recall, f1 : Interval
        All nan where not defined: precision of a class never predicted, recall and F1 of one without photos.
    """

    name: str
    support: int
    predicted: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True, eq=False)
class UnknownPhotos:
    """What a model says of photos of no class, which it should refuse.

    Parameters
    ----------
    nearest : int (m,)
        Index of the most probable class of each photo.
    accepted : bool (m,)
        Whether the operating point answers the photo, which is a mistake.
    groups : int (m,), optional
        As in `evaluate`.
    """

    nearest: NDArray[np.intp]
    accepted: NDArray[np.bool_]
    groups: NDArray[np.intp] | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of a model on a test set, as returned by `evaluate`.

    Parameters
    ----------
    classes : tuple of str, length K
    photos, groups : int
        Test photos, and the groups of near-duplicates or of the user they fall into.
    scores : ScoreIntervals
    per_class : tuple of ClassScores, length K
    confusion : int (K, K)
        Row the true class, column the predicted one.
    reliability : Reliability
    curve : CoverageCurve
    baseline_class : str
        The most frequent class of the test set.
    baseline : float
        The accuracy of always predicting it.
    coverage, accepted_accuracy : Interval or None
        Fraction of photos that the operating point answers, and the accuracy on those.
    answers : int (K, K + 1) or (K + 1, K + 1), or None
        As `confusion`, but of what the operating point answers: the last column is "unknown", and a last row
        the photos of no class, where there are such.
    unknown_photos : int
        Photos of no class; they are in no other number.
    refused : Interval or None
        Fraction of them that is answered "unknown".
    """

    classes: tuple[str, ...]
    photos: int
    groups: int
    scores: ScoreIntervals
    per_class: tuple[ClassScores, ...]
    confusion: NDArray[np.int64]
    reliability: metrics.Reliability
    curve: metrics.CoverageCurve
    baseline_class: str
    baseline: float
    coverage: Interval | None = None
    accepted_accuracy: Interval | None = None
    answers: NDArray[np.int64] | None = None
    unknown_photos: int = 0
    refused: Interval | None = None

    @property
    def sentence(self) -> str:
        """The result in one sentence, and one about photos of no class where there are such."""
        accuracy = self.scores.accuracy
        verb = "was" if self.photos == 1 else "were"
        return (
            f"{percent(accuracy.value)} of {count(self.photos, 'test photo')} {verb} named correctly "
            f"({percent(LEVEL, 0)} interval {percent_range(accuracy)}); "
            f"always answering '{self.baseline_class}' would get {percent(self.baseline)}."
            f"{self._about_unknown()}"
        )

    def _about_unknown(self) -> str:
        if not self.refused:
            return ""
        return (
            f" Of {count(self.unknown_photos, 'photo')} of no class {percent(self.refused.value)} "
            f"{'was' if self.unknown_photos == 1 else 'were'} answered 'unknown' "
            f"({percent(LEVEL, 0)} interval {percent_range(self.refused)})."
        )

    @property
    def warnings(self) -> list[str]:
        """Plain sentences about what the metrics cannot show; may be empty."""
        return [*self._about_size(), *self._about_classes(), *self._about_calibration()]

    def _about_size(self) -> list[str]:
        accuracy, sentences = self.scores.accuracy, []
        always = f"always answering '{self.baseline_class}'"
        if accuracy.value <= self.baseline:
            sentences.append(f"The model is no better than {always}, which gets {percent(self.baseline)}.")
        elif accuracy.low <= self.baseline:
            sentences.append(
                f"The test set is too small to tell whether the model is better than {always}: that gets "
                f"{percent(self.baseline)}, and the accuracy may be as low as {percent(accuracy.low)}."
            )
        elif accuracy.high - accuracy.low > _WIDE:
            sentences.append(
                "The test set is too small to tell how good the model is: the accuracy may lie anywhere from "
                f"{percent_range(accuracy)}. {_ENOUGH} photos, no two alike, would tell to within 10 points."
            )
        if self.groups < min(self.photos, _FEW_GROUPS):
            sentences.append(
                f"The {count(self.photos, 'test photo')} fall into only {count(self.groups, 'group')} "
                "of photos that belong together, so the intervals are rough."
            )
        return sentences

    def _about_classes(self) -> list[str]:
        absent = [row.name for row in self.per_class if row.support == 0]
        few = [row.name for row in self.per_class if 0 < row.support < _FEW]
        sentences = []
        if absent:
            sentences.append(
                f"No test photos of {listed(absent)}: how well they are recognised is unknown, and averages "
                "over classes leave them out."
            )
        if few:
            sentences.append(f"Fewer than {_FEW} test photos of {listed(few)}: their rows say little.")
        return sentences

    def _about_calibration(self) -> list[str]:
        error, bars = self.scores.expected_calibration_error, self.reliability
        if error.low <= _MISCALIBRATED:
            return []
        confidence = float(np.nansum(bars.confidence * bars.count)) / self.photos
        lean = "overconfident" if confidence > self.scores.accuracy.value else "underconfident"
        return [
            f"The probabilities are poorly calibrated: they differ from the accuracy by "
            f"{percent(error.value)} on average (interval {percent_range(error)}), and the model is {lean}."
        ]

    def _repr_html_(self) -> str:
        from .notebook import evaluation_html

        return evaluation_html(self)

    def named_scores(self) -> list[tuple[str, Interval, bool]]:
        """Return every metric as (name, interval, whether it is a fraction of 0 to 1), in reading order."""
        scores = self.scores
        rows = [
            ("Accuracy", scores.accuracy, True),
            ("Balanced accuracy", scores.balanced_accuracy, True),
            ("Macro F1", scores.macro_f1, True),
            ("Calibration error", scores.expected_calibration_error, True),
            ("Log loss", scores.log_loss, False),
            ("Brier score", scores.brier, False),
        ]
        if self.coverage and self.accepted_accuracy:
            rows.insert(1, ("Answered, not 'unknown'", self.coverage, True))
            rows.insert(2, ("Accuracy when answered", self.accepted_accuracy, True))
        if self.refused:
            rows.insert(len(rows) - 5, ("'unknown' for photos of no class", self.refused, True))
        return rows

    def table(self) -> list[tuple[str, str, str]]:
        """Return rows as text: name, value, 95 % interval (empty for the baseline)."""
        rows = [
            (name, percent(i.value), percent_range(i))
            if is_fraction
            else (name, number(i.value), number_range(i))
            for name, i, is_fraction in self.named_scores()
        ]
        baseline = (f"Always answering '{self.baseline_class}'", percent(self.baseline), "")
        return [rows[0], baseline, *rows[1:]]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values: numbers rounded to 6 digits, null where not defined.

        The confusion matrix is the list of its cells that are not 0; the curve has at most 101 points.
        """
        bars, curve = self.reliability, self.curve
        points = np.unique(np.linspace(0, len(curve.coverage) - 1, _CURVE_POINTS).round().astype(int))
        return {
            "sentence": self.sentence,
            "warnings": self.warnings,
            "photos": self.photos,
            "groups": self.groups,
            "level": LEVEL,
            **{name: interval.to_dict() for name, interval in vars(self.scores).items()},
            "baseline": {"class": self.baseline_class, "accuracy": _rounded(self.baseline)},
            "coverage": self.coverage and self.coverage.to_dict(),
            "accepted_accuracy": self.accepted_accuracy and self.accepted_accuracy.to_dict(),
            "unknown": self.refused and {"photos": self.unknown_photos, "refused": self.refused.to_dict()},
            "per_class": [
                {
                    "class": row.name,
                    "photos": row.support,
                    "predicted": row.predicted,
                    **{score: getattr(row, score).to_dict() for score in ("precision", "recall", "f1")},
                }
                for row in self.per_class
            ],
            "confusion": [
                {"true": self.classes[i], "predicted": self.classes[j], "photos": int(self.confusion[i, j])}
                for i, j in np.argwhere(self.confusion)
            ],
            "answers": self._answer_cells(),
            "reliability": _records(
                {
                    "above": bars.edges[:-1],
                    "up_to": bars.edges[1:],
                    "photos": bars.count,
                    "confidence": bars.confidence,
                    "accuracy": bars.accuracy,
                }
            ),
            "coverage_accuracy": _records({name: column[points] for name, column in vars(curve).items()}),
        }

    def _answer_cells(self) -> list[dict[str, Any]] | None:
        if self.answers is None:
            return None
        names = (*self.classes, UNKNOWN)
        return [
            {"true": names[i], "answer": names[j], "photos": int(self.answers[i, j])}
            for i, j in np.argwhere(self.answers)
        ]


def evaluate(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    accepted: ArrayLike | None = None,
    unknown: UnknownPhotos | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a model by its probabilities on the test set.

    Parameters
    ----------
    y_true : int (n,)
        Index of the true class.
    probabilities : float (n, K)
        Rows sum to one.
    classes : sequence of str, length K
    groups : int (n,), optional
        Photos that are not independent share one: near-duplicates, one person, one recording.
    accepted : bool (n,), optional
        Whether the operating point answers the photo; False is "unknown".
    unknown : UnknownPhotos, optional
        Photos of no class, besides.
    seed : int
        Of the bootstrap; equal inputs and seeds give equal results.

    Raises
    ------
    DataError
        No photos, or shapes and values that do not match.
    """
    y, p = metrics.check(y_true, probabilities)
    if len(classes) != p.shape[1]:
        raise DataError(
            f"{len(classes)} classes for {p.shape[1]} columns of probabilities; one each expected"
        )
    codes = group_codes(groups, len(y))
    y_pred = p.argmax(axis=1)
    coverage = accepted_accuracy = answers = refused = None
    if accepted is not None:
        taken = np.asarray(accepted, dtype=bool)
        if taken.shape != y.shape:
            raise DataError(f"accepted has shape {taken.shape}; expected one entry a photo, {y.shape}")
        coverage = proportion(taken, codes)
        accepted_accuracy = proportion((y_pred == y)[taken], codes[taken])
        answers = _answers(y, y_pred, taken, len(classes), unknown)
    if unknown is not None:
        refused = proportion(~unknown.accepted, group_codes(unknown.groups, len(unknown.accepted)))
    baseline_class, baseline = metrics.majority_baseline(y)
    return Evaluation(
        classes=tuple(classes),
        photos=len(y),
        groups=int(codes.max()) + 1,
        scores=score_intervals(y, p, codes, seed=seed),
        per_class=tuple(_class_scores(i, name, y, y_pred, codes) for i, name in enumerate(classes)),
        confusion=metrics.confusion_matrix(y, p),
        reliability=metrics.reliability(y, p),
        curve=metrics.coverage_accuracy(y, p, accepted),
        baseline_class=classes[baseline_class],
        baseline=baseline,
        coverage=coverage,
        accepted_accuracy=accepted_accuracy,
        answers=answers,
        unknown_photos=0 if unknown is None else len(unknown.accepted),
        refused=refused,
    )


def _answers(
    y: NDArray[np.int64],
    y_pred: NDArray[np.int64],
    accepted: NDArray[np.bool_],
    k: int,
    unknown: UnknownPhotos | None,
) -> NDArray[np.int64]:
    """Photos by true class and answer; see `Evaluation`."""
    if unknown is not None:
        y = np.append(y, np.full(len(unknown.nearest), k))
        y_pred = np.append(y_pred, unknown.nearest)
        accepted = np.append(accepted, unknown.accepted)
    rows = k + (unknown is not None)
    cells = np.bincount(y * (k + 1) + np.where(accepted, y_pred, k), minlength=rows * (k + 1))
    return cells.reshape(rows, k + 1).astype(np.int64)


def _class_scores(
    index: int, name: str, y: NDArray[np.int64], y_pred: NDArray[np.int64], codes: NDArray[np.int64]
) -> ClassScores:
    is_class, predicted_class = y == index, y_pred == index
    return ClassScores(
        name=name,
        support=int(is_class.sum()),
        predicted=int(predicted_class.sum()),
        precision=proportion(is_class[predicted_class], codes[predicted_class]),
        recall=proportion(predicted_class[is_class], codes[is_class]),
        f1=f1_interval(is_class, predicted_class, codes),
    )


def _records(columns: dict[str, NDArray[Any]]) -> list[dict[str, float | int | None]]:
    return [
        dict(zip(columns, map(_rounded, row), strict=True))
        for row in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]


def _rounded(x: float) -> float | int | None:
    return None if math.isnan(x) else round(x, 6)
