"""The training of a project: `rehead train` in a process of its own, which outlives the page and its server.

FOLDER/.studio/training.json says what was started, training.jsonl is what the command says of its progress.
Whoever opens the folder next reads both: a training that still runs is shown running, one that has ended is
shown with what became of it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.leftovers import BESIDE
from ..core.locking import is_locked
from ..core.records import Entries, check_entries, count, now, read_record, text
from ..core.run_dir import work_folder, write_json
from ..errors import DataError
from .refused import Refused, said_in_words

__all__ = ["Progress", "Training"]

State = Literal["none", "running", "done", "failed", "cancelled", "interrupted"]

_ENTRIES: Entries = {
    "name": (text, "a word"),
    "pid": (count, "a number"),
    "started": (text, "a time"),
    "cancelled": (lambda value: isinstance(value, bool), "true or false"),
}
_STARTING = 60.0  # seconds: a process has loaded its packages and locked its run by then, on a busy machine
_PATIENCE = 5.0  # seconds that a process has to end before it is killed
_ERROR = "rehead: "  # begins the line of an error, see `cli.main`


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    state : str
        "none" where nothing was trained, "interrupted" where the process was killed by somebody else.
    name : str
        Of the run.
    ended : tuple of str
        The steps that have ended, as `rehead train` calls them.
    done, total : int
        Photos of the step that runs, 0 where it counts none.
    error : str
        Why it failed.
    """

    state: State
    name: str = ""
    ended: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    error: str = ""


class Training:
    """Starts, follows and ends the training of a folder, one at a time.

    Parameters
    ----------
    root, runs, own : Path
        The photos, the runs, and where the state is kept.
    options : sequence of str
        Of `rehead train`, besides.
    """

    def __init__(self, root: Path, runs: Path, own: Path, options: Sequence[str] = ()) -> None:
        self._root, self._runs, self._options = root, runs, list(options)
        self._record, self._log = own / "training.json", own / "training.jsonl"
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def start(self) -> str:
        """Begin a training, and return the name of its run; Refused where one is running."""
        with self._starting, said_in_words(self._runs):
            if self.progress().state == "running":
                raise Refused("running")
            name = self._new_name()
            command = [
                *(sys.executable, "-m", "rehead", "train", str(self._root), "--out", str(self._runs / name)),
                *("--progress", "json", "--quiet", *self._options),
            ]
            record = {"name": name, "pid": 0, "started": now(), "cancelled": False, "command": command[1:]}
            with self._log.open("wb") as log:
                write_json(self._record, record)
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    **_apart(),
                )
            write_json(self._record, {**record, "pid": self._process.pid})
            return name

    def cancel(self) -> None:
        """End the training that runs; nothing half-written is left."""
        with self._starting:
            record = self._read()
            if record is None or not self._alive(record):
                return
            write_json(self._record, {**record, "cancelled": True})
            pid = self._process.pid if self._process else record["pid"]
            _end(pid, lambda: self._alive(record))
            for left in self._runs.glob(f".{record['name']}{BESIDE}*"):
                shutil.rmtree(left, ignore_errors=True)

    def progress(self) -> Progress:
        """How far the last training is."""
        record = self._read()
        if record is None:
            return Progress("none")
        alive = self._alive(record)  # before the files are looked at: it writes them before it ends
        ended, done, total, error = self._said()
        finished = (self._runs / record["name"] / "run.json").is_file()
        state: State
        if alive:
            state = "running"
        elif finished:
            state = "done"
        elif record["cancelled"]:
            state = "cancelled"
        else:
            state = "failed" if error else "interrupted"
        return Progress(state, record["name"], ended, done, total, error if state == "failed" else "")

    # parts

    def _new_name(self) -> str:
        names = (f"run-{n}" for n in range(1, 1_000_000))
        places = ((name, self._runs / name) for name in names)
        return next(name for name, out in places if not out.exists() and not work_folder(out).exists())

    def _read(self) -> dict[str, Any] | None:
        try:
            record = read_record(self._record)
            check_entries(record, _ENTRIES, needed=True)
        except DataError:
            return None
        return record

    def _alive(self, record: dict[str, Any]) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        if is_locked(self._runs / record["name"]):
            return True
        # one that an earlier server has started just now, and that has not come to its lock
        return not self._log_begun() and _age(record["started"]) < _STARTING and _exists(record["pid"])

    def _log_begun(self) -> bool:
        with contextlib.suppress(OSError):
            return self._log.stat().st_size > 0
        return False

    def _said(self) -> tuple[tuple[str, ...], int, int, str]:
        """Steps that have ended, photos of the present one, and the last error, as the command says."""
        ended: list[str] = []
        done = total = 0
        error = ""
        for line in self._lines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError, TypeError):
                    said = json.loads(line)
                    if "step" in said:
                        ended.append(str(said["step"]))
                        done = total = 0
                    else:
                        done, total = int(said.get("done", 0)), int(said.get("total", 0))
            elif line.startswith(_ERROR):
                error = line.removeprefix(_ERROR)
            elif line and not line.startswith(" ") and not error:
                error = line if "Error" in line else ""
        return tuple(ended), done, total, error

    def _lines(self) -> Iterator[str]:
        with contextlib.suppress(OSError):
            yield from self._log.read_text("utf-8", "replace").splitlines()


def _apart() -> dict[str, Any]:
    """What lets a process live on when its parent ends, whatever ends it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return {"start_new_session": True}


def _end(pid: int, alive: Any) -> None:
    """End a process and those that it started; kill them where they do not."""
    for number in (signal.SIGTERM, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL):
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                os.kill(pid, number)
            else:
                os.killpg(pid, number)  # it leads its own group, by `start_new_session`
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if not alive():
                return
            time.sleep(0.05)


def _exists(pid: int) -> bool:
    if sys.platform == "win32" or pid <= 0:
        return False  # there, a signal of 0 ends a process
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _age(started: str) -> float:
    try:
        then = datetime.datetime.fromisoformat(started)
        return abs((datetime.datetime.now(datetime.UTC) - then).total_seconds())
    except (ValueError, TypeError):
        return float("inf")
