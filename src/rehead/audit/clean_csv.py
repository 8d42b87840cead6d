"""Which photos are better left out of training, and the CSV that says so."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core import atomic
from ..core.csv_cells import CsvWriter
from ..data import Dataset
from ..data.duplicates import iter_groups
from .duplicates import effective_splits
from .issues import Audit, Issue

__all__ = ["left_out", "write_csv"]

_COLUMNS = ("path", "label", "suggested", "split", "group", "keep", "why")


def left_out(dataset: Dataset, issues: Iterable[Issue], digests: Sequence[str]) -> Mapping[str, str]:
    """Id and reason of each photo that is better left out.

    Photos that cannot be read; blank ones; every copy of a picture under two classes; of files with the
    same bytes in one class and split all but the first; and of leaks, the photos that are not tested on.
    Labels in doubt stay: hard photos are among them, and without those the test would be too easy.
    """
    splits = dict(zip(dataset.ids, effective_splits(dataset).tolist(), strict=True))
    tested = "test" if "test" in splits.values() else "val"
    why: dict[str, str] = {}
    for issue in issues:
        for photo in issue.photos:
            if issue.kind == "unreadable":
                why[photo] = issue.detail
            elif issue.kind == "contradiction":
                why[photo] = "the same picture is filed under another class too"
            elif issue.kind == "leak" and splits[photo] != tested:
                why.setdefault(photo, f"what is nearly the same stands in '{tested}'")
            elif issue.kind == "blank":
                why.setdefault(photo, "blank")
    first: dict[tuple[str, str, str], str] = {}
    for name, digest, label in zip(dataset.ids, digests, dataset.labels.tolist(), strict=True):
        original = first.setdefault((digest, label, splits[name]), name) if digest else name
        if original != name:
            why.setdefault(name, f"the same bytes as {original}")
    return why


def write_csv(audit: Audit, path: str | os.PathLike[str]) -> None:
    """Write every photo with the columns path, label, suggested, split, group, keep and why.

    `rehead train` takes the file as it is: it leaves out rows whose `keep` is no, keeps each group on
    one side of its split, and ignores `suggested` and `why`, which are for the reader. Paths are
    relative to the file where the photos lie beside or below it.

    Raises
    ------
    OutputError
        Where the file cannot be written.
    """
    dataset = audit.dataset
    suggested = {issue.photos[0]: issue.suggested for issue in audit.of("label")}
    groups = _names(audit)
    place = Path(os.path.abspath(Path(path).parent))  # noqa: PTH100 (resolve follows links)
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.writerow(_COLUMNS)
    for n, name in enumerate(dataset.ids):
        file = Path(os.path.abspath(dataset.paths[n]))  # noqa: PTH100
        writer.writerow(
            (
                file.relative_to(place).as_posix() if file.is_relative_to(place) else str(file),
                dataset.labels[n],
                suggested.get(name, ""),
                dataset.splits[n],
                groups[n],
                "no" if name in audit.left_out else "yes",
                audit.left_out.get(name, ""),
            )
        )
    atomic.write_text(path, text.getvalue())


def _names(audit: Audit) -> list[str]:
    """A name for each group of two or more: the user's where there is one, else a new one."""
    given = audit.dataset.groups
    names = np.array(given, dtype=object)
    taken = set(given.tolist())
    number = 0
    for rows in iter_groups(audit.groups):
        name = min((name for name in given[rows].tolist() if name), default="")
        while not name:
            number += 1
            name = f"same-{number}" if f"same-{number}" not in taken else ""
        names[rows] = name
    return [str(name) for name in names]
