"""Folders and tables of photos for tests of datasets, and what reading them gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehead.data import Dataset, read_dataset
from rehead.errors import DatasetError


def lay(root: Path, *names: str) -> Path:
    """Put empty files there: reading a dataset does not open photos."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def table(root: Path, *lines: str, name: str = "photos.csv") -> Path:
    root.mkdir(exist_ok=True)
    path = root / name
    path.write_bytes("\n".join(lines).encode())
    return path


def refusal(source: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(source)
    message = str(caught.value)
    assert "\n" not in message
    assert str(source) in message
    return message


def rows(data: Dataset) -> list[tuple[str, str, str, str]]:
    return list(zip(data.ids, data.labels.tolist(), data.splits.tolist(), data.groups.tolist(), strict=True))
