"""The photos that a command is given, listed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .console import say

__all__ = ["list_given"]


def list_given(photos: Sequence[Path]) -> list[Path]:
    """The photos, and those of folders at any depth; says on the error output what was passed over."""
    from ..data import find_photos, passed_over

    listed = [find_photos(photo) for photo in photos]
    for sentence in passed_over([name for _, others in listed for name in others]):
        say(sentence, err=True)
    return [file for files, _ in listed for file in files]
