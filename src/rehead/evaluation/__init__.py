"""How good a model is, how sure that is, and the report that says so."""

from __future__ import annotations

from .account import ClassAccount, Evaluation, evaluate
from .comparison import Comparison, Contender, Cost, compare_answers, write_comparison
from .intervals import Interval
from .mistakes import Mistake, NearPhoto, confident_mistakes
from .report import PhotosFirst, TakenOut, write_report

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
    "evaluate",
    "write_comparison",
    "write_report",
]
