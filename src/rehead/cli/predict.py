"""`rehead predict`."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..core.options import EstimatorOptions, Opt
from ..errors import DataError, ImageError
from . import options
from .command import Only, command
from .console import (
    answer_record,
    check_answered,
    check_suffix,
    csv_output,
    photo_progress,
    print_json,
    print_jsonl,
    rows_table,
    say,
    styled,
)
from .photos import list_given

if TYPE_CHECKING:
    from ..classification.predictor import Predictor
    from ..core.photos import File
    from ..core.progress import Progress
    from ..data.sources import Source

__all__ = ["predict"]

_STDIN, _UNREADABLE = "-", "unreadable"
_WIDTH = 32  # letters, of the name of a photo in a shard
_NOT_TEXT = re.compile(rb"[\x01-\x08\x0e-\x1f]")  # what no list of paths has, and every photo


@command
def predict(
    model: options.ModelFile,
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="Photos, and folders that are searched at any depth; shards-{000..009}.tar, *.parquet and "
            "s3://bucket/photos as a stream; - reads a photo, or a list of paths, from the standard input.",
            show_default=False,
        ),
    ],
    form: Annotated[
        options.AnswerForm | None,
        Opt(
            help="How to print the answers.",
            flag="--format -f",
            shown="as the ending of --out says, else table",
            default=None,
        ),
    ],
    out: Annotated[
        Path | None,
        Opt(help="File for the answers: .csv, .json or .jsonl.", flag="--out -o", default=None),
    ],
    use: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Name the class of photos, or answer "unknown" and say why."""
    from ..workflows.loading import open_model

    if form == "table" and out is not None:
        raise typer.BadParameter("a table is only printed; give csv, json or jsonl", param_hint="--format")
    chosen = form or (check_suffix(out, ".csv", ".json", ".jsonl")[1:] if out else "table")
    loaded = open_model(model, threads=use.threads)
    if unmeasured := loaded.manifest.get("unmeasured"):
        say(f"{model}: {unmeasured}", err=True)
    given = _Given(photos)
    failed: list[ImageError] = []
    rows_on_screen = out is None and chosen != "json" and sys.stdout.isatty()
    with _opened(out) as file:
        with photo_progress("Looking at photos", quiet=rows_on_screen) as progress:
            records: Iterable[dict[str, Any]] = _answers(loaded, given, failed, progress)
            if chosen == "json":
                records = list(records)
            elif chosen == "jsonl":
                print_jsonl(records, file)
            elif chosen == "csv":
                _print_csv(records, loaded.labels, file)
            else:
                _print_table(records, given.names, loaded.labels)
        if chosen == "json":
            print_json(records, file)
    if out is not None:
        say(f"wrote {out}")
    check_answered(range(given.seen), failed)
    if failed and chosen == "table":
        say(f"rehead: {len(failed)} of {given.seen} photos could not be read", err=True)


class _Given:
    """The photos to answer for, one after the other: those of a source are never listed.

    Attributes
    ----------
    names : list of str
        What photos are called, or how long that may be where they are not known before they are read.
    total : int or None
        How many there are, where that is known.
    seen : int
        How many were given out.
    """

    def __init__(self, photos: Sequence[Path]) -> None:
        from ..data.sources import find_source

        self._streams: list[Source | list[tuple[str, File]]] = []
        for photo in photos:
            self._streams.append(find_source(photo) or _named(photo))
        listed = [each for stream in self._streams if isinstance(stream, list) for each in stream]
        known = all(isinstance(stream, list) for stream in self._streams)
        self.names = [name for name, _ in listed] + ([] if known else ["x" * _WIDTH])
        self.total = len(listed) if known else None
        self.seen = 0

    def __iter__(self) -> Iterator[tuple[str, File | ImageError]]:
        from ..data.sources import read_ahead, samples_of

        for stream in self._streams:
            if isinstance(stream, list):
                each: Iterable[tuple[str, File | ImageError]] = stream
            else:
                each = ((sample.id, data) for sample, data in read_ahead(samples_of(stream)))
            for item in each:
                self.seen += 1
                yield item


def _named(photo: Path) -> list[tuple[str, File]]:
    """What to predict, and what to call it: a file, those of a folder, or what the standard input has."""
    if str(photo) != _STDIN:
        return [(str(file), file) for file in list_given([photo])]
    data = sys.stdin.buffer.read() if sys.stdin else b""
    if (listed := _listed(data)) is None:
        return [(_STDIN, data)]
    files = (file for path in listed for file in (list_given([path]) if path.is_dir() else (path,)))
    return [(str(file), file) for file in files]


def _listed(data: bytes) -> list[Path] | None:
    """The paths of a list, a line each or between NULs (find -print0); None where the data are a photo."""
    from ..images import read_header

    if not data:
        raise DataError("the standard input is empty; expected a photo, or a list of paths, a line each")
    with contextlib.suppress(ImageError):
        read_header(data)
        return None
    text = data.removeprefix(codecs.BOM_UTF8)
    lines = text.split(b"\0") if b"\0" in text else text.splitlines()
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths or (_NOT_TEXT.search(text) and not os.path.lexists(paths[0])):
        return None  # a damaged photo: its error says so
    return paths


def _answers(
    model: Predictor, photos: _Given, failed: list[ImageError], progress: Progress | None
) -> Iterator[dict[str, Any]]:
    """The record of each answer as it comes; errors are added to `failed`."""
    waiting = deque[tuple[str, ImageError | None]]()

    def files() -> Iterator[File]:
        for name, photo in photos:
            error = photo if isinstance(photo, ImageError) else None
            waiting.append((name, error))
            yield b"" if isinstance(photo, ImageError) else photo

    for done, answer in enumerate(model.predict_each(files()), 1):
        name, error = waiting.popleft()
        found = error or answer
        if isinstance(found, ImageError):
            failed.append(found)
        if progress:
            progress(done, photos.total or photos.seen)
        yield answer_record(name, found)


@contextlib.contextmanager
def _opened(out: Path | None) -> Iterator[TextIO | None]:
    """The file to write, which takes its place at the end; None is the standard output."""
    from ..core.atomic import replacing

    if out is None:
        yield None
        return
    with (
        replacing(out) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def _print_table(records: Iterable[dict[str, Any]], names: Sequence[str], labels: Sequence[str]) -> None:
    from ..core.rejection import UNKNOWN

    answers = [*labels, UNKNOWN, _UNREADABLE]
    columns = {"photo": names, "answer": answers, "probability": ()}
    row = rows_table(columns, "note", right=["probability"])
    for record in records:
        if "error" in record:
            row(record["photo"], styled(_UNREADABLE, "red"), "", record["error"])
        elif record["reason"]:
            # the number is that of the nearest class, not of "unknown"
            nearest = f"nearest {record['nearest']}, probability {record['probability']:.3f}"
            row(record["photo"], styled(record["label"], "yellow"), "", f"{record['reason']}; {nearest}")
        else:
            row(record["photo"], record["label"], f"{record['probability']:.3f}", record["note"])


def _print_csv(records: Iterable[dict[str, Any]], labels: tuple[str, ...], file: TextIO | None) -> None:
    columns = ["photo", "label", "nearest", "probability", "reason", "note", "outlier_score", "error"]
    writer = csv_output(file)
    writer.writerow([*columns, *(f"p({label})" for label in labels)])
    for record in records:
        probabilities = record.get("probabilities", {})
        writer.writerow([*(record.get(name) for name in columns), *map(probabilities.get, labels)])
