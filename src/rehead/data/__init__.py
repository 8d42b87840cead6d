"""Datasets of photos: labels, splits, groups of near-duplicates and bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .dataset import Dataset as Dataset
    from .dataset import check_labels as check_labels
    from .dataset import check_trainable as check_trainable
    from .dataset import passed_over as passed_over
    from .dataset import read_dataset as read_dataset
    from .duplicates import MAX_BITS as MAX_BITS
    from .duplicates import MAX_BITS_ALONE as MAX_BITS_ALONE
    from .duplicates import MIN_COSINE as MIN_COSINE
    from .duplicates import merge_groups as merge_groups
    from .duplicates import near_duplicates as near_duplicates
    from .duplicates import perceptual_hash as perceptual_hash
    from .duplicates import photo_hash as photo_hash
    from .folder import find_photos as find_photos
    from .folder import list_photos as list_photos
    from .partition import cv_folds as cv_folds
    from .partition import holdout_mask as holdout_mask
    from .partition import split_fingerprint as split_fingerprint
    from .partition import stratified_group_partition as stratified_group_partition

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "dataset": ["Dataset", "check_labels", "check_trainable", "passed_over", "read_dataset"],
        "duplicates": [
            "MAX_BITS",
            "MAX_BITS_ALONE",
            "MIN_COSINE",
            "merge_groups",
            "near_duplicates",
            "perceptual_hash",
            "photo_hash",
        ],
        "folder": ["find_photos", "list_photos"],
        "partition": ["cv_folds", "holdout_mask", "split_fingerprint", "stratified_group_partition"],
    },
)
