"""`rehead keypoints`: one file a verb."""

from __future__ import annotations

from ..lazy_group import lazy_group

__all__ = ["app"]

app = lazy_group(
    __name__,
    {
        "train": "Learn points from annotated photos.",
        "evaluate": "Test a model file on photos whose points are known.",
        "predict": "Place points on photos.",
    },
)
