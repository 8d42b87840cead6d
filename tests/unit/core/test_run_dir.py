"""A new run: refused before the work, whole after it, and nothing is left where the work fails."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from rehead.core import atomic
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


def number(folder: Path) -> int:
    return int(json.loads((folder / "run.json").read_text("utf-8"))["number"])


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("moment", ["between", "last"])
@pytest.mark.parametrize("earlier", [False, True])
def test_what_came_to_its_place_meanwhile_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool, moment: str, earlier: bool
) -> None:
    if not exchange:
        monkeypatch.setattr("rehead.core.atomic.sys.platform", "another")
    place = tmp_path / "run"
    if earlier:
        with NewRun(place).writing({"number": 1}):
            pass
    run = NewRun(place, overwrite=True)

    def put(name: str = "notes.txt") -> None:
        place.mkdir(exist_ok=True)
        (place / name).write_text("mine", "utf-8")

    if moment == "last":  # when it was looked at already
        real = atomic._exchange
        written = iter([put])

        def late(beside: Path, final: Path) -> None:
            next(written, lambda: None)()
            real(beside, final)

        monkeypatch.setattr(atomic, "_exchange", late)
    with pytest.raises(OutputError, match=r"run: something was put there .* the result is in .*run-2"):  # noqa: SIM117
        with run.writing({"number": 2}):
            if moment == "between" or not earlier:
                put()
    assert (place / "notes.txt").read_text("utf-8") == "mine"
    assert number(tmp_path / "run-2") == 2
    assert not earlier or number(place) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run-2"]


def test_an_empty_folder_and_a_link_to_one_are_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for name in ("run", "link"):
        with NewRun(tmp_path / name).writing({"number": 3}):
            pass
        assert number(tmp_path / name) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link", "run"]
    assert number(tmp_path / "disk") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="where folders are exchanged in one step")
def test_an_earlier_run_is_never_away_while_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NewRun(tmp_path / "run").writing({"number": 1}):
        pass
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("two steps"))
    with NewRun(tmp_path / "run", overwrite=True).writing({"number": 2}):
        pass
    assert number(tmp_path / "run") == 2


def test_a_kill_between_two_steps_is_mended_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NewRun(tmp_path / "run").writing({"number": 1}):
        pass
    (tmp_path / "run").rename(tmp_path / ".run.rehead-abcdefgh.old")
    with pytest.raises(OutputError, match="holds an earlier run"):
        NewRun(tmp_path / "run")
    assert number(tmp_path / "run") == 1


def test_a_run_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        synced.add(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    with NewRun(tmp_path / "run").writing({"number": 1}) as folder:
        (folder / "logs").mkdir()
        (folder / "logs" / "curves.csv").write_text("", "utf-8")
    paths = [tmp_path, tmp_path / "run", *(tmp_path / "run").rglob("*")]
    assert {path.stat().st_ino for path in paths} <= synced


def test_a_progress_that_wants_to_know_is_told_of_each_step(tmp_path: Path) -> None:
    told = []

    class Steps:
        def __call__(self, done: int, total: int) -> None: ...

        def step(self, name: str) -> None:
            told.append(name)

    run = NewRun(tmp_path / "run", progress=Steps())
    run.timer.mark("fit")
    with run.writing({}):
        run.timer.mark("model file")
    assert told == ["fit", "model file"]
    NewRun(tmp_path / "other", progress=lambda done, total: None).timer.mark("fit")
