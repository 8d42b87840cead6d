"""The process of a training: followed, cancelled, found again by the next server, and how it ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rehead.errors import DataError
from rehead.studio.training import Training

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for `rehead train` is a script")

BEGIN = """#!{python}
import sys, time, pathlib
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
say = lambda text: print(text, file=sys.stderr, flush=True)
"""
WORK = """
from rehead.core.locking import locked
with locked(out):
    say('{"step": "weights"}'); say('{"done": 3, "total": 8}')
    while not (out.parent / "go on").exists(): time.sleep(0.02)
    out.mkdir(); (out / "run.json").write_text("{}")
"""
FAIL = """
say('{"step": "weights"}'); say("rehead: photos: no photo is there"); sys.exit(2)
"""
Start = Callable[[str], Training]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A training whose command is this script."""

    def start(script: str) -> Training:
        program = tmp_path / "train.py"
        program.write_text(BEGIN.replace("{python}", sys.executable) + script)
        program.chmod(0o755)
        monkeypatch.setattr("rehead.studio.training.sys.executable", str(program))
        return again()

    def again() -> Training:
        for name in ("runs", ".studio"):
            (tmp_path / name).mkdir(exist_ok=True)
        return Training(tmp_path, tmp_path / "runs", tmp_path / ".studio")

    return start


def wait(training: Training, *, until: Callable[[Training], bool]) -> None:
    for _ in range(1500):
        if until(training):
            return
        time.sleep(0.02)
    raise AssertionError(training.progress())


def counting(training: Training) -> bool:
    return training.progress().total == 8


def ended(training: Training) -> bool:
    return training.progress().state != "running"


def test_it_is_followed_to_its_end(start: Start, tmp_path: Path) -> None:
    training = start(WORK)
    assert training.progress().state == "none"
    assert training.start() == "run-1"
    wait(training, until=counting)
    now = training.progress()
    assert (now.state, now.ended, now.done) == ("running", ("weights",), 3)
    with pytest.raises(DataError, match="A training is running"):
        training.start()
    (tmp_path / "runs" / "go on").touch()
    wait(training, until=ended)
    assert training.progress().state == "done"


def test_the_next_server_finds_it_running_and_ended(start: Start, tmp_path: Path) -> None:
    training = start(WORK)
    training.start()
    next_one = Training(tmp_path, tmp_path / "runs", tmp_path / ".studio")
    assert next_one.progress().state == "running"  # before it has come to its lock, too
    wait(training, until=counting)
    assert next_one.progress() == training.progress()
    with pytest.raises(DataError, match="A training is running"):
        next_one.start()
    (tmp_path / "runs" / "go on").touch()
    wait(next_one, until=ended)
    assert next_one.progress().state == "done"
    wait(training, until=ended)


@pytest.mark.parametrize("by", ["the same server", "the next server"])
def test_it_is_cancelled(by: str, start: Start, tmp_path: Path) -> None:
    training = start(WORK)
    training.start()
    wait(training, until=counting)
    one = training if by == "the same server" else Training(tmp_path, tmp_path / "runs", tmp_path / ".studio")
    one.cancel()
    wait(training, until=ended)
    assert one.progress().state == "cancelled"
    assert training.start() == "run-1"  # nothing of it is left
    training.cancel()


def test_one_that_somebody_killed_is_interrupted(start: Start, tmp_path: Path) -> None:
    training = start(WORK)
    training.start()
    wait(training, until=counting)
    assert training._process is not None
    os.kill(training._process.pid, signal.SIGKILL)
    wait(training, until=ended)
    assert training.progress().state == "interrupted"
    assert Training(tmp_path, tmp_path / "runs", tmp_path / ".studio").progress().state == "interrupted"


def test_why_it_failed_is_said(start: Start) -> None:
    training = start(FAIL)
    training.start()
    wait(training, until=ended)
    now = training.progress()
    assert (now.state, now.error) == ("failed", "photos: no photo is there")


def test_records_that_somebody_spoilt_count_as_none(start: Start, tmp_path: Path) -> None:
    training = start(WORK)
    for text in ("", "[]", '{"name": 3}', '{"name": "../x", "pid": "1"}'):
        (tmp_path / ".studio" / "training.json").write_text(text)
        assert training.progress().state == "none"
