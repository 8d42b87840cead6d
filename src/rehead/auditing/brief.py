"""An audit in short, from what a training has at hand: it costs no look at any photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from .bursts import burst_findings
from .copies import members
from .findings import Audit, Finding, in_order
from .labels import calibrated, doubtful_labels

__all__ = ["brief", "brief_cautions"]


def brief(
    dataset: Dataset,
    group: NDArray[np.intp],
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
    group : intp ndarray (n,)
        Near-duplicates, and photos of one given group, share a number.
    bursts : intp ndarray (n,)
        As of `burst_groups`.
    trained : bool ndarray (n,)
        The m photos that were trained on.
    held_out : float64 ndarray (m, K)
        Logits of those from folds that did not see them, NaN where there are none; columns in the
        order of the classes that were trained on.
    """
    found = [
        *_contradictions(dataset, group),
        *_doubts(dataset.take(trained), held_out),
        *burst_findings(dataset, bursts, group),
    ]
    return Audit(dataset, in_order(found), group)


def brief_cautions(audit: Audit) -> list[str]:
    """The audit's sentences, the last of which says where the photos can be seen."""
    *sentences, last = audit.summary() or [""]
    return [*sentences, f"{last} `rehead audit` shows which."] if last else []


def _contradictions(dataset: Dataset, group: NDArray[np.intp]) -> list[Finding]:
    """Copies under more than one class; groups that the user gave may well hold several."""
    found = []
    for rows in members(group):
        labels = tuple(sorted(set(dataset.labels[rows].tolist())))
        if len(labels) > 1 and not np.any(dataset.groups[rows] != ""):
            photos = tuple(dataset.ids[row] for row in rows)
            found.append(Finding("contradiction", photos, "the same picture", 1.0, labels))
    return found


def _doubts(trained: Dataset, held_out: NDArray[np.float64]) -> list[Finding]:
    if len(held_out) != len(trained) or np.isnan(held_out[:, 0]).all():
        return []
    classes, target = np.unique(trained.labels, return_inverse=True)
    if held_out.shape[1] != len(classes):
        return []
    return [
        Finding(
            "label",
            (trained.ids[doubt.row],),
            f"filed under '{trained.labels[doubt.row]}', looks like '{classes[doubt.suggested]}'",
            doubt.score,
            (str(trained.labels[doubt.row]),),
            str(classes[doubt.suggested]),
        )
        for doubt in doubtful_labels(calibrated(held_out, target), target)
    ]
