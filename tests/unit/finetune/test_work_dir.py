"""The record of what is trained, damaged: by a full disk, an editor, or another program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehead.core.run_dir import TRAINING
from rehead.errors import DataError
from rehead.finetune.work_dir import discard_other, open_work

RECORD: dict[str, Any] = {"options": {"epochs": 3}, "split": "abc"}
DAMAGED = ["", "{", '{"options"', "[]", "{}", '{"options": [3]}', '{"options": null}', "[" * 100_000]


def spoilt(tmp_path: Path, text: str) -> Path:
    open_work(tmp_path / "run.work", RECORD, resume=False)
    (tmp_path / "run.work" / TRAINING).write_text(text, "utf-8")
    return tmp_path / "run.work"


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_record_is_not_resumed(tmp_path: Path, text: str) -> None:
    work = spoilt(tmp_path, text)
    with pytest.raises(DataError, match=r"training\.json: damaged, .*; remove .*run\.work, and start anew"):
        open_work(work, RECORD, resume=True)
    discard_other(work, RECORD)
    assert not work.exists()
    discard_other(work, RECORD)


def test_the_same_training_is_resumed_and_kept(tmp_path: Path) -> None:
    work = spoilt(tmp_path, json.dumps(RECORD))
    open_work(work, RECORD, resume=True)
    discard_other(work, RECORD)
    assert work.exists()
