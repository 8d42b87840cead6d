"""What was done to the photos, so that it can be undone, also after the next start."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.records import Entries, check_entries, list_of, read_record, text, words
from ..core.run_dir import write_json
from ..errors import DataError, OutputError

__all__ = ["Change", "History"]

_KEPT = 200  # changes: more are not undone one by one
_PAUSE = 1.0  # seconds between writes while photos are added, which would each write all that came before


@dataclass(frozen=True)
class Change:
    """A change of the folder.

    Parameters
    ----------
    kind : str
        "add", "move", "remove", "restore", "make", "rename" or "remove-class".
    names : tuple of str
        What words about it name, such as the class.
    files : tuple of (str, str)
        Files that were moved, from and to; of "add" both are where they are.
    folders : tuple of (str, str)
        Folders that were renamed, from and to.
    made, gone : tuple of str
        Folders that were made, and that are not there any more.
    """

    kind: str
    names: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    made: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


_PAIR = list_of(words)
_ENTRIES: Entries = {
    "kind": (text, "a word"),
    **dict.fromkeys(("names", "made", "gone"), (words, "words")),
    **dict.fromkeys(("files", "folders"), (_PAIR, "pairs of paths")),
}


@dataclass
class History:
    """The last changes, kept in a file.

    Parameters
    ----------
    path : Path
        A file that cannot be read counts as none: what it says is a convenience.
    """

    path: Path
    _changes: list[Change] = field(init=False)

    def __post_init__(self) -> None:
        self._written = time.monotonic()
        try:
            found = read_record(self.path).get("changes", [])
            self._changes = [_read(one) for one in found]
        except (DataError, TypeError, ValueError):
            self._changes = []

    @property
    def last(self) -> Change | None:
        """What would be undone."""
        return self._changes[-1] if self._changes else None

    def add(self, change: Change) -> None:
        """Keep a change."""
        self._write([*self._changes, change])

    def grow(self, change: Change) -> None:
        """Add the files of a change to the last one where kind and names are the same, or keep it anew.

        It is on the disk with the next change that is not of them, and after `_PAUSE` at the latest when
        more come.
        """
        last = self.last
        if last is None or (last.kind, last.names) != (change.kind, change.names):
            self.add(change)
            return
        grown = replace(last, files=(*last.files, *change.files), made=(*last.made, *change.made))
        self._changes[-1] = grown
        if time.monotonic() - self._written > _PAUSE:
            self._write(self._changes)

    def take(self) -> Change | None:
        """The last change, which is then kept no more."""
        last = self.last
        if last is not None:
            self._write(self._changes[:-1])
        return last

    def _write(self, changes: Iterable[Change]) -> None:
        self._changes, self._written = list(changes)[-_KEPT:], time.monotonic()
        with contextlib.suppress(OutputError):  # a full disk: the photos are where they are all the same
            write_json(self.path, {"changes": [asdict(one) for one in self._changes]})


def _read(one: dict[str, Any]) -> Change:
    check_entries(one, _ENTRIES)
    files, folders = (tuple((a, b) for a, b in one[name]) for name in ("files", "folders"))
    return Change(one["kind"], tuple(one["names"]), files, folders, tuple(one["made"]), tuple(one["gone"]))
