"""What a model file becomes elsewhere: a script, a folder for an inference server, a web page."""

from __future__ import annotations

from .export import TARGETS, Exported, Target, export_model

__all__ = ["TARGETS", "Exported", "Target", "export_model"]
