"""All that verbs print: tables and sentences for people, JSON and CSV for programs.

Verbs print by nothing else (tests/contract/test_output.py), so that names of files, classes and people are
shown and never obeyed, whatever stands in them, and data are UTF-8 whatever the terminal is.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from ..core.csv_cells import CsvWriter
from ..core.progress import Progress
from ..core.text import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ..errors import ImageError
    from ..evaluation import Evaluation

__all__ = [
    "answer_record",
    "check_answered",
    "check_suffix",
    "csv_output",
    "drop_output",
    "flush_output",
    "photo_progress",
    "plain_table",
    "prepare_streams",
    "print_json",
    "print_jsonl",
    "print_table",
    "read_lines",
    "rows_table",
    "say",
    "say_over",
    "scores_table",
    "show_warnings",
    "styled",
    "terminal_width",
    "warn",
]

_MOST_WARNINGS = 3  # printed; a longer list is not read
_PAUSE = 0.1  # seconds between two lines of progress: more are not seen
# what reports are set with, in letters that every terminal has
_PLAIN = {"\N{NARROW NO-BREAK SPACE}": " ", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"}
# as `core.text.printable`, but JSON has escapes of its own, and for C0 uses them anyway
_NOT_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def prepare_streams() -> None:
    """Print what the encoding of the terminal lacks as escapes, instead of failing."""
    codecs.register_error("rehead", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="rehead")


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(shown), error.end


def drop_output(stream: Any) -> None:
    """Let what is still to be printed go nowhere, or Python would fail once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def flush_output() -> None:
    """Print what waits to be printed, where somebody still reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output(sys.stdout)


# for people


def say(text: str, *, fold: bool = False, style: str = "", err: bool = False) -> None:
    """Print a line; with `fold` a sentence, which is broken between words where the terminal ends.

    Where nobody reads it any more, the work that is reported on goes on.
    """
    if fold or style:
        from .terminal import terminal

        terminal(stderr=err).print(styled(text, style), soft_wrap=not fold)
        return
    stream = sys.stderr if err else sys.stdout
    try:
        print(printable(text), file=stream, flush=True)
    except BrokenPipeError:
        drop_output(stream)


def say_over(text: str) -> None:
    """Print over the line that is there, on the error output."""
    print(f"\r{printable(text)}", end="", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """Print what to know before relying on a result."""
    from .terminal import terminal

    terminal().print(styled("!", "yellow"), sentence)


def show_warnings(warnings: Sequence[str], where: str) -> None:
    """Print the first warnings, which are the gravest, and where the others stand."""
    for warning in warnings[:_MOST_WARNINGS]:
        warn(warning)
    if (more := len(warnings) - _MOST_WARNINGS) > 0:
        say(f"  and {more} more {where}")


def styled(text: str, style: str = "") -> Text:
    """Text of others in a style, for a cell of a table."""
    from rich.text import Text

    return Text(printable(text), style)


def plain_table(*columns: str, right: Collection[str] = ()) -> Table:
    """An empty table, ruled under its head only; long cells fold. `right` are the columns of numbers.

    Its cells are strings, which `print_table` shows as they are, or `styled`.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    return table


def print_table(table: Table) -> None:
    """Print a table."""
    from .terminal import terminal

    terminal().print(table)


def rows_table(
    columns: Mapping[str, Collection[str]], last: str, *, right: Collection[str] = ()
) -> Callable[..., None]:
    """Return a function that prints the cells of a row of a table at once, where others print it at its end.

    `columns` holds for each column the cells that it may have, which make it as wide as it needs to be; what
    remains is for the column `last`.
    """
    from rich.cells import cell_len

    from .terminal import terminal

    screen = terminal()
    widths = {
        name: max(cell_len(printable(cell)) for cell in [name, *cells]) for name, cells in columns.items()
    }
    left = screen.width - 3 * len(widths)  # without the gaps
    for place, name in enumerate(sorted(widths, key=widths.__getitem__)):
        # a column takes no more than its share of what narrower ones leave
        widths[name] = max(min(widths[name], left // (len(widths) + 1 - place)), cell_len(name))
        left -= widths[name]
    first = [True]

    def row(*cells: str | Text) -> None:
        table = plain_table(*columns, last, right=right)
        table.show_edge, table.show_header = False, first.pop() if first else False
        for column, width in zip(table.columns, widths.values(), strict=False):
            column.width = width
        table.add_row(*cells)
        screen.print(table)

    return row


def terminal_width() -> int:
    """Columns of the terminal; of a pipe or a file more than any line has."""
    from .terminal import terminal

    return terminal().width


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


def answer_record(file: Path | str, answer: Answer | ImageError) -> dict[str, Any]:
    """The record of an answer, or `photo` and `error`."""
    from ..errors import ImageError

    if isinstance(answer, ImageError):
        return {"photo": str(file), "error": answer.reason}
    return answer.to_dict() | {"photo": str(file)}


# for programs


class _JsonProgress:
    """A `StepProgress` that prints lines of JSON on the error output."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if done < total and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE
        print_jsonl([{"done": done, "total": total}], sys.stderr)

    def step(self, name: str) -> None:
        print_jsonl([{"step": name}], sys.stderr)


def data_output() -> TextIO:
    """The standard output for data: UTF-8 whatever the terminal is; a byte that is no text as its escape."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    return sys.stdout


def print_json(value: Any, file: TextIO | None = None) -> None:
    """A value as JSON; where nobody reads it any more, nothing."""
    file = file or data_output()
    try:
        print(_json(value, indent=2), file=file, flush=True)
    except BrokenPipeError:
        drop_output(file)


def print_jsonl(records: Iterable[dict[str, Any]], file: TextIO | None = None) -> None:
    """A line of JSON for each record, as it comes."""
    file = file or data_output()
    for record in records:
        print(_json(record), file=file, flush=True)


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def csv_output(file: TextIO | None = None) -> CsvWriter:
    """A writer of CSV; what a terminal would obey is written into files only."""
    output = file or data_output()
    return CsvWriter(_Shown(output) if output.isatty() else output)


class _Shown:
    """A terminal for lines of data: shows what else it would obey."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write("\n".join(map(printable, text.split("\n"))))


def check_answered(files: Sized, failed: Sequence[ImageError], *, expected: str = "can be read") -> None:
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
def photo_progress(
    description: str, *, quiet: bool = False, form: Literal["bar", "json"] = "bar"
) -> Iterator[Progress | None]:
    """Yield a `progress(done, total)` that draws on the error output, or None; of "json" one for programs."""
    if form == "json":
        yield _JsonProgress()
        return
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from .terminal import terminal

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=terminal(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file goes past the bar
        transient=True,
    ) as bar:
        task = bar.add_task(description, total=None, rate="")

        def progress(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.0f} photos/s" if speed else "")

        yield progress
