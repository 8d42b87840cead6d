"""The whole audit, from photos to issues."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import load_backbone
from ..backbones.features import Features, extract
from ..core.engines import find_engine
from ..core.progress import Progress
from ..data import Dataset, cv_folds, merge_groups, near_duplicates, read_dataset
from ..data.bursts import burst_groups
from ..heads.pca import Block, fit_pca, last_levels
from .class_names import name_issues
from .clean_csv import left_out
from .duplicates import burst_issues, duplicate_issues, leak_issues
from .image_issues import image_issues
from .image_stats import compute_image_stats
from .issues import Audit, Issue, in_order
from .label_issues import N_LEVELS, balance_issues, held_out_probabilities, label_issues, outlier_issues
from .pixel_match import pixel_duplicates

__all__ = ["audit_photos", "run_checks"]


def audit_photos(
    photos: str | os.PathLike[str] | Dataset,
    *,
    backbone: str | os.PathLike[str] = "efficientnet_lite0",
    weights: str | os.PathLike[str] | None = None,
    engine: str = "onnxruntime",
    seed: int = 0,
    cache: bool | str | os.PathLike[str] = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Check photos for issues before anything is trained on them. No file is changed.

    Parameters
    ----------
    photos : path or Dataset
        A folder of class folders, one with train, val and test folders, or a CSV, as `train` takes it.
    backbone, weights
        As of `ImageClassifier`: the network whose features are compared.
    engine : str
        As of `ImageClassifier`: what runs it.
    seed : int
        Of the cross-validation folds by which labels are checked.
    cache : bool or path
        Keep features and image statistics in rehead's cache, in another folder, or not at all.
    threads : int or None
        Processors to use, all by default.
    progress : callable or None
        Called as progress(done, total) while features are extracted, then while statistics are computed.

    Returns
    -------
    Audit

    Raises
    ------
    DataError, WeightsError
    """
    dataset = read_dataset(photos)
    network = load_backbone(backbone, weights=weights).with_engine(find_engine(engine))
    network = network.for_photos(dataset.paths, threads=threads)
    root = None if isinstance(cache, bool) else Path(cache)
    kept: dict[str, Any] = {"cache": cache is not False, "cache_root": root}
    features = extract(dataset.paths, network, threads=threads, progress=progress, **kept)
    stats = compute_image_stats(
        dataset.paths,
        features.digests,
        grey_range=network.preprocess.grey_range,
        threads=threads,
        progress=progress,
        **kept,
    )
    return run_checks(dataset, features, network.blocks, stats, seed=seed)


def run_checks(
    dataset: Dataset, features: Features, blocks: Sequence[Block], stats: NDArray[Any], *, seed: int = 0
) -> Audit:
    """Check a dataset by its photos' features and statistics.

    Parameters
    ----------
    dataset : Dataset
    features : Features
        Of its photos, in order.
    blocks : sequence of slice
        Columns of each feature level.
    stats : ndarray of `IMAGE_STATS` (n,)
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
    bursts = burst_groups(dataset, last, stats["taken"], stats["camera"])
    groups = merge_groups(near, bursts, dataset.groups)
    found = [
        *(Issue("unreadable", (dataset.ids[row],), error.reason, 1.0) for row, error in features.errors),
        *duplicate_issues(dataset, copies, features.digests, last),
        *burst_issues(dataset, bursts, copies),
        *leak_issues(dataset, bursts, copies, "one burst"),
        *leak_issues(dataset, _user_groups(dataset), merge_groups(copies, bursts), "one group"),
        *name_issues(dataset),
        *balance_issues(dataset, groups, readable),
        *image_issues(dataset, stats),
    ]
    if readable.any():
        shown, columns = last_levels(features.plain, blocks, N_LEVELS)
        found += _class_issues(
            dataset.take(readable),
            groups[readable],
            fit_pca(shown if readable.all() else shown[readable], columns).z,
            seed,
        )
    return Audit(dataset, in_order(found), groups, left_out(dataset, found, features.digests))


def _class_issues(
    dataset: Dataset, groups: NDArray[np.intp], z: NDArray[np.float32], seed: int
) -> list[Issue]:
    """Outliers and label issues by cross-validation; all photos readable."""
    target = np.unique(dataset.labels, return_inverse=True)[1]
    fold = cv_folds(target, groups, count=5, seed=seed)
    if fold.max() < 1:
        return []
    found = outlier_issues(dataset, z, target, fold)
    if len(dataset.classes) > 1:
        found += label_issues(dataset, z, groups, held_out_probabilities(z, target, fold), target)
    return found


def _user_groups(dataset: Dataset) -> NDArray[np.intp]:
    """The dataset's own groups as numbers, intp (n,); -1 where none is given."""
    numbers = np.unique(dataset.groups, return_inverse=True)[1]
    return np.where(dataset.groups == "", -1, numbers)
