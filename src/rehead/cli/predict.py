"""`rehead predict`."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
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

__all__ = ["predict"]

_STDIN, _UNREADABLE = "-", "unreadable"
_NOT_TEXT = re.compile(rb"[\x01-\x08\x0e-\x1f]")  # what no list of paths has, and every photo


@command
def predict(
    model: options.ModelFile,
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="Photos, and folders that are searched at any depth; - reads a photo, or a list of paths, "
            "from the standard input.",
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
    named = [each for photo in photos for each in _named(photo)]
    names = [name for name, _ in named]
    failed: list[ImageError] = []
    rows_on_screen = out is None and chosen != "json" and sys.stdout.isatty()
    with _opened(out) as file:
        with photo_progress("Looking at photos", quiet=rows_on_screen) as progress:
            records: Iterable[dict[str, Any]] = _answers(loaded, named, failed, progress)
            if chosen == "json":
                records = list(records)
            elif chosen == "jsonl":
                print_jsonl(records, file)
            elif chosen == "csv":
                _print_csv(records, loaded.labels, file)
            else:
                _print_table(records, names, loaded.labels)
        if chosen == "json":
            print_json(records, file)
    if out is not None:
        say(f"wrote {out}")
    check_answered(names, failed)
    if failed and chosen == "table":
        say(f"rehead: {len(failed)} of {len(names)} photos could not be read", err=True)


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
    model: Predictor, photos: Sequence[tuple[str, File]], failed: list[ImageError], progress: Progress | None
) -> Iterator[dict[str, Any]]:
    """The record of each answer as it comes; errors are added to `failed`."""
    answers = model.predict_each([photo for _, photo in photos])
    for done, ((name, _), answer) in enumerate(zip(photos, answers, strict=True), 1):
        if isinstance(answer, ImageError):
            failed.append(answer)
        if progress:
            progress(done, len(photos))
        yield answer_record(name, answer)


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
