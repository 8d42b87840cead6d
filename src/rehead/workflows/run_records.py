"""Records of a classifier's run, read and checked: anybody may have changed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core import records
from ..errors import DataError

__all__ = ["read_run_records"]


def read_run_records(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """run.json and metrics.json of a run directory; DataError where one is not as it was written.

    What `update`, `forget` and `merge` wrote has "change", and neither photos nor a split.
    """
    record = _read(folder, "run.json", {})
    entries = _CHANGED if "change" in record else _RUN
    return _read(folder, "run.json", entries), _read(folder, "metrics.json", _METRICS)


def _read(folder: Path, name: str, entries: records.Entries) -> dict[str, Any]:
    try:
        record = records.read_record(folder / name)
        records.check_entries(record, entries, needed=True)
    except DataError as error:
        raise DataError(
            f"{folder}: not a run directory, or a damaged one; {name} cannot be read ({error}); "
            "expected what `rehead train`, `update`, `forget` or `merge` wrote"
        ) from error
    return record


_epoch = dict.fromkeys(("train_loss", "val_loss", "train_accuracy", "val_accuracy"), records.number)


def _curve(value: object) -> bool:
    return records.record(**_epoch)(value) and records.values(records.either(None, records.number))(value)


def _positive(value: object) -> bool:
    return records.number(value) and value > 0  # type: ignore[operator]


_training = records.record(
    curves=records.either(None, records.list_of(_curve)), sentence=records.either(None, records.text)
)
_RUN: records.Entries = {
    "date": (records.text, "a time"),
    "command": (records.words, "words"),
    "versions": (records.values(records.text), "versions"),
    "photos": (
        lambda value: (
            records.record(folder=records.text)(value)
            and all(records.count(number) for name, number in value.items() if name != "folder")
        ),
        "a folder and counts",
    ),
    "split": (records.text, "a digest"),
    "seed": (records.count, "a whole number"),
    "folds": (records.either(None, records.count), "a whole number"),
    "backbone": (records.record(name=records.text, sha256=records.text), "name and sha256"),
    "training": (records.either(None, _training), "how the network was trained"),
    "audit": (
        records.either(None, records.record(summary=records.words, command=records.text)),
        "what was noticed",
    ),
    "unreadable": (
        records.either(None, records.list_of(records.record(photo=records.text, reason=records.text))),
        "photos and reasons",
    ),
    "skipped": (records.either(None, records.words), "names of files"),
    "left_out": (records.either(None, records.words), "names of photos"),
}
_CHANGED: records.Entries = {
    **{name: _RUN[name] for name in ("date", "command", "versions", "seed", "backbone", "unreadable")},
    "change": (records.record(), "what was changed"),
}
_step = records.record(
    candidate=records.text,
    log_loss=records.number,
    l2=_positive,
    chosen=lambda value: isinstance(value, bool),
)
_accuracy = records.either(None, records.record(value=records.number))
_METRICS: records.Entries = {
    "test": (records.either(None, records.record(accuracy=_accuracy)), "the scores of the test photos"),
    "head": (records.either(None, records.record(path=records.list_of(_step))), "how the head was chosen"),
}
