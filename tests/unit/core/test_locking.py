from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rehead.core.locking import is_locked, locked
from rehead.errors import OutputError

HOLDER = """
import sys, time
from rehead.core.locking import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_until_the_first_ends_or_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    for kill in (False, True):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdout.readline()
            with (
                pytest.raises(OutputError, match=r"run: another run is writing there"),
                locked(tmp_path / "run"),
            ):
                pass
            with locked(tmp_path / "other"):
                pass
            if kill:
                holder.kill()
            holder.stdin.close()
            holder.wait()
        with locked(tmp_path / "run"):
            assert (tmp_path / ".run.lock").exists()
        assert list(tmp_path.iterdir()) == []


def test_another_thread_is_refused_and_the_same_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[OutputError] = []

    def other() -> None:
        try:
            with locked(tmp_path / "run"):
                pass
        except OutputError as error:
            refused.append(error)

    with locked(tmp_path / "run"):
        monkeypatch.chdir(tmp_path)
        with locked("run"):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
    assert len(refused) == 1
    other()
    assert len(refused) == 1


def test_a_disk_without_locks_is_written_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("rehead.core.locking._lock", without)
    with locked(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_whether_a_run_has_a_place_is_told_without_taking_it(tmp_path: Path) -> None:
    place = tmp_path / "run"
    assert not is_locked(place)
    with locked(place):
        assert is_locked(place)
        assert in_another_process(place)
    assert not is_locked(place)
    assert list(tmp_path.iterdir()) == []


def in_another_process(place: Path) -> bool:
    code = f"from rehead.core.locking import is_locked; print(is_locked({str(place)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"
