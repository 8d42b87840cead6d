"""Datasets of photos: labels, splits, groups of near-duplicates and bursts."""

from __future__ import annotations

from .dataset import Dataset, check_labels, check_trainable, read_dataset
from .duplicates import MAX_BITS, MAX_BITS_ALONE, MIN_COSINE, merge_groups, near_duplicates, perceptual_hash
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
