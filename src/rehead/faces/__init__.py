"""Faces: detected, aligned and embedded. Needs `pip install 'rehead[faces]'`."""

from __future__ import annotations

from .face import Detector, Embedder, Face, Photo, Quality, Rule, choose, same_space

__all__ = ["Detector", "Embedder", "Face", "Photo", "Quality", "Rule", "choose", "same_space"]
