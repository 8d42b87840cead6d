"""The evaluation of predicted points as one HTML file, styled as every other report."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import write_text
from ..evaluation import base64_thumbnail, curves_chart, render, search_chart
from ..evaluation.notebook import Figure, result_html, training_figure
from .annotations import Annotations
from .cascade import SearchStep
from .evaluation import KeypointEvaluation, Score
from .uncertainty import CHI2_95

__all__ = ["curves_figure", "evaluation_html", "write_keypoint_report"]

_WORST, _TYPICAL = 20, 8
_SIDE = 220  # px of a thumbnail: some 8 kB
_FACE = 380  # px, side of the drawing of the typical shape
_THIN = " "


def write_keypoint_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    evaluation: KeypointEvaluation,
    rows: Annotations,
    predicted: NDArray[np.float64],
    covariance: NDArray[np.float64] | None,
    run: Mapping[str, Any],
    facts: Mapping[str, str | int],
    steps: Sequence[SearchStep] = (),
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write the report, whole or not at all (OutputError).

    Parameters
    ----------
    evaluation : KeypointEvaluation
    rows : Annotations
        n photos and their true points.
    predicted : float64 ndarray (n, K, 2)
        In pixels of the files of `rows`.
    covariance : float64 ndarray (n, K, 2, 2) or None
        In square pixels.
    run : mapping
        What run.json says, shown in a section that is folded.
    steps : sequence of SearchStep
        Of the search, where the model was fitted in this run.
    training : mapping, optional
        How a network was trained, as `FineTunedKeypoints.training_`.
    """
    known = np.flatnonzero(~np.isnan(evaluation.errors))
    order = known[np.argsort(-evaluation.errors[known], kind="stable")]
    worst, middle = order[:_WORST], len(order) // 2
    typical = order[max(0, middle - _TYPICAL // 2) :][:_TYPICAL]
    galleries = [
        (heading, lede, [_overlay(rows, predicted, covariance, evaluation, n) for n in chosen.tolist()])
        for heading, lede, chosen in (
            ("Typical photos", "Half of the photos are better than these, half are worse.", typical),
            (
                f"The {len(worst)} worst",
                "Here the predicted points are farthest from the true ones, or the true ones are wrong.",
                worst,
            ),
        )
        if len(chosen)
    ]
    html = render(
        "keypoints.html.j2",
        title=title,
        a=evaluation,
        big=_text(evaluation.scores[0]),
        scores=[_row(s) for s in evaluation.scores],
        regions=[_row(s) for s in evaluation.regions],
        coverage=[(f"{q:.0%}", _percent(held, 1)) for q, held in evaluation.coverage.items()],
        face=_face(rows, evaluation.per_point),
        galleries=galleries,
        paths=_paths(steps),
        learning=_learning(training),
        learning_sentence=training.get("sentence") if training else None,
        warnings=[*warnings, *evaluation.warnings],
        notes=[*rows.notes, *notes],
        unreadable=rows.unreadable,
        facts=facts,
        run=run,
    )
    write_text(path, html)


def evaluation_html(
    evaluation: KeypointEvaluation,
    *,
    title: str = "",
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The metrics of predicted points as a notebook shows them."""
    return result_html(
        title=title,
        points=evaluation,
        big=_text(evaluation.scores[0]),
        scores=[_row(s) for s in evaluation.scores],
        regions=[_row(s) for s in evaluation.regions],
        warnings=[*warnings, *evaluation.warnings],
        notes=notes,
    )


def curves_figure(training: Mapping[str, Any]) -> Figure:
    """The curves of a network's training, `FineTunedKeypoints.training_`."""
    return training_figure(_learning(training), training.get("sentence"))


def _percent(fraction: float, digits: int) -> str:
    return "–" if math.isnan(fraction) else f"{100 * fraction:.{digits}f}{_THIN}%"


def _text(score: Score) -> str:
    value = score.interval.value
    return _percent(value, 2) if score.fraction else f"{value:.2f}{_THIN}px"


def _row(score: Score) -> dict[str, str]:
    low, high = score.interval.low, score.interval.high
    factor = 100 if score.fraction else 1
    unit = "%" if score.fraction else "px"
    ends = "–" if math.isnan(low) else f"{factor * low:.2f} to {factor * high:.2f}{_THIN}{unit}"
    return {"name": score.name, "meaning": score.meaning, "value": _text(score), "range": ends}


def _overlay(
    rows: Annotations,
    predicted: NDArray[np.float64],
    covariance: NDArray[np.float64] | None,
    evaluation: KeypointEvaluation,
    n: int,
) -> dict[str, Any]:
    """A photo with true and predicted points, as SVG."""
    width, height = rows.sizes[n].tolist()
    scale = min(1.0, _SIDE / max(width, height))
    points, truth = predicted[n] * scale, rows.points[n] * scale
    known = ~np.isnan(truth[:, 0])
    gaps = "".join(
        f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}"
        for a, b in zip(points[known], truth[known], strict=True)
    )
    return {
        "name": rows.ids[n],
        "width": round(width * scale),
        "height": round(height * scale),
        "data": base64_thumbnail(rows.paths[n], _SIDE),
        "predicted": _dots(points),
        "truth": _dots(truth[known]),
        "gaps": gaps,
        "ellipses": [] if covariance is None else _ellipses(points, covariance[n] * scale**2),
        "error": _percent(float(evaluation.errors[n]), 1),
        "note": "of the box",
    }


def _dots(points: NDArray[np.float64]) -> str:
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points.tolist())


def _ellipses(points: NDArray[np.float64], covariance: NDArray[np.float64]) -> list[str]:
    """Transforms of the unit circle into the 95 % ellipses."""
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors * np.sqrt(np.maximum(values, 0) * CHI2_95)[:, None, :]
    return [
        f"matrix({a[0, 0]:.2f} {a[1, 0]:.2f} {a[0, 1]:.2f} {a[1, 1]:.2f} {x:.1f} {y:.1f})"
        for a, (x, y) in zip(axes, points.tolist(), strict=True)
    ]


def _face(rows: Annotations, errors: NDArray[np.float64]) -> str:
    """The typical shape with each point's mean error as its radius, SVG."""
    centred = rows.points - np.nanmean(rows.points, axis=1, keepdims=True)
    extent = np.nanmax(np.abs(centred), axis=(1, 2), keepdims=True)
    shape = np.nanmean(centred / np.maximum(extent, 1e-9), axis=0)
    low, high = np.nanmin(shape, axis=0), np.nanmax(shape, axis=0)
    side = max(float((high - low).max()), 1e-9)
    box = max(float(np.sqrt((high - low).prod())), 1e-3 * side)
    margin = 40
    factor = (_FACE - 2 * margin) / side
    limit = float(np.nanquantile(errors, 0.9)) if np.isfinite(errors).any() else 0.0
    circles = []
    for k, ((x, y), error) in enumerate(zip(shape, errors, strict=True)):
        if np.isfinite([x, y, error]).all():
            name = escape(rows.names[k] if rows.names else f"point {k}")
            kind = ' class="worse"' if error > limit else ""
            cx, cy = margin + (x - low[0]) * factor, margin + (y - low[1]) * factor
            circles.append(
                f'<circle{kind} cx="{cx:.1f}" cy="{cy:.1f}" r="{max(error * box * factor, 1.5):.1f}">'
                f"<title>{name}: {100 * error:.1f} %</title></circle>"
            )
    height = 2 * margin + float(high[1] - low[1]) * factor
    return (
        f'<svg class="facemap" viewBox="0 0 {_FACE} {height:.0f}" role="img" aria-label="Errors">'
        f"{''.join(circles)}</svg>"
    )


def _learning(training: Mapping[str, Any] | None) -> list[str]:
    """Charts of the error, and of the loss where that is another quantity."""
    if not training:
        return []
    quantities = ("error",) if training["options"]["loss"] == "l1" else ("error", "loss")
    return [curves_chart(training["curves"], quantity) for quantity in quantities]


def _paths(steps: Sequence[SearchStep]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    found = []
    for stage, title in ((1, "Model selection, first stage"), (2, "Model selection, second stage")):
        points = [(step.point, step.chosen) for step in steps if step.stage == stage]
        path = [
            {"candidate": point.name, "l2": point.l2, "mean_error": point.error, "chosen": chosen}
            for point, chosen in points
        ]
        if path:
            found.append((title, *search_chart(path, score="mean error")))
    return found
