"""What the audit finds in the photos, looked for anew where they have changed: `rehead audit` in a process.

The network's features of a photo are in rehead's cache after the first time, so that a change costs seconds.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core import atomic
from ..core.csv_cells import CsvWriter
from ..core.records import read_record
from ..core.run_dir import write_json
from ..errors import DataError, OutputError
from .folder import Photo
from .refused import why_failed

__all__ = ["Findings"]

_QUIET = 1.5  # seconds without a change before photos are looked at, so that those of one hold are at once
# Kinds that the page shows. Bursts are kept together anyway, small classes it counts itself
_SHOWN = (
    *("unreadable", "contradiction", "name", "label", "copy"),
    *("outlier", "blank", "dark", "blurred", "tiny", "shape"),
)
_MOST = 60  # that a page shows


class Findings:
    """Audits a folder in the background.

    Parameters
    ----------
    root, own : Path
        The photos, and where the list of them is written.
    options : sequence of str
        Of `rehead audit`, besides.
    """

    def __init__(self, root: Path, own: Path, options: Sequence[str] = ()) -> None:
        self._root, self._table, self._options = root, own / "photos.csv", list(options)
        self._accepted = own / "fine.json"
        self._fine = set[str]()
        with contextlib.suppress(DataError, TypeError):
            self._fine.update(map(str, read_record(self._accepted).get("fine", [])))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._asked: object = None
        self._looked_at: object = None
        self._changed = 0.0
        self._found: list[dict[str, Any]] = []
        self.error = ""

    @property
    def looking(self) -> bool:
        """Whether photos have changed since they were looked at."""
        return self._asked != self._looked_at

    def shown(self, ids: set[str]) -> list[dict[str, Any]]:
        """The findings, gravest first, whose photos are all there."""
        there = [one for one in self._found if ids.issuperset(one["photos"])]
        return [one for one in there if one["id"] not in self._fine][:_MOST]

    def accept(self, name: str) -> None:
        """Show a finding no more, now and later; `name` is its "id"."""
        with self._lock:
            self._fine.add(name)
            write_json(self._accepted, {"fine": sorted(self._fine)})

    def look(self, classes: Mapping[str, Sequence[Photo]], *, wait: bool) -> None:
        """Begin an audit where photos have changed and rest; called again and again.

        `wait` puts it off, for as long as a training runs. Returns at once, but for the start of a process.
        """
        rows = tuple((one.id, name, one.stamp) for name, photos in classes.items() for one in photos)
        with self._lock:
            if rows != self._asked:
                self._asked, self._changed = rows, time.monotonic()
                if self._process is not None:  # what it finds is out of date
                    self._process.kill()
            rests = time.monotonic() - self._changed >= _QUIET
            if self._process is not None and wait:
                self._process.kill()
            if not self.looking or wait or not rests or self._process is not None:
                return
            if len(rows) < 2:
                self._found, self._looked_at, self.error = [], rows, ""
                return
            try:
                self._process = self._started(rows)
            except (OSError, OutputError) as error:
                self._looked_at, self.error = rows, getattr(error, "strerror", None) or str(error)
                return
        threading.Thread(target=self._collect, args=(self._process, rows), daemon=True).start()

    def close(self) -> None:
        """End an audit that runs."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _started(self, rows: Sequence[tuple[str, str, str]]) -> subprocess.Popen[str]:
        with (
            atomic.replacing(self._table, sync=False) as beside,
            beside.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = CsvWriter(file)
            writer.writerow(("path", "label"))
            writer.writerows((name, label) for name, label, _ in rows)
        command = [sys.executable, "-m", "rehead", "audit", str(self._table), "--root", str(self._root)]
        return subprocess.Popen(
            [*command, "--json", *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def _collect(self, process: subprocess.Popen[str], rows: object) -> None:
        out, said = process.communicate()
        found = None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = [_shown(issue) for issue in json.loads(out)["issues"] if issue["kind"] in _SHOWN]
        with self._lock:
            self._process = None
            if process.returncode < 0:  # it was ended, as there are other photos
                return
            self._looked_at = rows
            self._found = found or []
            self.error = "" if found is not None else why_failed(said)


def _shown(issue: Mapping[str, Any]) -> dict[str, Any]:
    """An issue as the page shows it; "remove" are the photos that need not stay."""
    kind, photos = issue["kind"], list(issue["photos"])
    return {
        "id": json.dumps([kind, photos or issue["detail"]]),
        "kind": kind,
        "detail": issue["detail"],
        "labels": issue.get("labels", []),
        "photos": photos,
        "suggested": issue.get("suggested", ""),
        "remove": photos[1:] if kind == "copy" else photos if kind in ("unreadable", "blank") else [],
    }
