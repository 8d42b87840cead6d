"""Adding photos to a trained model, forgetting some, merging two: run directory to run directory.

    model.onnx      the model file
    statistics.npz  what it keeps to learn and forget, see docs/statistics.md
    metrics.json    how good it is on the photos to check, where there are any
    run.json        what was done, and versions; no names of photos

The directory is written beside its place and moved into it, so that it is there whole or not at all; what
an earlier run left there, such as a report with photos in it, goes with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..classification.estimator import ImageClassifier
from ..classification.incremental import Change
from ..classification.reselection import Reselection
from ..core.cache import drop_rows
from ..core.locking import locked
from ..core.photos import Photos
from ..core.progress import Progress
from ..core.run_dir import NewRun, failed_photos, write_json
from ..core.text import count
from ..data import read_dataset
from ..errors import DatasetError, OutputError
from ..evaluation import Evaluation
from .train_record import metrics_summary

__all__ = ["ChangedRun", "Updating", "forget", "merge", "update"]


@dataclass(frozen=True)
class Updating:
    """Where a changed model goes, and what it is measured on.

    Parameters
    ----------
    out : path or None
        The run directory to write; None replaces the one that the model is in.
    check : path or None
        Photos with classes, not learnt, on which temperature, limits and all numbers are measured.
    overwrite : bool
        Whether to replace an earlier run at `out`.
    threads : int or None
    command : sequence of str
        How it was started, for run.json.
    progress : callable or None
    """

    out: str | os.PathLike[str] | None = None
    check: str | os.PathLike[str] | None = None
    overwrite: bool = False
    threads: int | None = None
    command: Sequence[str] = ()
    progress: Progress | None = None


@dataclass(frozen=True)
class ChangedRun:
    """What a change left.

    Parameters
    ----------
    folder : Path
        The run directory.
    classifier : ImageClassifier
    change : Change
    warnings : list of str
        What to know of it, in plain sentences.
    evaluation : Evaluation or None
        On the photos to check; None where none were given.
    reselection : Reselection or None
        Whether they chose levels and strength again.
    seconds : dict of str to float
        Time of each step.
    dropped : int
        Rows of features that were taken out of the cache.
    """

    folder: Path
    classifier: ImageClassifier
    change: Change
    warnings: list[str]
    evaluation: Evaluation | None
    reselection: Reselection | None
    seconds: dict[str, float]
    dropped: int = 0


def update(
    model: str | os.PathLike[str],
    photos: Photos,
    how: Updating | None = None,
    *,
    strict: bool = False,
) -> ChangedRun:
    """Add photos, by class as `train` takes them, also of new classes; ReheadError where that cannot be."""
    how = how or Updating()
    with locked(_place(model, how)):
        run = _new_run(model, how)
        classifier = _opened(model, how)
        classifier.strict = strict
        run.timer.mark("model")
        _learn(classifier, photos)
        run.timer.mark("photos")
        return _written(run, classifier, "added", how)


def forget(
    model: str | os.PathLike[str],
    photos: Sequence[Path],
    how: Updating | None = None,
    *,
    class_name: str | None = None,
    drop_cache: bool = False,
) -> ChangedRun:
    """Forget photos that were learnt, or a class; with `drop_cache` their features in the cache too."""
    how = how or Updating()
    with locked(_place(model, how)):
        run = _new_run(model, how)
        classifier = _opened(model, how)
        run.timer.mark("model")
        before = set(classifier.fitted_.trained_on.digests)
        classifier.forget(photos or None, class_name=class_name)
        run.timer.mark("photos")
        gone = before - set(classifier.fitted_.trained_on.digests)
        return _written(run, classifier, "forgotten", how, gone if drop_cache else ())


def merge(
    one: str | os.PathLike[str], other: str | os.PathLike[str], out: str | os.PathLike[str], how: Updating
) -> ChangedRun:
    """Write what two models learnt as one, without their photos."""
    with locked(out):
        run = NewRun(out, overwrite=how.overwrite, command=how.command)
        classifier, second = _opened(one, how), _opened(other, how)
        run.timer.mark("models")
        classifier.merge(second)
        run.timer.mark("sums")
        return _written(run, classifier, "merged", how)


def _learn(classifier: ImageClassifier, photos: Photos) -> None:
    """Add photos but for those that `train` would test on."""
    if not isinstance(photos, str | os.PathLike):
        classifier.partial_fit(photos)
        return
    dataset = read_dataset(photos)
    tested = dataset.splits == ("test" if "test" in dataset.splits.tolist() else "val")
    if not tested.any():
        classifier.partial_fit(photos)
        return
    if tested.all():
        raise DatasetError(
            f"{dataset.root}: all of its photos are there to test on; give those to learn, and these with "
            "--check"
        )
    learnt = dataset.take(~tested)
    classifier.partial_fit(learnt.paths, learnt.labels)
    note = (
        f"{count(int(tested.sum()), 'photo')} of the {dataset.splits[tested][0]} split were not learnt, as "
        "`train` tests on them; `--check` measures on them."
    )
    change = classifier.change_
    classifier.change_ = replace(change, notes=(*change.notes, note))


def _place(model: str | os.PathLike[str], how: Updating) -> Path:
    path = Path(model)
    return Path(how.out) if how.out is not None else (path if path.is_dir() else path.parent)


def _new_run(model: str | os.PathLike[str], how: Updating) -> NewRun:
    place = _place(model, how)
    if how.out is None and not (place / "run.json").is_file():
        raise OutputError(f"{place}: not a run directory, so that it is not replaced; give --out")
    return NewRun(place, overwrite=how.overwrite or how.out is None, command=how.command)


def _opened(model: str | os.PathLike[str], how: Updating) -> ImageClassifier:
    classifier = ImageClassifier.load(model, threads=how.threads)
    classifier.progress = how.progress
    return classifier


def _written(
    run: NewRun, classifier: ImageClassifier, what: str, how: Updating, dropped: Any = ()
) -> ChangedRun:
    evaluation = reselection = None
    if how.check is not None:
        dataset = read_dataset(how.check)
        evaluation = classifier.measure(dataset.paths, dataset.labels)
        reselection = classifier.reselection_
        run.timer.mark("check")
    change, fitted = classifier.change_, classifier.fitted_
    metrics = evaluation.to_dict() if evaluation else None
    warnings = [*change.notes, *([fitted.unmeasured] if fitted.changes else [])]
    about = {
        "change": {what: change.photos, "known": change.known, "classes": list(change.classes)},
        "classes": fitted.trained_on.class_counts,
        "seed": fitted.trained_on.seed,
        "backbone": fitted.weights_record,
        **({"head": reselection.to_dict()} if reselection else {}),
        # names of what was to be forgotten are not kept
        "unreadable": failed_photos(change.unreadable if what == "added" else ()),
        "warnings": warnings,
    }
    with run.writing(run.record(about)) as beside:
        classifier.save(beside / "model.onnx", extra={"metrics": metrics_summary(metrics)})
        write_json(beside / "metrics.json", {"test": metrics, "warnings": warnings})
        run.timer.mark("model file")
    rows = drop_rows(dropped) if dropped else 0
    return ChangedRun(
        run.folder, classifier, change, warnings, evaluation, reselection, run.timer.seconds, rows
    )
