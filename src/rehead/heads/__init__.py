"""Heads: the linear models and outlier scores fitted on frozen features."""

from __future__ import annotations

from .model_selection import FittedHead, SearchPoint, select_head
from .pca import Block, PCABasis, fit_pca

__all__ = ["Block", "FittedHead", "PCABasis", "SearchPoint", "fit_pca", "select_head"]
