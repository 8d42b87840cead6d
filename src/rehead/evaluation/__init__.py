"""How good a model is, how sure that is, and the report that says so."""

from __future__ import annotations

from .account import ClassAccount, Evaluation, evaluate
from .intervals import Interval
from .report import Mistake, confident_mistakes, write_report

__all__ = [
    "ClassAccount",
    "Evaluation",
    "Interval",
    "Mistake",
    "confident_mistakes",
    "evaluate",
    "write_report",
]
