"""How good a model is, how sure that is, and the report that says so."""

from __future__ import annotations

from .charts import curves_chart, strength_chart
from .classification import ClassAccount, Evaluation, evaluate
from .comparison import Comparison, Contender, Cost, compare_answers, write_comparison
from .intervals import Interval, mean_interval, proportion
from .metrics import unanswered
from .mistakes import Mistake, NearPhoto, confident_mistakes
from .report import PhotosFirst, TakenOut, render, write_report

__all__ = [
    "ClassAccount",
    "Comparison",
    "Contender",
    "Cost",
    "Evaluation",
    "Interval",
    "Mistake",
    "NearPhoto",
    "PhotosFirst",
    "TakenOut",
    "compare_answers",
    "confident_mistakes",
    "curves_chart",
    "evaluate",
    "mean_interval",
    "proportion",
    "render",
    "strength_chart",
    "unanswered",
    "write_comparison",
    "write_report",
]
