"""The run directory: where a run may write, and the files that every kind of run leaves in it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import DataError, OutputError
from . import atomic
from .leftovers import sweep_beside, temporary_folder
from .progress import Progress, StepProgress
from .records import now

__all__ = [
    "TRAINING",
    "NewRun",
    "StepTimer",
    "check_place",
    "check_work",
    "failed_photos",
    "holds_training",
    "prepare_output",
    "run_record",
    "versions",
    "work_folder",
    "work_or_temporary",
    "write_json",
]

TRAINING = "training.json"
"""In a work folder: what is trained on what."""

_PACKAGES = ("rehead", "numpy", "scipy", "scikit-learn", "pillow", "onnxruntime", "onnx")


class StepTimer:
    """Seconds of each step of a run, wall clock; tells `progress` about each, where it wants to know."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._told = progress if isinstance(progress, StepProgress) else None
        self._last = time.perf_counter()

    def mark(self, name: str) -> None:
        """Count the time since the last mark to the step `name`."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
        if self._told:
            self._told.step(name)


class NewRun:
    """A run directory in the making: its place is checked before the work, its files appear at once after it.

        run = NewRun(out, command=command)
        model.fit(photos)
        run.timer.mark("fit")
        with run.writing(run.record({"photos": len(photos)})) as folder:
            model.save(folder / "model.onnx")
            run.timer.mark("model file")

    Parameters
    ----------
    out : path
    overwrite : bool
        Whether to replace an earlier run.
    command : sequence of str
        How the run was started, for run.json.
    progress : callable, optional
        Is told when a step has ended, where it is a `StepProgress`.

    Attributes
    ----------
    folder : Path
        `out`.
    timer : StepTimer

    Raises
    ------
    OutputError
        As `check_place`.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        command: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self.folder, self._command = Path(out), command
        check_place(self.folder, overwrite)
        self._replaced = _listing(self.folder)
        self.timer = StepTimer(progress)

    def record(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """`run_record` with the command of this run."""
        return run_record(self._command, about)

    @contextlib.contextmanager
    def writing(self, record: Mapping[str, Any]) -> Iterator[Path]:
        """Yield a folder beside `folder`; on success it takes its place, otherwise it is removed.

        At the end run.json is written into it: `record`, and the seconds of all steps. OutputError where
        something came to `folder`, or was changed in it, since the run began: see `atomic.replacing_folder`.
        """
        with atomic.replacing_folder(
            self.folder, replaced=lambda folder: _listing(folder) == self._replaced
        ) as beside:
            yield beside
            write_json(beside / "run.json", {**record, "seconds": self.timer.seconds})
        self._replaced = _listing(self.folder)


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """All that is in a folder, with sizes and times of change of the files."""
    with atomic.output_errors(folder):
        found = [(path, path.lstat()) for path in sorted(folder.rglob("*")) if not path.is_dir()]
        return [(str(path.relative_to(folder)), at.st_size, at.st_mtime_ns) for path, at in found]


def run_record(command: Sequence[str], about: Mapping[str, Any]) -> dict[str, Any]:
    """A run as run.json and reports have it: date and command, `about`, versions."""
    return {"date": now(), "command": list(command), **about, "versions": versions()}


def check_place(folder: Path, overwrite: bool) -> None:
    """Refuse a place that cannot or must not be written, before the work is done and not after.

    Raises
    ------
    OutputError
        The folder holds other files, or an earlier run and `overwrite` is false; it cannot be written.
    """
    sweep_beside(folder)  # an earlier run that a kill left aside is there again
    with atomic.output_errors(folder):
        in_use = folder.is_dir() and any(folder.iterdir())
    if in_use:
        if not (folder / "run.json").is_file():
            raise OutputError(
                f"{folder}: the folder holds other files; choose an empty or a new one for --out"
            )
        if not overwrite:
            raise OutputError(
                f"{folder}: holds an earlier run; choose another --out, or give --overwrite to replace it"
            )
    with atomic.replacing_folder(folder, keep=False):
        pass


def work_folder(out: Path) -> Path:
    """Where the training of the network of run directory `out` keeps its state."""
    return out.with_name(out.name + ".work")


def holds_training(work: Path) -> bool:
    """Whether a training was begun in that folder."""
    return (work / TRAINING).is_file()


def check_work(work: str | os.PathLike[str] | None, *, resume: bool) -> None:
    """Refuse a work folder that does not go with `resume`.

    Raises
    ------
    DataError
        None is named where a training is to be continued.
    OutputError
        It holds an unfinished training that is not to be continued.
    """
    if resume and work is None:
        raise DataError("resume needs the work folder of the training that is to be continued")
    if work is not None and not resume and holds_training(Path(work)):
        raise OutputError(
            f"{os.fspath(work)}: holds a training that was not finished; continue it with --resume, or "
            "remove the folder"
        )


@contextlib.contextmanager
def work_or_temporary(work: str | os.PathLike[str] | None) -> Iterator[Path]:
    """That work folder, which stays; where none is named, one that is gone afterwards."""
    if work is not None:
        yield Path(work)
        return
    with temporary_folder() as folder:
        yield folder


def prepare_output(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make way for a training of run directory `out`: remove an unfinished one that is to be replaced.

    Raises
    ------
    DataError
        There is none to continue.
    OutputError
        There is an unfinished one, and nobody said what shall become of it.
    """
    work = work_folder(out)
    if resume and not holds_training(work):
        raise DataError(f"there is no training to continue: no {work}; leave out --resume")
    if not resume and holds_training(work):
        if not overwrite:
            raise OutputError(
                f"{work}: holds a training that was not finished; continue it with --resume {out} instead of "
                "--out, or start anew with --overwrite"
            )
        shutil.rmtree(work)


def versions() -> dict[str, str]:
    """Versions of Python, the platform, rehead and what its numbers depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def failed_photos(failed: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Photos without an answer as records list them, from name and reason of each."""
    return [{"photo": name, "reason": reason} for name, reason in failed]


def write_json(path: Path, record: object) -> None:
    """Write JSON, indented; numbers that are not finite are a defect of the caller."""
    atomic.write_text(path, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
