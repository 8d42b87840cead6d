"""Tables that more than one verb prints."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.progress import Progress

if TYPE_CHECKING:
    from rich.table import Table

    from ..errors import ImageError
    from ..evaluation import Evaluation

__all__ = [
    "answer_record",
    "check_answered",
    "check_suffix",
    "photo_progress",
    "plain_table",
    "print_json",
    "print_jsonl",
    "read_lines",
    "scores_table",
]


def plain_table(*columns: str, right: Collection[str] = ()) -> Table:
    """An empty table, ruled under its head only; long cells fold. `right` are the columns of numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    return table


_SCORE = ("value", "95 % interval")


def scores_table(evaluation: Evaluation) -> Table:
    """Each score with its 95 % interval."""
    table = plain_table(f"{evaluation.photos} test photos", *_SCORE, right=_SCORE)
    for row in evaluation.table():
        table.add_row(*row)
    return table


class Answer(Protocol):
    """A prediction."""

    def to_dict(self) -> dict[str, Any]:
        """Its JSON-able record."""


def answer_record(file: Path, answer: Answer | ImageError) -> dict[str, Any]:
    """The record of an answer, or `photo` and `error`."""
    from ..errors import ImageError

    if isinstance(answer, ImageError):
        return {"photo": str(file), "error": answer.reason}
    return answer.to_dict()


def print_json(value: Any) -> None:
    """A value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_jsonl(records: Iterable[dict[str, Any]]) -> None:
    """A line of JSON for each record, as it comes."""
    for record in records:
        print(json.dumps(record, ensure_ascii=False), flush=True)


def check_answered(
    files: Sequence[Path], failed: Sequence[ImageError], *, expected: str = "can be read"
) -> None:
    """Raise where no photo has an answer: the error of the only one, or DataError."""
    from ..errors import DataError

    if len(failed) == len(files):
        several = DataError(f"none of the {len(files)} photos {expected}; {failed[0]}")
        raise failed[0] if len(failed) == 1 else several


def check_suffix(out: Path, *suffixes: str) -> str:
    """The ending of a file to write, in lower case; DataError where it is none of these."""
    from ..errors import DataError

    if (suffix := out.suffix.lower()) not in suffixes:
        raise DataError(f"{out}: expected a name that ends in {' or '.join(suffixes)}")
    return suffix


def read_lines(path: Path) -> list[str]:
    """The lines of a text file but for blank ones; DataError where it cannot be read."""
    from ..errors import DataError

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


@contextlib.contextmanager
def photo_progress(description: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a `progress(done, total)` that draws on the error output, or None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(description, total=None, rate="")

        def progress(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.0f} photos/s" if speed else "")

        yield progress
