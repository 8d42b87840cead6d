"""Heads: what is fitted on frozen features."""

from __future__ import annotations

from .model_selection import FittedHead, SearchPoint, select_head
from .pca import Block, PCABasis, span_of

__all__ = ["Block", "FittedHead", "PCABasis", "SearchPoint", "select_head", "span_of"]
