"""A training run of keypoints, from annotated photos to a run directory.

model.onnx       the model file
metrics.json     evaluation, each metric with its interval over people
splits.csv       fold and group of each photo
predictions.csv  held-out points of each photo, in the form that training takes
report.html      the same as one page
logs/            of a network's training: curves.csv and TensorBoard's events
run.json         command, versions, digests, times
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import atomic
from ..core.csv_cells import CsvWriter
from ..core.leftovers import temporary_folder
from ..core.locking import locked
from ..core.options import options_record
from ..core.run_dir import NewRun, failed_photos, write_json
from ..data import split_fingerprint
from ..errors import DataError
from ..evaluation.notebook import Figure
from ..keypoints import (
    Annotations,
    FaceFinder,
    KeypointEvaluation,
    KeypointRegressor,
    evaluate_keypoints,
    read_annotations,
)
from ..keypoints.face_crops import FaceFrame, crop_to_faces
from ..keypoints.formats import CENTRE, to_csv
from ..keypoints.report import curves_figure, evaluation_html, write_keypoint_report

__all__ = ["KeypointRun", "train_keypoints"]


@dataclass(frozen=True, repr=False)
class KeypointRun:
    """A run, of training or of testing a model.

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
        The training of a network, as `FineTunedKeypoints.training_`; empty where there was none.
    """

    folder: Path | None
    evaluation: KeypointEvaluation
    warnings: list[str]
    notes: list[str]
    unreadable: list[tuple[str, str]]
    seconds: dict[str, float]
    training: dict[str, Any] = field(default_factory=dict)

    def curves(self) -> Figure:
        """The training curves, which a notebook shows.

        Raises
        ------
        DataError
            No network was trained: points in closed form have no epochs.
        """
        if not self.training:
            raise DataError(
                "no network was trained, so there are no curves; with config=KeypointTrainConfig(finetune="
                "KeypointFineTuneConfig()) one is"
            )
        return curves_figure(self.training)

    def __repr__(self) -> str:
        return f"<KeypointRun: {self.evaluation.sentence}>"

    def _repr_html_(self) -> str:
        title = str(self.folder) if self.folder else ""
        return evaluation_html(self.evaluation, title=title, warnings=self.warnings, notes=self.notes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "test": self.evaluation.to_dict(),
            "warnings": self.warnings,
            "notes": self.notes,
            "unreadable": failed_photos(self.unreadable),
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

    Every photo is trained on. What is evaluated are held-out predictions, by folds that keep the photos of a
    person together.

    Parameters
    ----------
    source, images, group, strict
        As `read_annotations`.
    out : path
        The run directory to write.
    regressor : KeypointRegressor, optional
        The estimator to fit.
    detector : FaceFinder, optional
        Crops photos to their faces first; photos without one are left out and listed.
    overwrite : bool
        Whether to replace an earlier run at `out`.
    command : sequence of str
        How the run was started, for run.json.

    Raises
    ------
    DataError, WeightsError, OutputError
    """
    model = regressor or KeypointRegressor()
    with locked(out):
        run = NewRun(out, overwrite=overwrite, command=command)
        rows = read_annotations(source, images, group=group, strict=strict)
        run.timer.mark("annotations")
        return _train(run, rows, model, detector)


def _train(
    run: NewRun, rows: Annotations, model: KeypointRegressor, detector: FaceFinder | None
) -> KeypointRun:
    with _cropped(rows, detector, model) as (rows, frame):
        if frame:
            run.timer.mark("faces")
        model.fit_annotations(rows)
        run.timer.mark("fit")
        return _write(run, model, rows, frame)


@contextlib.contextmanager
def _cropped(
    rows: Annotations, detector: FaceFinder | None, model: KeypointRegressor
) -> Iterator[tuple[Annotations, FaceFrame | None]]:
    """The photos, with a detector cropped to their faces, as long as the context is open."""
    if detector is None:
        yield rows, None
        return
    side = model.network().preprocess.size
    with temporary_folder() as temporary:
        yield crop_to_faces(rows, detector, temporary, side, model.progress)


def _write(run: NewRun, model: KeypointRegressor, rows: Annotations, frame: FaceFrame | None) -> KeypointRun:
    """Write the run directory of a model that was just fitted on `rows`."""
    used, fold = model.data_.rows, model.data_.fold
    known = np.flatnonzero(~np.isnan(model.held_out_[:, 0, 0]))
    tested, predicted = used.take(known), model.held_out_[known] + CENTRE
    covariance = model.held_out_covariance_[known]
    evaluation = evaluate_keypoints(
        predicted,
        tested.points,
        tested.sizes,
        tested.groups,
        covariance=covariance,
        held_out=True,
        seed=model.random_state,
    )
    run.timer.mark("evaluation")
    split = split_fingerprint(used.ids, used.groups.tolist(), fold.tolist())
    record = run.record(_about(model, rows, split))
    result = KeypointRun(
        run.folder,
        evaluation,
        model.warnings_,
        list(rows.notes),
        list(rows.unreadable),
        run.timer.seconds,
        model.training_,
    )
    with run.writing(record) as folder:
        _write_splits(folder / "splits.csv", used, fold)
        corners = 0 if tested.corners is None else tested.corners[:, None]
        atomic.write_text(folder / "predictions.csv", to_csv(tested.ids, predicted + corners))
        write_json(folder / "metrics.json", {**result.to_dict(), "path": _path(model)})
        summary = {score.name: score.interval.to_dict() for score in evaluation.scores}
        extra = {"split": split, "metrics": summary, **({"faces": frame.to_dict()} if frame else {})}
        model.write_logs(folder)
        model.save(folder / "model.onnx", extra=extra)
        run.timer.mark("model file")
        write_keypoint_report(
            folder / "report.html",
            title=rows.source.resolve().stem,
            evaluation=evaluation,
            rows=tested,
            predicted=predicted,
            covariance=covariance,
            run=record,
            facts=_facts(model, rows),
            steps=model.cascade_.path,
            warnings=model.warnings_,
            training=model.training_,
        )
        run.timer.mark("report")
    return result


def _facts(model: KeypointRegressor, rows: Annotations) -> dict[str, int]:
    return {
        "Photos": model.n_photos_,
        "People or groups": model.n_groups_,
        "Points": model.n_points_,
        "Folds": model.n_folds_,
        "Stages": len(model.cascade_.stages),
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


def _about(model: KeypointRegressor, rows: Annotations, split: str) -> dict[str, Any]:
    return {
        "photos": {"annotations": str(rows.source), "trained on": model.n_photos_, "people": model.n_groups_},
        "split": split,
        "seed": model.random_state,
        "folds": model.n_folds_,
        "backbone": model.weights_record_,
        "options": options_record(model),  # those of a network's training are in metrics.json
        "unreadable": failed_photos(rows.unreadable),
        "warnings": model.warnings_,
    }


def _write_splits(path: Path, rows: Annotations, fold: NDArray[np.intp]) -> None:
    with atomic.replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.writerow(["path", "fold", "group"])
        writer.writerows(zip(rows.ids, fold.tolist(), rows.groups.tolist(), strict=True))
