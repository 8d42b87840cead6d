"""Comparison of models on the same test photos, with paired intervals."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..core.atomic import write_text
from ..core.text import (
    count,
    duration,
    file_size,
    latency,
    listed,
    number,
    number_range,
    percent,
    percent_range,
    points,
    points_range,
    thousands,
)
from ..errors import DataError
from . import metrics
from .charts import cost_chart
from .intervals import LEVEL, Interval, group_codes, mean_log_loss, paired_difference, proportion
from .report import render

__all__ = ["Comparison", "Cost", "ModelResult", "compare_answers", "write_comparison"]


@dataclass(frozen=True)
class Cost:
    """Cost of training and using a model.

    Parameters
    ----------
    seconds : float
        From photos to a fitted classifier.
    continued : bool
        Whether the training was continued after a kill, so that `seconds` are those of its last part.
    file_size : int
        Of the model file, bytes.
    parameters, trained : int
        Parameters of network and head, and how many of them were fitted to these photos.
    latency : Interval
        Seconds to answer one photo, warm: median, and the quartiles of the repetitions.
    """

    seconds: float
    continued: bool
    file_size: int
    parameters: int
    trained: int
    latency: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "latency": self.latency.to_dict()}


@dataclass(frozen=True)
class ModelResult:
    """One of the compared models.

    Parameters
    ----------
    name : str
    folder : str
        Its run directory, inside that of the comparison.
    accuracy, log_loss : Interval
    difference : Interval or None
        Its accuracy minus that of the first; None for the first itself.
    cost : Cost
    note : str
        A remark, a plain sentence, or "".
    """

    name: str
    folder: str
    accuracy: Interval
    log_loss: Interval
    difference: Interval | None
    cost: Cost
    note: str = ""

    @property
    def significant(self) -> bool:
        """Whether the interval of the difference to the first excludes 0."""
        return self.difference is not None and (self.difference.low > 0 or self.difference.high < 0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name,
            "folder": self.folder,
            "accuracy": self.accuracy.to_dict(),
            "difference": self.difference and self.difference.to_dict(),
            "log_loss": self.log_loss.to_dict(),
            **self.cost.to_dict(),
            "note": self.note,
        }


@dataclass(frozen=True)
class Comparison:
    """Models, each compared with the first, as returned by `compare_answers`.

    Parameters
    ----------
    models : tuple of ModelResult
    photos, groups : int
        Test photos, and the groups of near-duplicates or of the user they fall into.
    baseline_class : str
    baseline : float
        The accuracy of always predicting it.
    notes : tuple of str
        Plain sentences about the photos and about models that were not compared.
    """

    models: tuple[ModelResult, ...]
    photos: int
    groups: int
    baseline_class: str
    baseline: float
    notes: tuple[str, ...] = ()

    @property
    def together(self) -> str:
        """Confidence level of the intervals: "95 %", or "95 %, all 3 together"."""
        others = len(self.models) - 1
        return percent(LEVEL, 0) + (f", all {others} together" if others > 1 else "")

    @property
    def sentence(self) -> str:
        """The result in plain words."""
        first, *others = self.models
        if not others:
            return (
                f"'{first.name}' named {percent(first.accuracy.value)} of {count(self.photos, 'test photo')} "
                f"correctly ({percent(LEVEL, 0)} interval {percent_range(first.accuracy)}); there is nothing "
                "to compare it with."
            )
        decided = sorted((c for c in others if c.significant), key=lambda c: -_value(c))
        said = [self._verdict(model) for model in decided]
        close = [model for model in others if not model.significant]
        if len(close) == 1:
            said.append(self._verdict(close[0]))
        elif close:
            far = max(close, key=lambda c: (abs(_value(c)), _width(c)))
            most = (
                f"the largest difference is that of '{far.name}', {points(_value(far))}"
                if _value(far)
                else "they named as many correctly"
            )
            said.append(
                f"Too close to '{first.name}' to tell with {count(self.photos, 'test photo')}: "
                f"{listed([c.name for c in close])}; {most} ({self._interval(far)})."
            )
        return " ".join(said)

    def _verdict(self, model: ModelResult) -> str:
        value, first = _value(model), self.models[0]
        end = "" if model.significant else ": too close to tell"
        tested = count(self.photos, "test photo")
        if not value:
            return (
                f"'{model.name}' named as many of the {tested} correctly as '{first.name}' "
                f"({self._interval(model)}){end}."
            )
        if model.significant:
            by = f"is {points(abs(value))} {'better' if value > 0 else 'worse'} than"
        else:
            by = f"scored {points(abs(value))} {'above' if value > 0 else 'below'}"
        return f"'{model.name}' {by} '{first.name}' on the {tested} ({self._interval(model)}){end}."

    def _interval(self, model: ModelResult) -> str:
        together = " for all differences together" if len(self.models) > 2 else ""
        ends = points_range(model.difference) if model.difference else ""
        return f"{percent(LEVEL, 0)} interval{together} {ends}"

    def table(self) -> tuple[list[str], list[list[tuple[str, str]]]]:
        """Names of the columns, and for each model the cells (value, small print or "")."""
        names = ["Model", "Accuracy", "Difference", "Log loss", "Training", "File", "Parameters", "One photo"]
        return names, [self._row(number_, c) for number_, c in enumerate(self.models, 1)]

    @staticmethod
    def _row(place: int, model: ModelResult) -> list[tuple[str, str]]:
        cost, change = model.cost, model.difference
        at_least = "at least " if cost.continued else ""
        return [
            (f"{place}. {model.name}", ""),
            (percent(model.accuracy.value), percent_range(model.accuracy)),
            (points(change.value, sign=True), points_range(change)) if change else ("\N{EN DASH}", ""),
            (number(model.log_loss.value), number_range(model.log_loss)),
            (at_least + duration(cost.seconds), ""),
            (file_size(cost.file_size), ""),
            (thousands(cost.parameters), f"{thousands(cost.trained)} trained"),
            (latency(cost.latency.value), ""),
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "sentence": self.sentence,
            "photos": self.photos,
            "groups": self.groups,
            "level": LEVEL,
            "differences_together": len(self.models) > 2,
            "baseline": {"class": self.baseline_class, "accuracy": round(self.baseline, 6)},
            "models": [model.to_dict() for model in self.models],
            "notes": list(self.notes),
        }

    def to_markdown(self, title: str) -> str:
        """The table with its sentence and notes, Markdown."""
        names, rows = self.table()
        lines = [
            "| " + " | ".join(names) + " |",
            "| --- |" + " ---: |" * (len(names) - 1),
            *("| " + " | ".join(_cell(*cell) for cell in row) + " |" for row in rows),
        ]
        notes = [*self.notes, *(f"{c.name}: {c.note}" for c in self.models if c.note)]
        said = "\n".join(f"- {note}" for note in notes)
        parts = (f"# Models compared: {title}", self.sentence, "\n".join(lines), said, self.method)
        return "\n\n".join(part for part in parts if part) + "\n"

    def _repr_html_(self) -> str:
        from .notebook import comparison_html

        return comparison_html(self, [chart for _, chart in _cost_charts(self)])

    @property
    def method(self) -> str:
        """Methods in plain sentences."""
        return (
            f"All were trained on the same photos and tested on the same {count(self.photos, 'other')}"
            + (f", which fall into {count(self.groups, 'group')}" if self.groups < self.photos else "")
            + f"; always answering '{self.baseline_class}' would get {percent(self.baseline)}. "
            "Accuracy: Wilson's interval. Differences are paired, photo by photo, with the interval of "
            f"Bonett and Price ({self.together}). Training: from photos to a fitted classifier, each with a "
            "cache of its own. One photo: from the file's bytes to the answer, warm, median; measured by "
            "turns, when all were trained."
        )


def _value(model: ModelResult) -> float:
    return model.difference.value if model.difference else 0.0


def _width(model: ModelResult) -> float:
    return model.difference.high - model.difference.low if model.difference else 0.0


def _cell(value: str, more: str) -> str:
    text = f"{value} ({more})" if more else value
    return text.replace("|", "\\|").replace("\n", " ")


def compare_answers(
    y_true: ArrayLike,
    answers: Sequence[NDArray[Any]],
    names: Sequence[tuple[str, str, str]],
    costs: Sequence[Cost],
    classes: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> Comparison:
    """Compare models by their probabilities on the same test photos.

    Parameters
    ----------
    y_true : int (n,)
        Index of the true class.
    answers : sequence of float (n, K)
        Probabilities of each model.
    names : sequence of (name, folder, note)
    costs : sequence of Cost
    classes : sequence of str, length K
    groups : int (n,), optional
        As in `evaluate`.
    notes : sequence of str
    seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        No model, or shapes that do not match.
    """
    if not answers:
        raise DataError("there is no model to compare")
    checked = [metrics.check(y_true, given) for given in answers]
    y = checked[0][0]
    codes = group_codes(groups, len(y))
    right = [p.argmax(axis=1) == y for _, p in checked]
    among = max(len(answers) - 1, 1)
    models = [
        ModelResult(
            name,
            folder,
            proportion(hits, codes),
            mean_log_loss(y, p, codes, seed=seed),
            None if hits is right[0] else paired_difference(hits, right[0], codes, among=among),
            cost,
            note,
        )
        for (name, folder, note), hits, (_, p), cost in zip(names, right, checked, costs, strict=True)
    ]
    most_frequent, baseline = metrics.majority_baseline(y)
    return Comparison(
        tuple(models), len(y), int(codes.max()) + 1, classes[most_frequent], baseline, tuple(notes)
    )


def write_comparison(
    path: str | os.PathLike[str], *, title: str, comparison: Comparison, run: Mapping[str, Any]
) -> None:
    """Write the comparison as one HTML file, whole or not at all.

    Parameters
    ----------
    path : path
    title : str
    comparison : Comparison
    run : mapping
        As `core.run_dir.run_record`.
        Shown as a table.

    Raises
    ------
    OutputError
        Where the file cannot be written.
    """
    names, rows = comparison.table()
    html = render(
        "comparison.html.j2",
        title=title,
        c=comparison,
        names=names,
        rows=rows,
        notes=comparison.notes,
        **dict(_cost_charts(comparison)),
        run=run,
    )
    write_text(path, html)


def _cost_charts(comparison: Comparison) -> list[tuple[str, str]]:
    """Accuracy against the time for one photo and against that to train, under the names of the template."""
    models = [(c.name, c.accuracy, c.cost) for c in comparison.models]
    return [
        (
            "by_latency",
            cost_chart(
                [(name, accuracy, 1000 * cost.latency.value) for name, accuracy, cost in models],
                "time for one photo",
                "ms",
                comparison.baseline,
            ),
        ),
        (
            "by_training",
            cost_chart(
                [(name, accuracy, cost.seconds) for name, accuracy, cost in models],
                "time to train",
                "s",
                comparison.baseline,
            ),
        ),
    ]
