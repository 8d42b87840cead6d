"""An audit in short, from what a training has at hand: it looks again only at copies under two classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset, merge_groups
from ..data.duplicates import iter_groups
from .duplicates import burst_findings
from .issues import Audit, Issue, in_order
from .label_issues import calibrated, doubtful_labels
from .pixel_match import pixel_duplicates

__all__ = ["quick_checks", "quick_warnings"]


def quick_checks(
    dataset: Dataset,
    copies: NDArray[np.intp],
    bursts: NDArray[np.intp],
    *,
    trained: NDArray[np.bool_],
    held_out: NDArray[np.float64],
) -> Audit:
    """Find contradictions, labels in doubt and bursts.

    Parameters
    ----------
    dataset : Dataset
        n photos.
    copies : intp ndarray (n,)
        Near-duplicates share a number.
    bursts : intp ndarray (n,)
        As of `burst_groups`.
    trained : bool ndarray (n,)
        The m photos that were trained on.
    held_out : float64 ndarray (m, K)
        Logits of those from folds that did not see them, NaN where there are none; columns in the
        order of the classes that were trained on.
    """
    found = [
        *_contradictions(dataset, copies),
        *_doubts(dataset.take(trained), held_out),
        *burst_findings(dataset, bursts, copies),
    ]
    return Audit(dataset, in_order(found), merge_groups(copies, bursts, dataset.groups))


def quick_warnings(audit: Audit) -> list[str]:
    """The audit's sentences, the last of which says where the photos can be seen."""
    *sentences, last = audit.summary() or [""]
    return [*sentences, f"{last} `rehead audit` shows which."] if last else []


def _contradictions(dataset: Dataset, copies: NDArray[np.intp]) -> list[Issue]:
    """Pictures under more than one class."""
    asked = copies.copy()
    for rows in iter_groups(copies):
        if len(set(dataset.labels[rows].tolist())) == 1:
            asked[rows] = -1
    found = []
    for rows in iter_groups(pixel_duplicates(dataset.paths, asked)):
        labels = tuple(sorted(set(dataset.labels[rows].tolist())))
        if len(labels) > 1:
            photos = tuple(dataset.ids[row] for row in rows)
            found.append(Issue("contradiction", photos, "the same picture", 1.0, labels))
    return found


def _doubts(trained: Dataset, held_out: NDArray[np.float64]) -> list[Issue]:
    if len(held_out) != len(trained) or np.isnan(held_out[:, 0]).all():
        return []
    classes, target = np.unique(trained.labels, return_inverse=True)
    if held_out.shape[1] != len(classes):
        return []
    return [
        Issue(
            "label",
            (trained.ids[doubt.row],),
            f"filed under '{trained.labels[doubt.row]}', looks like '{classes[doubt.suggested]}'",
            doubt.score,
            (str(trained.labels[doubt.row]),),
            str(classes[doubt.suggested]),
        )
        for doubt in doubtful_labels(calibrated(held_out, target), target)
    ]
