"""A new run: refused before the work, whole after it, and nothing is left where the work fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rehead.core.run_dir import NewRun
from rehead.errors import OutputError


def test_its_files_and_its_record_appear_together(tmp_path: Path) -> None:
    run = NewRun(tmp_path / "run", command=["rehead", "train"])
    run.timer.mark("fit")
    with run.writing(run.record({"photos": 3})) as folder:
        (folder / "metrics.json").write_text("{}", "utf-8")
        run.timer.mark("model file")
        assert not run.folder.exists()
    assert sorted(path.name for path in run.folder.iterdir()) == ["metrics.json", "run.json"]
    record = json.loads((run.folder / "run.json").read_text("utf-8"))
    assert list(record) == ["date", "command", "photos", "versions", "seconds"]
    assert (record["command"], record["photos"]) == (["rehead", "train"], 3)
    assert list(record["seconds"]) == ["fit", "model file"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_earlier_run_is_kept_where_writing_fails(tmp_path: Path) -> None:
    with NewRun(tmp_path / "run").writing({"number": 1}):
        pass
    with pytest.raises(OutputError, match="holds an earlier run"):
        NewRun(tmp_path / "run")
    run = NewRun(tmp_path / "run", overwrite=True)
    with pytest.raises(RuntimeError), run.writing({"number": 2}) as folder:
        (folder / "half").write_text("", "utf-8")
        raise RuntimeError
    assert json.loads((tmp_path / "run/run.json").read_text("utf-8"))["number"] == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "run.json"]
    with run.writing({"number": 3}):
        pass
    assert json.loads((tmp_path / "run/run.json").read_text("utf-8"))["number"] == 3


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("", "utf-8")
    with pytest.raises(OutputError, match="holds other files"):
        NewRun(tmp_path, overwrite=True)
