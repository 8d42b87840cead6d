"""A project: its photos, what the audit finds in them, its training and its runs, as one state."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.locking import locked
from ..data.bursts import burst_of
from ..errors import DataError, OutputError
from ..images import thumbnail
from .findings import Findings
from .folder import OWN, Photo, PhotoFolder
from .refused import Refused
from .runs import Runs
from .training import Training

__all__ = ["Project", "open_project"]

_FEW = 10  # photos of a class, below which `rehead train` warns
_SCENES = 5  # of a class, of which one is held out for the test at its share of 0.2
_SIDE = 192  # pixels of a thumbnail: 96 of a page, on a screen of two to each
_KEPT = 4000  # thumbnails, of some 8 kB


class Project:
    """What the page shows and changes.

    Parameters
    ----------
    root : path
        As of `PhotoFolder`.
    options : sequence of str
        Of `rehead train` and `rehead audit`: the network.
    """

    def __init__(self, root: str | os.PathLike[str], options: Sequence[str] = ()) -> None:
        self.folder = PhotoFolder(root)
        self.training = Training(self.folder.root, self.folder.runs, self.folder.own, options)
        self.findings = Findings(self.folder.root, self.folder.own, options)
        self.runs = Runs(self.folder.runs)
        self._thumbnail = lru_cache(_KEPT)(lambda photo: thumbnail(photo.path, _SIDE))

    def tick(self) -> None:
        """What goes on without anybody asking: looking at photos that have changed."""
        try:
            classes = self.folder.classes()
        except DataError:  # the state says so
            return
        self.findings.look(classes, wait=self.training.progress().state == "running")

    def close(self) -> None:
        """End what need not outlive the server; a training does."""
        self.findings.close()

    def state(self) -> dict[str, Any]:
        """All that the page shows, as JSON; "version" changes with it."""
        classes = self.folder.classes()
        ids = {photo.id for photos in classes.values() for photo in photos}
        last = self.folder.history.last
        state = {
            "folder": {"name": self.folder.root.name, "path": str(self.folder.root)},
            "classes": [{"name": name, "photos": _listed(photos)} for name, photos in classes.items()],
            "removed": _listed(self.folder.removed_photos()),
            "undo": last and {"kind": last.kind, "names": last.names, "n": len(last.files)},
            "needs": _needs(classes),
            "hints": _hints(classes),
            "findings": self.findings.shown(ids),
            "looking": self.findings.looking and len(ids) > 1,
            "looking_failed": self.findings.error,
            "training": asdict(self.training.progress()),
            "runs": self.runs.list(),
        }
        digest = hashlib.sha256(json.dumps(state).encode("utf-8", "backslashreplace"))
        return {**state, "version": digest.hexdigest()[:16]}

    def check_at_rest(self) -> None:
        """Refuse to move photos from under a training."""
        if self.training.progress().state == "running":
            raise Refused("running")

    def train(self) -> str:
        """Begin a training; return the name of its run."""
        classes = self.folder.classes()
        if needs := _needs(classes):
            raise DataError(needs[0]["key"])  # the page lets nobody ask for it
        self.findings.look(classes, wait=True)
        return self.training.start()

    def thumbnail(self, name: str) -> bytes:
        """A small JPEG of a photo; ImageError where it cannot be read."""
        return self._thumbnail(self.folder.photo(name))


@contextlib.contextmanager
def open_project(root: str | os.PathLike[str], options: Sequence[str] = ()) -> Iterator[Project]:
    """A project that no other studio has open; OutputError where one has."""
    own = Path(root) / OWN
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(own))
        except OutputError as error:
            if isinstance(error.__cause__, OSError):
                raise
            raise OutputError(
                f"{root}: another `rehead studio` has this folder open; use its page, or end it first"
            ) from error
        yield Project(root, options)


def _listed(photos: Sequence[Photo]) -> list[dict[str, str]]:
    return [{"id": photo.id, "stamp": photo.stamp, "burst": burst_of(photo.id)} for photo in photos]


def _needs(classes: Mapping[str, Sequence[Photo]]) -> list[dict[str, Any]]:
    """What is missing for a training, as words with their values."""
    if len(classes) < 2:
        return [{"key": "needs.classes", "classes": []}]
    thin = [name for name, photos in classes.items() if len(photos) < 2]
    return [{"key": "needs.photos", "classes": thin}] if thin else []


def _hints(classes: Mapping[str, Sequence[Photo]]) -> list[dict[str, Any]]:
    """What would make a training better."""
    if _needs(classes):
        return []
    few = [name for name, photos in classes.items() if len(photos) < _FEW]
    scenes = {name: {burst_of(one.id) or one.id for one in photos} for name, photos in classes.items()}
    same = [name for name in classes if len(scenes[name]) < _SCENES and name not in few]
    found = [{"key": "hint.few", "classes": few}, {"key": "hint.scenes", "classes": same}]
    return [hint for hint in found if hint["classes"]]
