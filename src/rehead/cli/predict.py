"""`rehead predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..core.options import EstimatorOptions
from . import options
from .command import Only, command
from .console import answer_record, check_answered, plain_table, print_json, print_jsonl

if TYPE_CHECKING:
    from ..classification.predictor import Prediction
    from ..errors import ImageError

__all__ = ["predict"]


@command
def predict(
    model: options.ModelFile,
    photos: options.PhotoList,
    form: options.AnswerFormat,
    use: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Name the class of photos, or answer "unknown" and say why."""
    from ..data import list_photos
    from ..errors import ImageError
    from ..workflows.loading import open_model

    loaded = open_model(model, threads=use.threads)
    files = [file for photo in photos for file in list_photos(photo)]
    failed: list[ImageError] = []

    def answers() -> Iterator[tuple[Path, Prediction | ImageError]]:
        for file, answer in zip(files, loaded.predict_each(files), strict=True):
            if isinstance(answer, ImageError):
                failed.append(answer)
            yield file, answer

    records = (answer_record(*pair) for pair in answers())
    if form == "json":
        print_json(list(records))
    elif form == "jsonl":
        print_jsonl(records)
    elif form == "csv":
        _print_csv(records, loaded.labels)
    else:
        _print_table(records)
    check_answered(files, failed)
    if failed and form == "table":
        print(f"rehead: {len(failed)} of {len(files)} photos could not be read", file=sys.stderr)


def _print_table(records: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    table = plain_table("photo", "answer", "probability", "note", right=["probability"])
    for record in records:
        photo = Text(record["photo"])
        if "error" in record:
            table.add_row(photo, Text("unreadable", "red"), "", Text(record["error"]))
            continue
        note = f"{record['reason']}; nearest {record['nearest']}" if record["reason"] else record["note"]
        style = "yellow" if record["reason"] else ""
        table.add_row(photo, Text(record["label"], style), f"{record['probability']:.3f}", Text(note))
    Console().print(table)


def _print_csv(records: Iterable[dict[str, Any]], labels: tuple[str, ...]) -> None:
    import csv

    columns = ["photo", "label", "probability", "nearest", "reason", "note", "outlier_score", "error"]
    writer = csv.DictWriter(sys.stdout, [*columns, *(f"p({label})" for label in labels)], lineterminator="\n")
    writer.writeheader()
    for record in records:
        probabilities = record.pop("probabilities", {})
        writer.writerow(record | {f"p({label})": p for label, p in probabilities.items()})
