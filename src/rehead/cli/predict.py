"""`rehead predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..core.options import EstimatorOptions, Opt
from . import options
from .command import Only, command

if TYPE_CHECKING:
    from ..classification.predictor import Prediction
    from ..errors import ImageError

__all__ = ["predict"]


@command
def predict(
    model: options.ModelFile,
    photos: options.PhotoList,
    form: Annotated[
        Literal["table", "json", "jsonl", "csv"],
        Opt(help="How to print the answers.", flag="--format -f", default="table"),
    ],
    use: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Name the class of photos, or answer "unknown" and say why."""
    from ..data import list_photos
    from ..errors import DataError, ImageError
    from ..workflows.loading import open_model

    loaded = open_model(model, threads=use.threads)
    files = [file for photo in photos for file in list_photos(photo)]
    failed: list[ImageError] = []

    def answers() -> Iterator[tuple[Path, Prediction | ImageError]]:
        for file, answer in zip(files, loaded.predict_each(files), strict=True):
            if isinstance(answer, ImageError):
                failed.append(answer)
            yield file, answer

    _WRITERS[form](answers(), loaded.labels)
    if len(failed) == len(files):
        raise (
            failed[0]
            if len(failed) == 1
            else DataError(f"none of the {len(files)} photos can be read; {failed[0]}")
        )
    if failed and form == "table":
        print(f"rehead: {len(failed)} of {len(files)} photos could not be read", file=sys.stderr)


Answers = Iterable[tuple[Path, "Prediction | ImageError"]]


def _record(file: Path, answer: Prediction | ImageError, labels: tuple[str, ...]) -> dict[str, Any]:
    from ..errors import ImageError

    if isinstance(answer, ImageError):
        return {"photo": str(file), "error": answer.reason}
    return {
        "photo": str(file),
        "label": answer.label,
        "probability": round(answer.probability, 6),
        "nearest": answer.nearest,
        "reason": answer.reason,
        "outlier_score": round(answer.outlier_score, 6),
        "probabilities": dict(zip(labels, [round(float(p), 6) for p in answer.probabilities], strict=True)),
    }


def _table(answers: Answers, labels: tuple[str, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("photo", overflow="fold")
    table.add_column("answer")
    table.add_column("probability", justify="right")
    table.add_column("note")
    from rich.text import Text

    for file, answer in answers:
        record = _record(file, answer, labels)
        if "error" in record:
            table.add_row(Text(str(file)), Text("unreadable", "red"), "", Text(record["error"]))
            continue
        note = f"{record['reason']}; nearest {record['nearest']}" if record["reason"] else ""
        style = "yellow" if note else ""
        probability = f"{record['probability']:.3f}"
        table.add_row(Text(str(file)), Text(record["label"], style), probability, Text(note))
    Console().print(table)


def _json(answers: Answers, labels: tuple[str, ...]) -> None:
    import json

    print(json.dumps([_record(*pair, labels) for pair in answers], indent=2, ensure_ascii=False))


def _jsonl(answers: Answers, labels: tuple[str, ...]) -> None:
    import json

    for pair in answers:
        print(json.dumps(_record(*pair, labels), ensure_ascii=False), flush=True)


def _csv(answers: Answers, labels: tuple[str, ...]) -> None:
    import csv

    columns = ["photo", "label", "probability", "nearest", "reason", "outlier_score", "error"]
    writer = csv.DictWriter(sys.stdout, [*columns, *(f"p({label})" for label in labels)], lineterminator="\n")
    writer.writeheader()
    for pair in answers:
        record = _record(*pair, labels)
        record |= {f"p({label})": p for label, p in record.pop("probabilities", {}).items()}
        writer.writerow(record)


_WRITERS: dict[str, Callable[[Answers, tuple[str, ...]], None]] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}
