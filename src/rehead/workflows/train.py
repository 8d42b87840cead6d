"""A training run, from a folder of photos to a run directory.

    model.onnx      the model file
    metrics.json    how good it is, each number with its interval
    splits.csv      which photo stood on which side, and in which group
    report.html     the same for people, one file
    run.json        command, versions, digests, times

The directory is written beside its place and moved into it, so it is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audit import Audit, quick_checks, quick_warnings
from ..backbones.backbone import Backbone
from ..backbones.features import photo_groups
from ..classification.estimator import ImageClassifier
from ..core import atomic
from ..core.run_dir import StepTimer, check_place, versions, write_json
from ..data import Dataset, read_dataset
from ..data.split import Split, check_classes, make_split, write_splits
from ..evaluation import Evaluation, Mistake, confident_mistakes, evaluate, uniform_wrong
from .run_report import NEAR_TEST, run_report, with_maps, with_neighbours

__all__ = ["Run", "options_record", "train"]


@dataclass(frozen=True)
class Run:
    """What a training run left.

    Parameters
    ----------
    folder : Path
        The run directory.
    classifier : ImageClassifier
        Fitted on the training photos.
    evaluation : Evaluation or None
        On the test photos; None where there are too few photos to hold any out.
    warnings : list of str
        What to know before relying on it, in plain sentences.
    unreadable : list of (str, str)
        Id and reason of each photo that was left out.
    seconds : dict of str to float
        Time of each step.
    audit : Audit
        In short: contradictions, labels in doubt and bursts.
    """

    folder: Path
    classifier: ImageClassifier
    evaluation: Evaluation | None
    warnings: list[str]
    unreadable: list[tuple[str, str]]
    seconds: dict[str, float]
    audit: Audit


def train(
    photos: str | os.PathLike[str] | Split,
    out: str | os.PathLike[str],
    *,
    classifier: ImageClassifier | None = None,
    test_share: float = 0.2,
    keep_bursts: bool = True,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Run:
    """Split, fit, evaluate and write the run directory.

    Parameters
    ----------
    photos : path or Split
        A folder of class folders, one with train, val and test folders, or a CSV; or photos that were
        divided before.
    out : path
        The run directory to write.
    classifier : ImageClassifier, optional
        What to fit, with its options.
    test_share : float
        Share of the photos to hold out where none are given for testing and they are not divided yet.
    keep_bursts : bool
        Whether photos of one burst stay on one side, as near-duplicates do, where they are not divided yet.
    overwrite : bool
        Whether to replace an earlier run at `out`.
    command : sequence of str
        How the run was started, for run.json.

    Returns
    -------
    Run

    Raises
    ------
    DataError, WeightsError, OutputError
    """
    folder = Path(out)
    check_place(folder, overwrite)
    clock = StepTimer()
    dataset = photos.dataset if isinstance(photos, Split) else read_dataset(photos)
    check_classes(dataset)
    model = classifier or ImageClassifier()
    with _cache_for(model):
        network = model.network()
        clock.mark("weights")
        features = model.extract(dataset.paths, network, mirror=model.mirrors(len(dataset)))
        unreadable = [(dataset.ids[row], error.reason) for row, error in features.errors]
        if model.strict and features.errors:
            raise features.errors[0][1]
        clock.mark("features")
        if isinstance(photos, Split):
            split = photos
        else:
            split = make_split(
                dataset,
                *photo_groups(dataset, features, network, threads=model.threads),
                features.readable,
                test_share=test_share,
                seed=model.random_state,
                keep_bursts=keep_bursts,
            )
        assignment, group = split.assignment, split.group
        tested, rows = features.plain[assignment == "test"], assignment == "train"
        del features  # a row is 12 kB, and fitting fetches those it needs from the cache
        model.fit_split(dataset.take(rows), group[rows])
        model.unreadable_ = unreadable
        clock.mark("head")
        found = quick_checks(
            dataset, split.copies, split.bursts, trained=rows, held_out=model.selection_.held_out
        )
        test = _test(model, dataset, tested, network, assignment, group)
        mistakes = _mistakes(model, split, test, network, tested) if test else []
    evaluation = test.evaluation if test else None
    clock.mark("evaluation")
    notes = [*split.notes, *_about_validation(model, split), *model.warnings_]
    seen = quick_warnings(found)
    warnings = notes + seen + (evaluation.warnings if evaluation else [])
    record = {
        **_record(model, split, command, unreadable, warnings),
        "audit": {
            "counts": found.counts,
            "summary": found.summary(),
            "command": _to_audit(dataset.root if isinstance(photos, Split) else photos),
        },
    }
    with atomic.replacing_folder(folder) as beside:
        write_splits(beside / "splits.csv", dataset, assignment, group)
        metrics = evaluation.to_dict() if evaluation else None
        written = {"test": metrics, "head": _head(model), **_training(model), "warnings": warnings}
        write_json(beside / "metrics.json", written)
        model.save(beside / "model.onnx", extra={"split": split.fingerprint, "metrics": _summary(metrics)})
        model.write_logs(beside)
        clock.mark("model file")
        if test:
            _report(beside, model, split, test, mistakes, record, notes)
        clock.mark("report")
        write_json(beside / "run.json", {**record, "seconds": clock.seconds})
    return Run(folder, model, evaluation, warnings, unreadable, clock.seconds, found)


def _to_audit(photos: str | os.PathLike[str]) -> str:
    return shlex.join(["rehead", "audit", os.fspath(photos), "--out", "audit"])


def _about_validation(model: ImageClassifier, split: Split) -> list[str]:
    trained = split.dataset.splits[split.assignment == "train"]
    if "val" not in trained or model.takes_validation:
        return []
    return ["The head is chosen by cross-validation, so the validation photos are trained on too."]


@dataclass(frozen=True)
class _Test:
    """The test photos, what the model says of them, and how good that is."""

    rows: NDArray[np.intp]
    truth: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    evaluation: Evaluation


def _test(
    model: ImageClassifier,
    dataset: Dataset,
    features: NDArray[np.float32],
    features_of: Backbone,
    assignment: NDArray[np.str_],
    group: NDArray[np.intp],
) -> _Test | None:
    rows = np.flatnonzero(assignment == "test")
    if not len(rows):
        return None
    if model.backbone_.context == features_of.context:
        probabilities, outliers = model.decision_of(features)
    else:
        probabilities, outliers = model.decision([dataset.paths[n] for n in rows])
    truth = np.searchsorted(model.classes_, dataset.labels[rows])
    accepted = model.operating_point_.accept(probabilities, outliers)
    nothing = np.isnan(features[:, -1])  # of photos that were divided by what another network sees in them
    probabilities[nothing] = uniform_wrong(truth[nothing], len(model.classes_))
    accepted &= ~nothing
    classes = model.classes_.tolist()
    evaluation = evaluate(
        truth, probabilities, classes, groups=group[rows], accepted=accepted, seed=model.random_state
    )
    return _Test(rows, truth, probabilities, accepted, evaluation)


# what is written


def _head(model: ImageClassifier) -> dict[str, Any]:
    levels = model.n_levels_
    path = [
        {
            "candidate": _candidate(point.n_levels, point.mirrored, point.loss, levels),
            "l2": point.l2,
            "log_loss": round(point.log_loss, 6),
            "chosen": point == model.selection_.chosen,
        }
        for point in model.selection_.path
    ]
    return {"path": path, "temperature": round(model.temperature_, 6), "folds": model.n_folds_}


def _training(model: ImageClassifier) -> dict[str, Any]:
    return {"training": model.training_} if model.training_ else {}


def _candidate(n_levels: int, mirrored: bool, loss: str, levels: int) -> str:
    where = (
        "all depths"
        if n_levels == levels and levels > 1
        else "last layer"
        if n_levels == 1
        else f"last {n_levels} layers"
    )
    return f"{where}, {loss}" + (", with mirrored photos" if mirrored else "")


def _summary(metrics: dict[str, Any] | None) -> dict[str, Any] | None:
    if metrics is None:
        return None
    names = (
        "photos",
        "sentence",
        "accuracy",
        "balanced_accuracy",
        "log_loss",
        "expected_calibration_error",
        "coverage",
    )
    return {name: metrics[name] for name in names}


def _record(
    model: ImageClassifier,
    split: Split,
    command: Sequence[str],
    unreadable: list[tuple[str, str]],
    warnings: list[str],
) -> dict[str, Any]:
    dataset = split.dataset
    parts, counts = np.unique(split.assignment, return_counts=True)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "photos": {"folder": str(dataset.root), **dict(zip(parts.tolist(), counts.tolist(), strict=True))},
        "groups_kept_together": int((np.unique(split.group, return_counts=True)[1] > 1).sum()),
        "keeps_bursts": split.keeps_bursts,
        "test_photos": "given" if (dataset.splits != "").any() else "drawn",
        "split": split.fingerprint,
        "seed": model.random_state,
        "folds": model.n_folds_,
        "backbone": model.weights_record_,
        "options": options_record(model),
        "parameters": model.parameters_,
        **_training(model),
        "unreadable": [{"photo": name, "reason": reason} for name, reason in unreadable],
        "skipped": list(dataset.skipped),
        "left_out": list(dataset.left_out),
        "warnings": warnings,
        "versions": versions(),
    }


def options_record(model: ImageClassifier) -> dict[str, Any]:
    """The classifier's options as run.json has them: JSON but for tuples."""
    return {name: _plain(value) for name, value in model.get_params().items() if name != "progress"}


def _plain(value: object) -> object:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    known = value is None or isinstance(value, str | int | float | list | tuple | dict)
    return value if known else type(value).__name__


def _mistakes(
    model: ImageClassifier, split: Split, test: _Test, network: Backbone, tested: NDArray[np.float32]
) -> list[Mistake]:
    """The surest mistakes, with the nearest training photos; `tested` are features by `network`."""
    dataset = split.dataset
    photos = [(dataset.paths[n], dataset.ids[n]) for n in test.rows]
    classes = model.classes_.tolist()
    mistakes = confident_mistakes(test.truth, test.probabilities, classes, photos, accepted=test.accepted)
    if not mistakes:
        return []
    trained = dataset.take(split.assignment == "train")
    features = model.extract(
        trained.paths, network
    ).plain  # from the cache: not kept while the head was fitted
    return with_neighbours(mistakes, tested, features, network.blocks, trained.paths, trained.labels.tolist())


def _report(
    folder: Path,
    model: ImageClassifier,
    split: Split,
    test: _Test,
    mistakes: Sequence[Mistake],
    record: dict[str, Any],
    notes: list[str],
) -> None:
    dataset = split.dataset
    run_report(
        folder / "report.html",
        title=dataset.root.resolve().name or "photos",
        record=record,
        evaluation=test.evaluation,
        mistakes=with_maps(mistakes, folder / "model.onnx", threads=model.threads),
        head=_head(model),
        operating_point=model.operating_point_.to_dict(),
        facts={
            "Photos": len(dataset),
            "Classes": len(model.classes_),
            "Trained on": model.n_photos_,
            "Tested on": len(test.rows),
            "Groups kept together": record["groups_kept_together"],
            "Unreadable": len(record["unreadable"]),
        },
        notes=notes,
        left_out={NEAR_TEST: [dataset.ids[n] for n in np.flatnonzero(split.assignment == "left out")]},
    )


@contextlib.contextmanager
def _cache_for(model: ImageClassifier) -> Iterator[None]:
    """A cache for the length of the run where the user wants none kept: each photo is computed once."""
    if model.cache is not False:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="rehead-") as folder:
        model.cache = folder
        try:
            yield
        finally:
            model.cache = False
