"""The report of a run, written again: after photos were relabelled, or with more photos.

The model stays what it is. It answers the test photos anew, and its answers are held against the labels
as they are now. No photo that it was trained on is ever tested on: the model file knows them by their
content, so renaming them or moving them to another class changes nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone, load_backbone
from ..backbones.encoder import PhotoEncoder
from ..backbones.features import Features, photo_groups
from ..classification.evaluate import AnsweredPhotos
from ..classification.predictor import Prediction, Predictor, load_model
from ..core.leftovers import sweep_beside
from ..core.locking import locked
from ..core.model_file import trained_on
from ..core.progress import Progress
from ..core.run_dir import failed_photos, run_record, write_json
from ..core.text import count
from ..data import Dataset, check_labels, merge_groups, read_dataset, split_fingerprint
from ..data.split import read_splits
from ..errors import DatasetError
from ..evaluation import Evaluation, Mistake
from ..evaluation.notebook import evaluation_html
from .run_records import read_run_records
from .run_report import NEAR_TEST, run_report, with_maps, with_neighbours

__all__ = ["ReportResult", "report"]

_NEAR_TRAINED = (
    "Not tested on, because they are near-duplicates of training photos, or of one burst or group with one"
)

Extract = Callable[[Sequence[Path]], Features]


@dataclass(frozen=True)
class ReportResult:
    """What the report now says.

    Parameters
    ----------
    path : Path
        The report.
    evaluation : Evaluation
    before : float or None
        The accuracy that the run's report stated before.
    notes : list of str
        What is different from the run, in plain sentences.
    """

    path: Path
    evaluation: Evaluation
    before: float | None
    notes: list[str]

    def _repr_html_(self) -> str:
        notes = [*self.notes, *self.evaluation.warnings]
        return evaluation_html(self.evaluation, title=str(self.path), warnings=notes)


def report(
    run: str | os.PathLike[str],
    photos: str | os.PathLike[str] | Dataset | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    cache: bool | str | os.PathLike[str] = True,
    threads: int | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> ReportResult:
    """Write a run's report again.

    Parameters
    ----------
    run : path
        A run directory.
    photos : path or Dataset, optional
        A folder or CSV in any form that `train` takes: its photos that were not trained on are tested on,
        with the labels they have there. By default the run's test photos, with the labels that its
        splits.csv has now.
    out : path, optional
        Folder for report.html, predictions.csv and metrics.json; the run directory by default.
    cache, threads, progress
        As in `ImageClassifier`.
    command : sequence of str
        How this was started, for the report.

    Returns
    -------
    ReportResult

    Raises
    ------
    DataError
        Not a run directory; a label that the model does not know; no photo to test on.
    ModelFileError, OutputError
    """
    place = Path(out) if out is not None else Path(run)
    with locked(place):
        return _report(Path(run), photos, place, cache, threads, progress, command)


def _report(
    folder: Path,
    photos: str | os.PathLike[str] | Dataset | None,
    place: Path,
    cache: bool | str | os.PathLike[str],
    threads: int | None,
    progress: Progress | None,
    command: Sequence[str],
) -> ReportResult:
    sweep_beside(folder)  # a run that a kill left aside is there again
    record, metrics = read_run_records(folder)
    model = load_model(folder / "model.onnx", threads=threads)
    network = load_backbone(folder / "model.onnx")
    encoder = PhotoEncoder(network, cache if isinstance(cache, bool) else Path(cache))
    extract_features = partial(encoder.extract, threads=threads, progress=progress)
    if photos is None:
        found = _run_split(folder, record, extract_features, model.manifest)
    else:
        found = _unseen_photos(read_dataset(photos), network, extract_features, model.manifest)
    found.notes.extend(_relabelled(found, model.manifest))
    if not found.tested.any():
        raise DatasetError(
            f"{found.dataset.root}: none of its readable photos is one that the model was not trained on; "
            "give photos to test on with --photos"
        )
    answered, evaluation, mistakes = _test(model, network, found, record["seed"])
    now = _record_now(record, found, command, drawn=photos is None)
    run_report(
        place / "report.html",
        title=found.dataset.root.resolve().name or "photos",
        record=now,
        evaluation=evaluation,
        mistakes=with_maps(mistakes, folder / "model.onnx", threads=threads),
        head=metrics.get("head", {}),
        operating_point=model.operating_point.to_dict(),
        facts={
            "Classes": len(model.labels),
            "Trained on": sum(model.manifest.get("photos", {}).values()),
            "Tested on": int(found.tested.sum()),
            "Unreadable": len(found.features.errors),
        },
        notes=found.notes,
        left_out={found.why: [found.dataset.ids[n] for n in np.flatnonzero(found.assignment == "left out")]},
    )
    written = {**metrics, "test": evaluation.to_dict(), "warnings": found.notes + evaluation.warnings}
    answered.write(place / "predictions.csv")
    write_json(place / "metrics.json", written)
    before = ((metrics.get("test") or {}).get("accuracy") or {}).get("value")
    return ReportResult(place / "report.html", evaluation, before, found.notes)


# which photos


@dataclass(frozen=True)
class EvaluatedSplit:
    """Photos as they are now, n of them.

    `part` (n,) is "train", "test", "left out", "unreadable" or "not used"; `group` (n,) numbers those that
    belong together; `why` says for what reason photos are left out; `notes` what is different from the run.
    """

    dataset: Dataset
    features: Features
    assignment: NDArray[np.str_]
    group: NDArray[np.intp]
    why: str
    notes: list[str]

    @property
    def tested(self) -> NDArray[np.bool_]:
        return np.asarray(self.assignment == "test")


def _run_split(
    folder: Path, record: Mapping[str, Any], extract_features: Extract, manifest: Mapping[str, Any]
) -> EvaluatedSplit:
    """The run's own photos, on the sides and with the labels that splits.csv says now."""
    dataset, assignment = read_splits(folder / "splits.csv", Path(record["photos"]["folder"]))
    notes = []
    if split_fingerprint(dataset.ids, dataset.labels, assignment) != record["split"]:
        notes.append(
            "splits.csv was changed after the model was trained; the test goes by what it says now, the "
            "model still rests on what it said then."
        )
    features = extract_features(dataset.paths)
    readable = features.readable
    if not readable.any():
        raise DatasetError(
            f"{dataset.root}: none of the run's {len(dataset)} photos can be read "
            f"({features.errors[0][1].reason}); where have they gone? Say it with --photos"
        )
    assignment[~readable] = "unreadable"
    known = trained_on(manifest, features.digests)
    if (wrong := known & (assignment == "test")).any():
        were = count(int(wrong.sum()), "photo that was", "photos that were")
        notes.append(f"{were} trained on: not tested on, whatever splits.csv says.")
    assignment[known] = "train"
    return EvaluatedSplit(dataset, features, assignment, merge_groups(dataset.groups), NEAR_TEST, notes)


def _unseen_photos(
    dataset: Dataset, network: Backbone, extract_features: Extract, manifest: Mapping[str, Any]
) -> EvaluatedSplit:
    """All photos of a dataset that were not trained on, or of these its test photos where it has such."""
    notes = []
    features = extract_features(dataset.paths)
    group = merge_groups(*photo_groups(dataset, features, network), dataset.groups)
    known = trained_on(manifest, features.digests)
    assignment = np.full(len(dataset), "test", dtype="<U10")
    if "test" in dataset.splits:
        notes.append("Only the photos of the test split were used.")
        assignment[dataset.splits != "test"] = "not used"
    assignment[np.isin(group, group[known]) & (assignment == "test")] = "left out"
    assignment[~features.readable] = "unreadable"
    assignment[known] = "train"
    notes.append(
        f"Tested on the photos of {dataset.root} that the model was not trained on: {int(known.sum())} of "
        f"{len(dataset)} were."
    )
    return EvaluatedSplit(dataset, features, assignment, group, _NEAR_TRAINED, notes)


def _relabelled(found: EvaluatedSplit, manifest: Mapping[str, Any]) -> list[str]:
    """Say it where training photos have other classes than the model learned."""
    now, then = (
        Counter(found.dataset.labels[found.assignment == "train"].tolist()),
        manifest.get("photos", {}),
    )
    if now.total() != sum(then.values()) or now == Counter(then):
        return []
    changed = [
        f"{name!r} {then.get(name, 0)} then, {now[name]} now"
        for name in sorted({*now, *then})
        if now[name] != then.get(name, 0)
    ]
    return [
        "Photos that were trained on have other classes now "
        f"({'; '.join(changed[:5])}{'; ...' if len(changed) > 5 else ''}); train again to use that."
    ]


# what is tested, and said


def _test(
    model: Predictor, network: Backbone, found: EvaluatedSplit, seed: int
) -> tuple[AnsweredPhotos, Evaluation, list[Mistake]]:
    """The answers for the test photos, how good they are, and the surest mistakes with their neighbours."""
    rows = np.flatnonzero(found.tested)
    tested, trained = found.dataset.take(rows), found.dataset.take(found.assignment == "train")
    check_labels(model.labels, tested)
    answers: list[Prediction] = []
    for answer in model.predict_each(tested.paths):
        if not isinstance(answer, Prediction):
            raise answer  # it could be read a moment ago
        answers.append(answer)
    answered = AnsweredPhotos(tested, answers)
    plain = found.features.plain
    mistakes = with_neighbours(
        answered.mistakes(model),
        plain[rows],
        plain[found.assignment == "train"],
        network.blocks,
        trained.paths,
        trained.labels.tolist(),
    )
    return answered, answered.evaluate(model, groups=found.group[rows], seed=seed), mistakes


def _record_now(
    record: Mapping[str, Any], found: EvaluatedSplit, command: Sequence[str], *, drawn: bool
) -> dict[str, Any]:
    """What run.json says, with what is different now."""
    dataset = found.dataset
    names, counts = np.unique(found.assignment, return_counts=True)
    about = {
        "trained": {name: record[name] for name in ("date", "command", "versions")},
        "photos": {"folder": str(dataset.root), **dict(zip(names.tolist(), counts.tolist(), strict=True))},
        "classes": dataset.counts,
        "test_photos": record.get("test_photos") if drawn else "unseen",
        "split": split_fingerprint(dataset.ids, dataset.labels, found.assignment),
        "unreadable": failed_photos((dataset.ids[row], error.reason) for row, error in found.features.errors),
        "skipped": list(dataset.skipped) or (record.get("skipped", []) if drawn else []),
        "left_out": list(dataset.left_out) or (record.get("left_out", []) if drawn else []),
    }
    return {**record, **run_record(command, about)}
