"""The runs of a project: what each says of its model, its answers, and what it becomes elsewhere."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.leftovers import temporary_folder
from ..core.records import read_record
from ..errors import DataError, ImageError
from .refused import Refused, why_failed

if TYPE_CHECKING:
    from ..classification.predictor import Predictor

__all__ = ["Form", "Runs"]

Form = Literal["model", "html", "python"]


class Runs:
    """The folders FOLDER/runs/NAME that `rehead train` wrote, by the page or from the command line.

    Parameters
    ----------
    folder : Path
        FOLDER/runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: dict[str, tuple[int, dict[str, Any]]] = {}
        self._opened: tuple[Path, int, Predictor] | None = None
        self._opening = threading.Lock()

    def list(self) -> list[dict[str, Any]]:
        """What each run says of its model, the latest first."""
        found = []
        for record in self._folder.glob("*/run.json"):
            try:
                changed = record.stat().st_mtime_ns
                known = self._told.get(record.parent.name)
                if known is None or known[0] != changed:
                    known = self._told[record.parent.name] = changed, _told(record.parent)
            except (OSError, DataError, TypeError, ValueError):  # removed meanwhile, or of something else
                continue
            if known[1]:
                found.append(known[1])
        return sorted(found, key=lambda run: (run["date"], run["name"]), reverse=True)

    def file(self, name: str, file: str) -> Path:
        """A file of a run; Refused where there is no such run."""
        for record in self._folder.glob("*/run.json"):
            if record.parent.name == name and (path := record.with_name(file)).is_file():
                return path
        raise Refused("no-run", name=name)

    def answer(self, name: str, photo: bytes, called: str = "") -> dict[str, Any]:
        """What the model of a run says of a photo, as `rehead predict --format json`.

        Refused, with the name that the photo is `called`, where it cannot be read.
        """
        predictor = self._predictor(self.file(name, "model.onnx"))
        try:
            return predictor.predict(photo)[0].to_dict()
        except ImageError as error:
            raise Refused("no-photo", name=called or "photo", why=error.reason) from error

    def export(self, name: str, form: Form) -> tuple[str, bytes]:
        """Name and content of a file to download: the model file, a page, or a script with all it needs."""
        model = self.file(name, "model.onnx")
        if form == "model":
            return f"{name}.onnx", model.read_bytes()
        with temporary_folder() as place:
            out = place / name
            command = [sys.executable, "-m", "rehead", "export", str(model), "--to", str(out), "--for", form]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            if done.returncode:
                raise Refused("export", why=why_failed(done.stderr.decode("utf-8", "replace")))
            if form == "html":
                return f"{name}.html", (out / "index.html").read_bytes()
            return f"{name}-{form}.zip", _zipped(out)

    def _predictor(self, path: Path) -> Predictor:
        from ..classification.predictor import load_model

        with self._opening:
            changed = path.stat().st_mtime_ns
            if self._opened is None or self._opened[:2] != (path, changed):
                self._opened = path, changed, load_model(path)
            return self._opened[2]


def _told(folder: Path) -> dict[str, Any]:
    """What the page shows of a run; {} of a run that left no classifier."""
    if not (folder / "model.onnx").is_file() or not (folder / "metrics.json").is_file():
        return {}
    record, metrics = (read_record(folder / name) for name in ("run.json", "metrics.json"))
    test = metrics.get("test") or {}
    if "classes" not in record:
        return {}
    return {
        "name": folder.name,
        "date": str(record.get("date", "")),
        "sentence": str(test.get("sentence", "")),
        "warnings": [str(warning) for warning in record.get("warnings", [])],
        "report": (folder / "report.html").is_file(),
    }


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
    return buffer.getvalue()
