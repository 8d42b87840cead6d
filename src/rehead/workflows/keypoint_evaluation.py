"""A model file of keypoints, tested on annotated photos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..core import atomic
from ..core.model_file import trained_on
from ..core.progress import Progress, tracked
from ..core.run_dir import StepTimer, run_record, write_json
from ..core.text import first_of
from ..errors import DatasetError, ImageError
from ..keypoints import (
    Annotations,
    FaceFinder,
    KeypointPrediction,
    KeypointPredictor,
    evaluate_keypoints,
    predict_on_faces,
    read_annotations,
)
from ..keypoints.face_crops import NO_FACE, OTHER_FACE, match_face
from ..keypoints.formats import CENTRE, to_csv
from ..keypoints.report import write_keypoint_report
from .keypoints import KeypointRun

__all__ = ["evaluate_keypoint_model"]


def evaluate_keypoint_model(
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

    With a `detector`, the points are those of the detected face that is annotated.

    Raises
    ------
    DataError, OutputError
    """
    timer = StepTimer()
    rows = read_annotations(source, images, group=group, strict=strict).ordered_as(model.names)
    if rows.points.shape[1] != model.n_points:
        raise DatasetError(
            f"{rows.source}: {rows.points.shape[1]} points a photo, the model places {model.n_points}; "
            "expected the same points in the same order"
        )
    answers, failed = _predict(model, rows, strict, detector, progress)
    tested = rows.take([n for n, answer in enumerate(answers) if isinstance(answer, KeypointPrediction)])
    predictions = [answer for answer in answers if isinstance(answer, KeypointPrediction)]
    predicted = np.stack([prediction.points for prediction in predictions]) + CENTRE
    covariance = np.stack([prediction.covariance for prediction in predictions])
    evaluation = evaluate_keypoints(
        predicted, tested.points, tested.sizes, tested.groups, covariance=covariance
    )
    timer.mark("photos")
    notes = [
        *_trained_on(model, tested),
        *_other_names(model, rows),
        *_outliers(predictions),
        *_whole_photos(model, detector),
    ]
    folder = None if out is None else Path(out)
    result = KeypointRun(
        folder, evaluation, [], [*rows.notes, *notes], [*rows.unreadable, *failed], timer.seconds
    )
    if folder is not None:
        about = {k: v for k, v in model.manifest.items() if k not in ("seen", "metrics", "head")}
        write_keypoint_report(
            folder / "report.html",
            title=rows.source.resolve().stem,
            evaluation=evaluation,
            rows=tested,
            predicted=predicted,
            covariance=covariance,
            run=run_record(command, {"model": about}),
            facts={"Photos": len(tested), "People or groups": evaluation.people, "Points": model.n_points},
            notes=notes,
        )
        atomic.write_text(folder / "predictions.csv", to_csv(tested.ids, predicted))
        write_json(folder / "metrics.json", result.to_dict())
    return result


def _predict(
    model: KeypointPredictor,
    rows: Annotations,
    strict: bool,
    detector: FaceFinder | None,
    progress: Progress | None,
) -> tuple[list[KeypointPrediction | ImageError], list[tuple[str, str]]]:
    """A prediction or an error for each photo; and name and reason of those that failed."""
    answers: list[KeypointPrediction | ImageError] = []
    failed = []
    each = model.predict_each(rows.paths) if detector is None else _annotated_faces(model, rows, detector)
    pairs = zip(rows.ids, each, strict=True)
    for name, answer in tracked(pairs, len(rows), progress, "Looking at photos"):
        if isinstance(answer, ImageError):
            if strict:
                raise answer
            failed.append((name, answer.reason))
        answers.append(answer)
    if len(failed) == len(rows):
        raise DatasetError(
            f"{rows.source}: none of the {len(rows)} photos can be used; {': '.join(failed[0])}"
        )
    return answers, failed


def _annotated_faces(
    model: KeypointPredictor, rows: Annotations, detector: FaceFinder
) -> Iterator[KeypointPrediction | ImageError]:
    """Keypoints of the face of each photo that is annotated."""
    for n, found in enumerate(predict_on_faces(model, detector, rows.paths)):
        if isinstance(found, ImageError):
            yield found
            continue
        faces = [np.array(prediction.face) for prediction in found]
        chosen = match_face(rows.points[n], faces)
        if chosen is not None:
            yield found[chosen]
        else:
            yield ImageError(rows.paths[n], OTHER_FACE if faces else NO_FACE)


def _whole_photos(model: KeypointPredictor, detector: FaceFinder | None) -> list[str]:
    """A note where the model was trained on face crops and tested on whole photos."""
    if detector is not None or "faces" not in model.manifest:
        return []
    return ["The model was trained on face crops, and tested on whole photos here; give --detect."]


def _trained_on(model: KeypointPredictor, rows: Annotations) -> list[str]:
    """A note where photos were trained on: their results mean nothing."""
    count = int(trained_on(model.manifest, rows.digests()).sum())
    if not count:
        return []
    return [
        f"{count} of {len(rows)} photos tested on had been trained on, so the figures flatter the model; "
        "test on photos that it has not seen."
    ]


def _other_names(model: KeypointPredictor, rows: Annotations) -> list[str]:
    """A note where the points have names, but not the model's."""
    if not model.names or not rows.names or rows.names == model.names:
        return []
    return [
        f"The points have other names than the model's, which are {first_of(model.names)}; they were "
        "compared in the order of the file."
    ]


def _outliers(predictions: Sequence[KeypointPrediction]) -> list[str]:
    count = sum(bool(prediction.reason) for prediction in predictions)
    return [f"{count} of {len(predictions)} photos look unlike the training photos."] if count else []
