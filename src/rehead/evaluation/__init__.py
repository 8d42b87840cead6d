"""Metrics with confidence intervals, comparisons and reports."""

from __future__ import annotations

from .charts import curves_chart, search_chart
from .classification import ClassScores, Evaluation, UnknownPhotos, evaluate
from .comparison import Comparison, Cost, ModelResult, compare_answers, write_comparison
from .intervals import Interval, mean_interval, proportion
from .metrics import uniform_wrong
from .mistakes import Mistake, Mistakes, NearPhoto, confident_mistakes
from .predictions import PhotoAnswer, write_predictions
from .report import AuditSummary, Exclusion, base64_thumbnail, render, write_report

__all__ = [
    "AuditSummary",
    "ClassScores",
    "Comparison",
    "Cost",
    "Evaluation",
    "Exclusion",
    "Interval",
    "Mistake",
    "Mistakes",
    "ModelResult",
    "NearPhoto",
    "PhotoAnswer",
    "UnknownPhotos",
    "base64_thumbnail",
    "compare_answers",
    "confident_mistakes",
    "curves_chart",
    "evaluate",
    "mean_interval",
    "proportion",
    "render",
    "search_chart",
    "uniform_wrong",
    "write_comparison",
    "write_predictions",
    "write_report",
]
