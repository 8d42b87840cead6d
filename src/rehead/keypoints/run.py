"""Keypoints from files to a run directory, and testing a model file on photos whose points are known.

model.onnx       the model file
metrics.json     how good it is, each number with its interval over people
splits.csv       which photo stood in which fold, and in which group
predictions.csv  the held-out points of each photo, in the form that training takes
report.html      the same for people, one file
logs/            of a network's training: curves.csv and TensorBoard's events
run.json         command, versions, digests, times
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import atomic
from ..core.progress import Progress
from ..core.run_dir import StepTimer, check_place, versions, write_json
from ..data import cv_folds, split_fingerprint
from ..errors import DatasetError, ImageError
from ..images import read_bytes
from .annotations import Annotations, read_annotations
from .estimator import KeypointRegressor
from .evaluation import KeypointEvaluation, evaluate_keypoints
from .face_crops import (
    NO_FACE,
    OTHER_FACE,
    FaceFinder,
    FaceFrame,
    crop_to_faces,
    match_face,
    predict_on_faces,
)
from .formats import CENTRE, to_csv
from .predictor import KeypointPrediction, KeypointPredictor
from .report import write_keypoint_report

__all__ = ["KeypointRun", "assess_keypoints", "train_keypoints"]


@dataclass(frozen=True)
class KeypointRun:
    """What a run left.

    Parameters
    ----------
    folder : Path or None
        Where it was written.
    evaluation : KeypointEvaluation
    warnings, notes : list of str
    unreadable : list of (str, str)
        Name and reason of each photo that was left out.
    seconds : dict of str to float
        Time of each step.
    training : dict
        How a network was trained, as `FineTunedKeypoints.training_`; empty where none was.
    """

    folder: Path | None
    evaluation: KeypointEvaluation
    warnings: list[str]
    notes: list[str]
    unreadable: list[tuple[str, str]]
    seconds: dict[str, float]
    training: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "test": self.evaluation.to_dict(),
            "warnings": self.warnings,
            "notes": self.notes,
            "unreadable": [{"photo": name, "reason": reason} for name, reason in self.unreadable],
            **({"training": self.training} if self.training else {}),
        }


def train_keypoints(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    regressor: KeypointRegressor | None = None,
    group: str = "auto",
    strict: bool = False,
    detector: FaceFinder | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> KeypointRun:
    """Fit on annotated photos and write the run directory.

    Every photo is trained on. How good the model is, is told by predictions of folds: each photo by one that
    had not seen the person.

    Parameters
    ----------
    source, images, group, strict
        As `read_annotations`.
    out : path
        The run directory to write.
    regressor : KeypointRegressor, optional
        What to fit, with its options.
    detector : FaceFinder, optional
        Finds faces, which are cut out first; photos without one are left out and listed.
    overwrite : bool
        Whether to replace an earlier run at `out`.
    command : sequence of str
        How the run was started, for run.json.

    Raises
    ------
    DataError, WeightsError, OutputError
    """
    folder = Path(out)
    check_place(folder, overwrite)
    clock = StepTimer()
    rows = read_annotations(source, images, group=group, strict=strict)
    clock.mark("annotations")
    model = regressor or KeypointRegressor()
    with _faces_of(rows, detector, model) as (rows, frame):
        if frame:
            clock.mark("faces")
        model.fit_annotations(rows)
        clock.mark("looking and fitting")
        return _written(folder, model, rows, frame, clock, command)


@contextlib.contextmanager
def _faces_of(
    rows: Annotations, detector: FaceFinder | None, model: KeypointRegressor
) -> Iterator[tuple[Annotations, FaceFrame | None]]:
    """The photos as they are, or squares around the faces in them, as long as the context is open."""
    if detector is None:
        yield rows, None
        return
    side = model.network().preprocess.size
    with tempfile.TemporaryDirectory(prefix="rehead-") as temporary:
        yield crop_to_faces(rows, detector, Path(temporary), side, model.progress)


def _written(
    folder: Path,
    model: KeypointRegressor,
    rows: Annotations,
    frame: FaceFrame | None,
    clock: StepTimer,
    command: Sequence[str],
) -> KeypointRun:
    """The run directory of a model that was just fitted on `rows`."""
    used = model.fitted_rows_
    predicted = model.held_out_ + CENTRE
    shown = ~np.isnan(predicted[:, 0, 0])
    shown_rows = used.take(np.flatnonzero(shown))
    covariance = model.held_out_covariance_[shown]
    moved = 0 if shown_rows.corners is None else shown_rows.corners[:, None]
    in_photos = predicted[shown] + moved
    truth = shown_rows.points, shown_rows.sizes, shown_rows.groups
    evaluation = evaluate_keypoints(
        predicted[shown], *truth, covariance=covariance, held_out=True, seed=model.random_state
    )
    clock.mark("evaluation")
    fold = cv_folds(np.zeros(len(used), dtype=int), used.groups, count=model.cv, seed=model.random_state)
    split = split_fingerprint(used.ids, used.groups.tolist(), fold.tolist())
    run = KeypointRun(
        folder,
        evaluation,
        model.warnings_,
        list(rows.notes),
        list(rows.unreadable),
        clock.seconds,
        model.training_,
    )
    record = _record(model, rows, command, split)
    with atomic.replacing_folder(folder) as beside:
        _write_splits(beside / "splits.csv", used, fold)
        atomic.write_text(beside / "predictions.csv", to_csv(shown_rows.ids, in_photos))
        write_json(beside / "metrics.json", {**run.to_dict(), "path": _path(model)})
        summary = {score.name: score.interval.to_dict() for score in evaluation.scores}
        extra = {"split": split, "metrics": summary, **({"faces": frame.to_dict()} if frame else {})}
        model.write_logs(beside)
        model.save(beside / "model.onnx", extra=extra)
        clock.mark("model file")
        write_keypoint_report(
            beside / "report.html",
            title=rows.source.resolve().stem,
            evaluation=evaluation,
            rows=shown_rows,
            predicted=predicted[shown],
            covariance=covariance,
            run=record,
            facts=_facts(model, rows),
            steps=model.cascade_.path,
            warnings=model.warnings_,
            training=model.training_,
        )
        clock.mark("report")
        write_json(beside / "run.json", {**record, "seconds": clock.seconds})
    return run


def _facts(model: KeypointRegressor, rows: Annotations) -> dict[str, int]:
    return {
        "Photos": model.n_photos_,
        "People or groups": model.n_groups_,
        "Points": model.n_points_,
        "Folds": model.n_folds_,
        "Looks": len(model.cascade_.stages),
        "Unreadable": len(rows.unreadable),
    }


def _path(model: KeypointRegressor) -> list[dict[str, Any]]:
    return [
        {
            "stage": step.stage,
            "levels": [feature_map.name for feature_map in step.point.feature_maps],
            "n_views": step.point.n_views,
            "l2": step.point.l2,
            "mean_error": round(step.point.error, 6),
            "chosen": step.chosen,
        }
        for step in model.cascade_.path
    ]


def _record(
    model: KeypointRegressor, rows: Annotations, command: Sequence[str], split: str
) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "photos": {"annotations": str(rows.source), "trained on": model.n_photos_, "people": model.n_groups_},
        "split": split,
        "seed": model.random_state,
        "folds": model.n_folds_,
        "backbone": model.weights_record_,
        "options": {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in model.get_params(deep=False).items()
            if name not in ("progress", "options", "work")  # those of a training stand in metrics.json
        },
        "unreadable": [{"photo": name, "reason": reason} for name, reason in rows.unreadable],
        "warnings": model.warnings_,
        "versions": versions(),
    }


def _write_splits(path: Path, rows: Annotations, fold: NDArray[np.intp]) -> None:
    with atomic.replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "fold", "group"])
        writer.writerows(zip(rows.ids, fold.tolist(), rows.groups.tolist(), strict=True))


def assess_keypoints(
    model: KeypointPredictor,
    source: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    group: str = "auto",
    out: str | os.PathLike[str] | None = None,
    strict: bool = False,
    detector: FaceFinder | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> KeypointRun:
    """Test a model on annotated photos; `out` is a folder for metrics.json, predictions.csv and report.html.

    With a `detector`, faces are found first, and the points are placed on the face that is annotated.

    Raises
    ------
    DataError, OutputError
    """
    clock = StepTimer()
    rows = read_annotations(source, images, group=group, strict=strict)
    if rows.points.shape[1] != model.n_points:
        raise DatasetError(
            f"{rows.source}: {rows.points.shape[1]} points a photo, the model places {model.n_points}; "
            "expected the same points in the same order"
        )
    answers, failed = _answers(model, rows, strict, detector, progress)
    kept = rows.take([n for n, answer in enumerate(answers) if isinstance(answer, KeypointPrediction)])
    placed = [answer for answer in answers if isinstance(answer, KeypointPrediction)]
    predicted = np.stack([answer.points for answer in placed]) + CENTRE
    covariance = np.stack([answer.covariance for answer in placed])
    evaluation = evaluate_keypoints(predicted, kept.points, kept.sizes, kept.groups, covariance=covariance)
    clock.mark("photos")
    notes = [*_seen(model, kept), *_outliers(placed), *_whole_photos(model, detector)]
    unreadable = [*rows.unreadable, *failed]
    run = KeypointRun(
        Path(out) if out is not None else None,
        evaluation,
        [],
        [*rows.notes, *notes],
        unreadable,
        clock.seconds,
    )
    if out is not None:
        record = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": list(command),
            "model": {k: v for k, v in model.manifest.items() if k not in ("seen", "metrics", "head")},
            "versions": versions(),
        }
        write_keypoint_report(
            Path(out) / "report.html",
            title=rows.source.resolve().stem,
            evaluation=evaluation,
            rows=kept,
            predicted=predicted,
            covariance=covariance,
            run=record,
            facts={"Photos": len(kept), "People or groups": evaluation.people, "Points": model.n_points},
            notes=notes,
        )
        atomic.write_text(Path(out) / "predictions.csv", to_csv(kept.ids, predicted))
        write_json(Path(out) / "metrics.json", run.to_dict())
    return run


def _answers(
    model: KeypointPredictor,
    rows: Annotations,
    strict: bool,
    detector: FaceFinder | None,
    progress: Progress | None,
) -> tuple[list[KeypointPrediction | ImageError], list[tuple[str, str]]]:
    answers: list[KeypointPrediction | ImageError] = []
    failed = []
    each = model.predict_each(rows.paths) if detector is None else _on_faces(model, rows, detector)
    for name, answer in zip(rows.ids, each, strict=True):
        if isinstance(answer, ImageError):
            if strict:
                raise answer
            failed.append((name, answer.reason))
        answers.append(answer)
        if progress:
            progress(len(answers), len(rows))
    if len(failed) == len(rows):
        raise DatasetError(
            f"{rows.source}: none of the {len(rows)} photos can be used; {': '.join(failed[0])}"
        )
    return answers, failed


def _on_faces(
    model: KeypointPredictor, rows: Annotations, detector: FaceFinder
) -> Iterator[KeypointPrediction | ImageError]:
    """Points on the face of each photo that is annotated."""
    for n, found in enumerate(predict_on_faces(model, detector, rows.paths)):
        if isinstance(found, ImageError):
            yield found
            continue
        faces = [np.array(answer.face) for answer in found]
        chosen = match_face(rows.points[n], faces)
        if chosen is not None:
            yield found[chosen]
        else:
            yield ImageError(rows.paths[n], OTHER_FACE if faces else NO_FACE)


def _whole_photos(model: KeypointPredictor, detector: FaceFinder | None) -> list[str]:
    """Say it where the model knows faces that were cut out, and none were."""
    if detector is not None or "faces" not in model.manifest:
        return []
    return ["The model learnt in squares around found faces, and saw whole photos here; give --detect."]


def _seen(model: KeypointPredictor, rows: Annotations) -> list[str]:
    """Say it where photos were trained on: their results mean nothing."""
    import hashlib

    known = set(model.manifest.get("seen", "").split())
    count = sum(hashlib.sha256(read_bytes(path)).hexdigest()[:12] in known for path in rows.paths)
    if not count:
        return []
    return [
        f"{count} of {len(rows)} photos tested on had been trained on, so the figures flatter the model; "
        "test on photos that it has not seen."
    ]


def _outliers(placed: Sequence[KeypointPrediction]) -> list[str]:
    odd = sum(bool(answer.reason) for answer in placed)
    return [f"{odd} of {len(placed)} photos look unlike the training photos."] if odd else []
