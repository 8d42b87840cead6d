"""Issues of the classes' names."""

from __future__ import annotations

from ..core.text import count
from ..data import Dataset
from ..data.class_names import joined_names, similar_names
from .issues import Issue

__all__ = ["name_issues"]


def name_issues(dataset: Dataset) -> list[Issue]:
    """Classes whose names differ in case or spaces only, and names that hold several labels each."""
    counts = dataset.counts
    found = [
        Issue(
            "name",
            (),
            f"differ in case or spaces only (photos: {', '.join(f'{counts[name]:,}' for name in names)}); if "
            "they are one class, give them one name",
            float(sum(counts[name] for name in names)),
            names,
        )
        for names in similar_names(counts)
    ]
    if joined := joined_names(counts):
        photos = sum(counts[name] for name in joined)
        detail = (
            f"seem to hold several labels each ({count(photos, 'photo')}); a photo has one class here, so "
            "choose one label for each"
        )
        found.append(Issue("name", (), detail, float(photos), joined))
    return found
