"""An audit, from photos to findings: in full, and in short from what a training has at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import load_backbone
from ..backbones.features import Features, extract
from ..core.progress import Progress
from ..data import Dataset, cv_folds, merge_groups, near_duplicates, read_dataset
from ..data.bursts import burst_groups
from ..heads.pca import Block, span_of
from .clean_csv import left_out
from .duplicates import burst_findings, copy_findings, leak_findings
from .image_issues import fault_findings
from .image_stats import look_at
from .issues import Audit, Issue, in_order
from .label_issues import (
    balance_findings,
    held_out_probabilities,
    label_findings,
    last_levels,
    outlier_findings,
)
from .pixel_match import pixel_duplicates

__all__ = ["audit_photos", "run_checks"]


def audit_photos(
    photos: str | os.PathLike[str],
    *,
    backbone: str | os.PathLike[str] = "efficientnet_lite0",
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    cache: bool | str | os.PathLike[str] = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look for what is wrong with photos before anything is trained on them. No file is changed.

    Parameters
    ----------
    photos : path
        A folder of class folders, one with train, val and test folders, or a CSV, as `train` takes it.
    backbone, weights
        As of `ImageClassifier`: the network whose features tell photos apart.
    seed : int
        Of the folds in which labels are checked.
    cache : bool or path
        Keep features and looks in rehead's cache, in another folder, or not at all.
    threads : int or None
        Processors to use, all by default.
    progress : callable or None
        Called as progress(done, total) while features are taken, and again while looks are.

    Returns
    -------
    Audit

    Raises
    ------
    DataError, WeightsError
    """
    dataset = read_dataset(photos)
    network = load_backbone(backbone, weights=weights)
    root = None if isinstance(cache, bool) else Path(cache)
    kept: dict[str, Any] = {"cache": cache is not False, "cache_root": root}
    features = extract(dataset.paths, network, threads=threads, progress=progress, **kept)
    looks = look_at(dataset.paths, features.digests, threads=threads, progress=progress, **kept)
    return run_checks(dataset, features, network.blocks, looks, seed=seed)


def run_checks(
    dataset: Dataset, features: Features, blocks: Sequence[Block], looks: NDArray[Any], *, seed: int = 0
) -> Audit:
    """What features and looks of a dataset's photos show.

    Parameters
    ----------
    dataset : Dataset
    features : Features
        Of its photos, in order.
    blocks : sequence of slice
        Columns of each depth.
    looks : ndarray of `IMAGE_STATS` (n,)
    seed : int
        Of the folds.
    """
    readable = features.readable
    last = features.plain[:, blocks[-1]]
    near = np.full(len(dataset), -1)
    near[readable] = near_duplicates(
        [digest for digest, ok in zip(features.digests, readable, strict=True) if ok],
        features.hashes[readable],
        last if readable.all() else last[readable],
    )
    copies = pixel_duplicates(dataset.paths, near, last)
    bursts = burst_groups(dataset, last, looks["taken"], looks["camera"])
    groups = merge_groups(near, bursts, dataset.groups)
    found = [
        *(Issue("unreadable", (dataset.ids[row],), error.reason, 1.0) for row, error in features.errors),
        *copy_findings(dataset, copies, features.digests, last),
        *burst_findings(dataset, bursts, copies),
        *leak_findings(dataset, bursts, copies, "one burst"),
        *leak_findings(dataset, _given(dataset), merge_groups(copies, bursts), "one group"),
        *balance_findings(dataset, groups, readable),
        *fault_findings(dataset, looks),
    ]
    if readable.any():
        shown, columns = last_levels(features.plain, blocks)
        found += _by_class(
            dataset.take(readable),
            groups[readable],
            span_of(shown if readable.all() else shown[readable], columns).z,
            seed,
        )
    return Audit(dataset, in_order(found), groups, left_out(dataset, found, features.digests))


def _by_class(dataset: Dataset, groups: NDArray[np.intp], z: NDArray[np.float32], seed: int) -> list[Issue]:
    """What a head that did not see a photo says of its label, and how strange it is; photos all readable."""
    target = np.unique(dataset.labels, return_inverse=True)[1]
    fold = cv_folds(target, groups, count=5, seed=seed)
    if fold.max() < 1:
        return []
    found = outlier_findings(dataset, z, target, fold)
    if len(dataset.classes) > 1:
        found += label_findings(dataset, z, groups, held_out_probabilities(z, target, fold), target)
    return found


def _given(dataset: Dataset) -> NDArray[np.intp]:
    """The user's groups as numbers; -1 where none was given."""
    numbers = np.unique(dataset.groups, return_inverse=True)[1]
    return np.where(dataset.groups == "", -1, numbers)
