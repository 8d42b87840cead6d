"""Datasets of photos: labels, splits, groups of near-duplicates and bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import attach

if TYPE_CHECKING:
    from .dataset import Dataset, check_labels, check_trainable, read_dataset
    from .duplicates import (
        MAX_BITS,
        MAX_BITS_ALONE,
        MIN_COSINE,
        merge_groups,
        near_duplicates,
        perceptual_hash,
    )
    from .folder import list_photos
    from .partition import cv_folds, holdout_mask, split_fingerprint, stratified_group_partition

__all__ = [
    "MAX_BITS",
    "MAX_BITS_ALONE",
    "MIN_COSINE",
    "Dataset",
    "check_labels",
    "check_trainable",
    "cv_folds",
    "holdout_mask",
    "list_photos",
    "merge_groups",
    "near_duplicates",
    "perceptual_hash",
    "read_dataset",
    "split_fingerprint",
    "stratified_group_partition",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Dataset": "dataset",
        "MAX_BITS": "duplicates",
        "MAX_BITS_ALONE": "duplicates",
        "MIN_COSINE": "duplicates",
        "check_labels": "dataset",
        "check_trainable": "dataset",
        "cv_folds": "partition",
        "holdout_mask": "partition",
        "list_photos": "folder",
        "merge_groups": "duplicates",
        "near_duplicates": "duplicates",
        "perceptual_hash": "duplicates",
        "read_dataset": "dataset",
        "split_fingerprint": "partition",
        "stratified_group_partition": "partition",
    },
)
