"""A training run, from a folder of photos to a run directory.

    model.onnx      the model file
    metrics.json    how good it is, each number with its interval
    splits.csv      which photo is in which split, and in which group
    predictions.csv what it says of each test photo
    report.html     the same for people, one file
    run.json        command, versions, digests, times

The directory is written beside its place and moved into it, so it is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audit import quick_checks, quick_warnings
from ..backbones.backbone import Backbone
from ..backbones.encoder import Encoder, PhotoEncoder, for_photos
from ..backbones.features import photo_groups
from ..classification.estimator import ImageClassifier
from ..classification.training_data import mirrors
from ..core.leftovers import temporary_folder
from ..core.locking import locked
from ..core.options import arguments_of
from ..core.run_dir import NewRun
from ..data import Dataset, read_dataset
from ..data.options import SplitOptions, TableOptions
from ..data.split import Split, check_classes, make_split, write_splits
from ..evaluation import Mistake, confident_mistakes, uniform_wrong
from ..finetune.classifier import FineTunedClassifier
from .run import Run
from .run_files import Tested, write_model
from .run_report import NEAR_TEST, run_report, with_maps, with_neighbours
from .train_record import Classifier, head_record, run_facts, run_options

__all__ = ["train"]


def train(
    photos: str | os.PathLike[str] | Dataset | Split,
    out: str | os.PathLike[str],
    *,
    classifier: Classifier | None = None,
    split: SplitOptions | None = None,
    table: TableOptions | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Run:
    """Split, fit, evaluate and write the run directory.

    Parameters
    ----------
    photos : path, Dataset or Split
        A folder of class folders, one with train, val and test folders, or a CSV; or photos that were
        read or divided before.
    out : path
        The run directory to write.
    classifier : ImageClassifier or FineTunedClassifier, optional
        What to fit, with its options. It is cloned and stays as it is.
    split : SplitOptions, optional
        How test photos are held out, where they are not divided yet.
    table : TableOptions, optional
        How a CSV is read.
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
    with locked(out):
        asked = classifier or ImageClassifier()
        run = NewRun(out, overwrite=overwrite, command=command, progress=asked.progress)
        return _train(run, photos, asked, split, table)


def _train(
    run: NewRun,
    photos: str | os.PathLike[str] | Dataset | Split,
    asked: Classifier,
    split: SplitOptions | None,
    table: TableOptions | None,
) -> Run:
    dataset = photos.dataset if isinstance(photos, Split) else read_dataset(photos, table)
    check_classes(dataset)
    with _cached(asked) as model:
        encoder = for_photos(model.make_encoder(), dataset.paths, threads=model.options.threads)
        model, options = _reading_as(model, encoder), model.options
        backbone = encoder.backbone
        run.timer.mark("weights")
        features = encoder.extract(
            dataset.paths,
            mirror=mirrors(options, len(dataset)),
            threads=options.threads,
            progress=model.progress,
        )
        unreadable = [(dataset.ids[row], error.reason) for row, error in features.errors]
        if options.strict and features.errors:
            raise features.errors[0][1]
        run.timer.mark("features")
        if isinstance(photos, Split):
            divided = photos
        else:
            divided = make_split(
                dataset,
                *photo_groups(dataset, features, backbone, threads=options.threads),
                features.readable,
                split or SplitOptions(),
                seed=options.random_state,
            )
        rows = divided.assignment == "train"
        del features  # a row is 12 kB, and the cache has those that are needed later
        model.fit_split(dataset.take(rows), divided.group[rows])
        run.timer.mark("head")
        found = quick_checks(
            dataset, divided.copies, divided.bursts, trained=rows, held_out=model.head_.held_out
        )
        shown = [dataset.paths[n] for n in divided.tested]
        tested = encoder.extract(shown, threads=options.threads, progress=model.progress).plain
        test = _test(model, divided, tested, backbone)
        mistakes = _mistakes(model, divided, test, encoder, tested) if test else []
    run.timer.mark("evaluation")
    evaluation = test.evaluation if test else None
    validation = _about_validation(model, divided)
    notes = [*divided.notes, *validation, *model.warnings_]
    seen = quick_warnings(found, keeps_bursts=divided.keeps_bursts)
    wrong = [seen.pop(kind) for kind in ("contradiction", "name") if kind in seen]
    about_test = evaluation.warnings if evaluation else divided.untested
    warnings = [*wrong, *about_test, *model.warnings_, *divided.notes, *validation, *seen.values()]
    record = run.record(
        {
            **run_facts(model, run_options(asked, split, table), divided, unreadable, warnings),
            "audit": {
                "counts": found.counts,
                "summary": found.summary(),
                "command": _to_audit(dataset.source or dataset.root, table or TableOptions()),
            },
        }
    )
    with run.writing(record) as beside:
        write_splits(beside / "splits.csv", dataset, divided.assignment, divided.group)
        facts = {"split": divided.fingerprint, "unreadable": [name for name, _ in unreadable]}
        write_model(beside, model, evaluation, warnings, facts)
        run.timer.mark("model file")
        if test:
            test.write(beside / "predictions.csv", model, [dataset.ids[row] for row in test.rows])
            mistakes = with_maps(mistakes, beside / "model.onnx", threads=model.options.threads)
            _report(beside, model, divided, test, mistakes, record, notes)
        run.timer.mark("report")
    return Run(run.folder, model, evaluation, warnings, unreadable, run.timer.seconds, found, mistakes)


def _to_audit(photos: Path, table: TableOptions) -> str:
    return shlex.join(["rehead", "audit", str(photos), *arguments_of(table), "--out", "audit"])


def _about_validation(model: Classifier, divided: Split) -> list[str]:
    trained = divided.dataset.splits[divided.assignment == "train"]
    if "val" not in trained or model.takes_validation:
        return []
    return ["The head is chosen by cross-validation, so the validation photos are trained on too."]


def _test(
    model: Classifier,
    divided: Split,
    features: NDArray[np.float32],
    features_of: Backbone,
) -> Tested | None:
    dataset, rows = divided.dataset, divided.tested
    if not len(rows):
        return None
    if model.fitted_.backbone.context == features_of.context:
        probabilities, outliers = model.fitted_.decide(features)
    else:
        probabilities, outliers = model.fitted_.decide_photos(
            [dataset.paths[n] for n in rows], threads=model.options.threads, progress=model.progress
        )
    truth = np.searchsorted(model.classes_, dataset.labels[rows])
    accepted = model.operating_point_.accept(probabilities, outliers)
    nothing = np.isnan(features[:, -1])  # of photos that were divided by what another network sees in them
    probabilities[nothing] = uniform_wrong(truth[nothing], len(model.classes_))
    accepted &= ~nothing
    return Tested.of(model, rows, truth, probabilities, outliers, accepted, divided.group[rows])


def _mistakes(
    model: Classifier, divided: Split, test: Tested, encoder: Encoder, tested: NDArray[np.float32]
) -> list[Mistake]:
    """The surest mistakes, with the nearest training photos; `tested` are features by `encoder`."""
    dataset = divided.dataset
    photos = [(dataset.paths[n], dataset.ids[n]) for n in test.rows]
    classes = model.classes_.tolist()
    mistakes = confident_mistakes(test.truth, test.probabilities, classes, photos, accepted=test.accepted)
    if not mistakes:
        return []
    trained = dataset.take(divided.assignment == "train")
    # from the cache: features are not kept in memory while the head is fitted
    features = encoder.extract(trained.paths, threads=model.options.threads, progress=model.progress).plain
    blocks = encoder.backbone.blocks
    return with_neighbours(mistakes, tested, features, blocks, trained.paths, trained.labels.tolist())


def _report(
    folder: Path,
    model: Classifier,
    divided: Split,
    test: Tested,
    mistakes: Sequence[Mistake],
    record: dict[str, Any],
    notes: list[str],
) -> None:
    dataset = divided.dataset
    run_report(
        folder / "report.html",
        title=dataset.root.resolve().name or "photos",
        record=record,
        evaluation=test.evaluation,
        mistakes=mistakes,
        head=head_record(model),
        operating_point=model.operating_point_.to_dict(),
        facts={
            "Photos": len(dataset),
            "Classes": len(model.classes_),
            "Trained on": len(model.fitted_.trained_on.paths),
            "Tested on": len(test.rows),
            "Groups kept together": record["groups_kept_together"],
            "Unreadable": len(record["unreadable"]),
        },
        notes=notes,
        left_out={NEAR_TEST: [dataset.ids[n] for n in np.flatnonzero(divided.assignment == "left out")]},
    )


@contextlib.contextmanager
def _cached(model: Classifier) -> Iterator[Classifier]:
    """An unfitted copy, with a cache for the length of the run where the user wants none kept.

    Each photo is then computed once, and the user's estimator stays as it is.
    """
    if model.options.cache is not False:
        yield _copy(model)
        return
    with temporary_folder() as folder:
        yield _copy(model, cache=folder)


def _reading_as(model: Classifier, encoder: Encoder) -> Classifier:
    """A copy that takes the encoder's range of grey values, which is that of all photos."""
    limits = encoder.backbone.preprocess.grey_range
    return (
        model if limits is None or not isinstance(encoder, PhotoEncoder) else _copy(model, grey_range=limits)
    )


def _copy(model: Classifier, **changes: Any) -> Classifier:
    if isinstance(model, FineTunedClassifier):
        base = type(model.base)(**{**model.base.get_params(deep=False), **changes})
        return type(model)(base, model.config, work=model.work, resume=model.resume)
    return type(model)(**{**model.get_params(deep=False), **changes})
