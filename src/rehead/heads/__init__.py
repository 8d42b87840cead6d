"""Heads: what is fitted on frozen features."""

from __future__ import annotations

from .select import PathPoint, Selection, select_head
from .span import Block, Span, span_of

__all__ = ["Block", "PathPoint", "Selection", "Span", "select_head", "span_of"]
