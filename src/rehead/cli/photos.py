"""The photos that a command is given, listed, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..data import Dataset
    from ..data.options import TableOptions

__all__ = ["list_given", "read_given"]


def read_given(photos: Path, table: TableOptions, *, quiet: bool = False) -> Dataset:
    """The photos of a folder or CSV with their classes; says how many each has, and what was passed over."""
    from ..data import read_dataset

    dataset = read_dataset(photos, table)
    for sentence in () if quiet else dataset.summary():
        typer.echo(sentence)
    return dataset


def list_given(photos: Sequence[Path]) -> list[Path]:
    """The photos, and those of folders at any depth; says on the error output what was passed over."""
    from ..data import find_photos, passed_over

    listed = [find_photos(photo) for photo in photos]
    for sentence in passed_over([name for _, others in listed for name in others]):
        typer.echo(sentence, err=True)
    return [file for files, _ in listed for file in files]
