"""What killed runs leave goes when it is old, and nothing else does."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from rehead.core import atomic
from rehead.core.leftovers import sweep_beside, temporary_folder

DAYS = 86_400.0


def aged(path: Path, days: float) -> Path:
    """A file, or a folder with one, that was written so long ago."""
    file = path
    if path.suffix != ".part":
        path.mkdir()
        file = path / "half"
    file.write_text("", "utf-8")
    for each in (file, path):
        os.utime(each, (time.time() - days * DAYS,) * 2)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folders_beside_are_swept_when_old(tmp_path: Path) -> None:
    aged(tmp_path / ".run.rehead-abcdefgh", 2)
    aged(tmp_path / ".run.rehead-ijklmnop", 0.5)
    aged(tmp_path / ".run.settings", 20)
    aged(tmp_path / ".other.rehead-abcdefgh", 20)
    busy = aged(tmp_path / ".run.rehead-qrstuvwx", 2)
    (busy / "more").write_text("", "utf-8")
    os.utime(busy, (time.time() - 2 * DAYS,) * 2)
    sweep_beside(tmp_path / "run")
    assert names(tmp_path) == [
        ".other.rehead-abcdefgh",
        ".run.rehead-ijklmnop",
        ".run.rehead-qrstuvwx",
        ".run.settings",
    ]


def test_files_that_were_being_written_are_swept_when_old(tmp_path: Path) -> None:
    aged(tmp_path / ".report.html.123-0123abcd.part", 2)
    aged(tmp_path / ".report.html.124-0123abcd.part", 0.5)
    aged(tmp_path / ".mine.part", 20)
    atomic.write_text(tmp_path / "report.html", "")
    assert names(tmp_path) == [".mine.part", ".report.html.124-0123abcd.part", "report.html"]


def test_an_earlier_folder_that_a_kill_left_aside_is_put_back(tmp_path: Path) -> None:
    aged(tmp_path / ".run.rehead-abcdefgh.old", 0)
    aged(tmp_path / ".run.rehead-abcdefgh", 0)
    sweep_beside(tmp_path / "run")
    assert names(tmp_path) == [".run.rehead-abcdefgh", "run"]
    aged(tmp_path / ".run.rehead-ijklmnop.old", 0)  # there is a run: it waits until it is old
    sweep_beside(tmp_path / "run")
    assert ".run.rehead-ijklmnop.old" in names(tmp_path)


def test_temporary_folders_are_swept_after_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    aged(tmp_path / "rehead-tmp-abcdefgh", 8)
    aged(tmp_path / "rehead-tmp-ijklmnop", 6)
    aged(tmp_path / "rehead-original", 80)
    with temporary_folder() as folder:
        assert folder.parent == tmp_path
        assert len(names(tmp_path)) == 3
    assert names(tmp_path) == ["rehead-original", "rehead-tmp-ijklmnop"]
