"""The evaluation as one HTML file: no script, no font, no network."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import write_text
from ..core.rejection import UNKNOWN
from ..core.text import count, moment, number, number_range, percent, percent_range, printable
from ..errors import ReheadError
from .charts import coverage_chart, curves_chart, reliability_chart, search_chart
from .classification import ClassScores, Evaluation
from .mistakes import MOST_MISTAKES, Mistake

__all__ = ["AuditSummary", "Exclusion", "base64_thumbnail", "render", "write_report"]

_THUMBNAIL_SIDE, _NEAR_SIDE = 200, 96  # px; some 7 and 2 kB a picture
_MOST_NAMES = 100  # files that are listed under one reason; run.json and splits.csv have them all
# entries of `run` that grow with the photos, or stand in front
_LISTED_APART = ("unreadable", "skipped", "left_out", "warnings", "audit")
_MOST_ROWS = 30
_MOST_COLUMNS = 25  # of the confusion matrix: as many as a page is wide
_MOST_PAIRS = 20
_NO_CLASS = "of no class"
_DARK = 0.75  # fraction of a row from which its cell is too dark for dark text (WCAG contrast 4:1)

_MEANINGS = {
    "Accuracy": "fraction of the test photos named correctly; dashed: always the most frequent class",
    "Answered, not 'unknown'": "coverage: fraction of the test photos that get a class",
    "Accuracy when answered": "fraction of those that are named correctly",
    "'unknown' for photos of no class": "fraction of the photos of no class that are refused",
    "Balanced accuracy": "mean recall of the classes",
    "Macro F1": "mean F1 of the classes",
    "Calibration error": "mean gap between confidence and accuracy",
    "Brier score": "squared error of the probabilities; 0 is the best, 2 the worst",
}


@dataclass(frozen=True)
class Exclusion:
    """Files that were excluded.

    Parameters
    ----------
    what : str
        Which files, and why, as a phrase.
    files : sequence of (name, reason)
        The reason is "" where `what` says it all.
    """

    what: str
    files: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class AuditSummary:
    """Summary of the audit of the photos.

    Parameters
    ----------
    found : sequence of str
        Plain sentences.
    command : str
        Command that shows every issue with its photos.
    """

    found: Sequence[str]
    command: str


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    evaluation: Evaluation,
    run: Mapping[str, Any],
    mistakes: Sequence[Mistake] = (),
    head: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] = (),
    curves_sentence: str | None = None,
    operating_point: Mapping[str, Any] | None = None,
    unreadable: Sequence[tuple[str, str]] = (),
    exclusions: Sequence[Exclusion] = (),
    audit: AuditSummary | None = None,
    methods: Sequence[str] = (),
    facts: Mapping[str, str | int] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the report, whole or not at all.

    Parameters
    ----------
    path : path
        Of the HTML file.
    title : str
    evaluation : Evaluation
    run : mapping
        Folded out on demand, as it is: scalars, lists and mappings of them. "date" also stands at the top,
        and "rehead" under "versions" at the foot.
    mistakes : sequence of Mistake
        At most 24 are shown.
    head : mapping, optional
        "path", a list of {"candidate": str, "l2": float > 0, "log_loss": float, "chosen": bool}; and
        "sentence", optional, instead of the one that says how heads are chosen.
    curves : sequence of mapping
        Of a trained network, {"epoch": int from 1, "train_loss": float, "train_accuracy": float,
        "val_loss": float, "val_accuracy": float} for each epoch.
    curves_sentence : str, optional
        How the training ended.
    operating_point : mapping, optional
        When a photo is "unknown": "probability", answers below it; "outlier_score", photos above it;
        "coverage", the share of known photos it was set to answer. Each optional.
    unreadable : sequence of (name, reason)
    exclusions : sequence of Exclusion
        Other files that were excluded, and why.
    audit : AuditSummary, optional
        Shown first, with the numbers of excluded files.
    methods : sequence of str
        How the numbers were obtained, plain sentences; folded out on demand.
    facts : mapping, optional
        A few numbers beneath the result: {"Photos": 327, "Classes": 2, ...}.
    notes : sequence of str
        Plain sentences about the photos.

    Raises
    ------
    OutputError
        Where the file cannot be written.
    """
    search, legend = search_chart(head["path"]) if head and head.get("path") else ("", [])
    unread = Exclusion("Files that could not be read", unreadable)
    html = render(
        "report.html.j2",
        title=title,
        **evaluation_pieces(evaluation),
        run={name: value for name, value in run.items() if name not in _LISTED_APART},
        head_sentence=(head or {}).get("sentence"),
        search=search,
        legend=legend,
        learning=[curves_chart(curves, quantity) for quantity in ("loss", "accuracy")] if curves else [],
        learning_sentence=curves_sentence,
        unknown=_unknown(operating_point) if operating_point else None,
        pictures=shown_mistakes(mistakes),
        exclusions=[entry for entry in (unread, *exclusions) if entry.files],
        most_names=_MOST_NAMES,
        audit=audit,
        methods=methods,
        facts=facts or {},
        notes=notes,
    )
    write_text(path, html)


def evaluation_pieces(evaluation: Evaluation) -> dict[str, Any]:
    """What the templates show of an evaluation: its tables, its matrix and its charts."""
    rows, rest = _class_rows(evaluation)
    classes = len(evaluation.classes)
    even = (
        "minus the logarithm of the true class's probability; uniform probabilities give "
        f"{math.log(classes):.3f}"
    )
    return {
        "e": evaluation,
        "meanings": {**_MEANINGS, "Log loss": even},
        "rows": rows,
        "rest": rest,
        "matrix": _matrix(evaluation) if classes <= _MOST_COLUMNS else None,
        "pairs": _confused_pairs(evaluation),
        "reliability": reliability_chart(evaluation.reliability, classes),
        "coverage": coverage_chart(evaluation.curve, evaluation.coverage, evaluation.accepted_accuracy),
    }


def shown_mistakes(mistakes: Sequence[Mistake]) -> list[dict[str, Any]]:
    """The first mistakes with their pictures, as the templates show them."""
    return [_shown(mistake) for mistake in mistakes[:MOST_MISTAKES]]


def render(template: str, *, package: str = __package__, **values: Any) -> str:
    """Render a template of this or another package, with the report's style sheet unless `css` is given."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        finalize=_shown_text,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(lambda name: files(package).joinpath(name).read_text("utf-8")),
    )
    environment.filters.update(
        percent=percent,
        percent_range=percent_range,
        number=number,
        number_range=number_range,
        count=count,
        moment=moment,
        quoted=_curly,
    )
    return environment.get_template(template).render(**{"css": style_of_page(), **values})


def style_of_page() -> str:
    """The style sheet of a report: its pieces, then the page around them and what is narrow or printed."""
    return read_style("report.css") + read_style("page.css")


def read_style(name: str) -> str:
    """A style sheet of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _shown_text(value: Any) -> Any:
    """What a template prints: names of others as `printable` has them; HTML of rehead's own as it is."""
    return printable(value) if type(value) is str else value


def _curly(text: str) -> str:
    """Set names in curly quotes: the sentences are plain text for terminals."""
    return re.sub(r"(?<!\w)'(.+?)'(?!\w)", "‘\\1’", text)


def _class_rows(evaluation: Evaluation) -> tuple[list[ClassScores], list[ClassScores]]:
    """Return the classes to show and those to fold away; of many the weakest first, empty ones last."""
    rows = list(evaluation.per_class)
    if len(rows) > _MOST_ROWS:
        rows.sort(key=lambda row: math.inf if math.isnan(row.f1.value) else row.f1.value)
    return rows[:_MOST_ROWS], rows[_MOST_ROWS:]


def _matrix(evaluation: Evaluation) -> dict[str, Any]:
    """Columns and rows of the confusion matrix; with "unknown" where an operating point may answer so."""
    correct = {(_NO_CLASS, UNKNOWN), *zip(evaluation.classes, evaluation.classes, strict=True)}

    def cell(true: str, answer: str, n: int, of: int) -> dict[str, Any]:
        share = n / max(of, 1)
        kind = (
            "zero"
            if n == 0
            else "right"
            if (true, answer) in correct
            else "none"
            if answer == UNKNOWN
            else "wrong"
        )
        return {"name": answer, "n": n, "share": share, "kind": kind + " full" * (share > _DARK)}

    rows, columns, counts = _counted(evaluation)
    return {
        "columns": columns,
        "rows": [
            {"name": true, "cells": [cell(true, *of, sum(row)) for of in zip(columns, row, strict=True)]}
            for true, row in zip(rows, counts.tolist(), strict=True)
        ],
        "with_unknown": evaluation.answers is not None,
    }


def _counted(evaluation: Evaluation) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Names of rows and columns of the confusion matrix, and its counts; those of the answers where given."""
    rows, columns = list(evaluation.classes), list(evaluation.classes)
    if evaluation.answers is None:
        return rows, columns, evaluation.confusion
    return rows + [_NO_CLASS] * bool(evaluation.refused), [*columns, UNKNOWN], evaluation.answers


def _confused_pairs(evaluation: Evaluation) -> list[dict[str, Any]]:
    rows, columns, counted = _counted(evaluation)
    of, wrong = counted.sum(axis=1), counted.copy()
    np.fill_diagonal(wrong, 0)
    cells = np.argwhere(wrong)
    counts = wrong[tuple(cells.T)]
    order = np.lexsort((-counts / of[cells[:, 0]], -counts))[:_MOST_PAIRS]
    return [
        {
            "true": rows[i],
            "predicted": columns[j],
            "n": int(wrong[i, j]),
            "of": int(of[i]),
            "share": float(wrong[i, j] / of[i]),
        }
        for i, j in cells[order]
    ]


def _unknown(operating_point: Mapping[str, Any]) -> str:
    """Say when the answer is "unknown"."""
    reasons = []
    if (probability := operating_point.get("probability")) is not None:
        reasons.append(f"its probability is below {percent(probability)}")
    if (score := operating_point.get("outlier_score")) is not None:
        reasons.append(f"the photo looks unlike the training photos (outlier score above {score:.3g})")
    when = " or ".join(reasons) or "it is not sure enough"
    target = operating_point.get("coverage")
    aim = "" if target is None else f", set so that {percent(target)} of known photos are answered"
    return f"The answer is “unknown” where {when}{aim}."


def _shown(mistake: Mistake) -> dict[str, Any]:
    """A mistake with its pictures."""
    return {
        "mistake": mistake,
        "data": base64_thumbnail(mistake.path, _THUMBNAIL_SIDE),
        "heat": base64.b64encode(mistake.heat).decode("ascii") if mistake.heat else None,
        "near": [
            {"photo": near, "data": base64_thumbnail(near.path, _NEAR_SIDE)} for near in mistake.nearest
        ],
    }


def base64_thumbnail(path: str | os.PathLike[str] | bytes, side: int, quality: int = 75) -> str | None:
    """Return a thumbnail of `side` pixels at most, JPEG in base64; None where the photo cannot be read."""
    from ..images import thumbnail

    try:
        return base64.b64encode(thumbnail(path, side, quality=quality)).decode("ascii")
    except (ReheadError, OSError):
        return None
