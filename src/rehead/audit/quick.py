"""The checks that need only what training computed already; only duplicates under two classes are decoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset, merge_groups
from ..data.duplicates import iter_groups
from .class_names import name_issues
from .duplicates import burst_issues, issue_of_rows
from .issues import Audit, Issue, burst_phrase, in_order
from .label_issues import calibrated, find_label_issues
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
    """Find duplicates under several classes, doubtful names of classes, label issues and bursts.

    Parameters
    ----------
    dataset : Dataset
        n photos.
    copies : intp ndarray (n,)
        Near-duplicates share a number.
    bursts : intp ndarray (n,)
        As returned by `burst_groups`.
    trained : bool ndarray (n,)
        The m photos that were trained on.
    held_out : float64 ndarray (m, K)
        Held-out logits of those, NaN where there are none; columns in the order of the classes that
        were trained on.
    """
    found = [
        *_contradictions(dataset, copies),
        *name_issues(dataset),
        *_label_issues(dataset.take(trained), held_out),
        *burst_issues(dataset, bursts, copies),
    ]
    return Audit(dataset, in_order(found), merge_groups(copies, bursts, dataset.groups))


def quick_warnings(audit: Audit, *, keeps_bursts: bool = True) -> dict[str, str]:
    """A sentence for each kind of issue as a run says it, gravest first.

    `keeps_bursts` says whether no burst was divided.
    """
    found = dict(zip(audit.counts, audit.summary(), strict=True))
    if "burst" in found:
        kept = "were kept" if keeps_bursts else "were not kept"
        seen = burst_phrase(audit.of("burst"))
        found["burst"] = f"{seen}; those of a scene {kept} on one side of the split."
    if shown := [kind for kind in found if kind != "name"]:
        found[shown[0]] += " `rehead audit` shows which."
    return found


def _contradictions(dataset: Dataset, copies: NDArray[np.intp]) -> list[Issue]:
    """Pictures under more than one class."""
    asked = copies.copy()
    for rows in iter_groups(copies):
        if len(set(dataset.labels[rows].tolist())) == 1:
            asked[rows] = -1
    return [
        issue_of_rows(dataset, rows, "contradiction", "the same picture", 1.0)
        for rows in iter_groups(pixel_duplicates(dataset.paths, asked))
        if len(set(dataset.labels[rows].tolist())) > 1
    ]


def _label_issues(trained: Dataset, held_out: NDArray[np.float64]) -> list[Issue]:
    if len(held_out) != len(trained) or np.isnan(held_out[:, 0]).all():
        return []
    classes, target = np.unique(trained.labels, return_inverse=True)
    if held_out.shape[1] != len(classes):
        return []
    return [
        Issue(
            "label",
            (trained.ids[issue.row],),
            f"filed under '{trained.labels[issue.row]}', looks like '{classes[issue.suggested]}'",
            issue.score,
            (str(trained.labels[issue.row]),),
            str(classes[issue.suggested]),
        )
        for issue in find_label_issues(calibrated(held_out, target), target)
    ]
