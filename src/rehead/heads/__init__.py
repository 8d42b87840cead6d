"""Heads: what is fitted on frozen features."""

from __future__ import annotations

from .model_selection import PathPoint, Selection, select_head
from .pca import Block, Span, span_of

__all__ = ["Block", "PathPoint", "Selection", "Span", "select_head", "span_of"]
